package inspector_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/internal/inspector"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open starts a worker that has its station ready after so long.
func open(
	t *testing.T, loads time.Duration, parallel uint32, loading func(time.Duration),
) *inspector.Inspector {
	t.Helper()
	i := inspector.Open(t.Context(), inspector.Options{
		Launch: fakeworker.Launch(fakeworker.Script{
			Configured: func(p *fakeworker.Peer, _ *wire.Configure) {
				p.State(0, wire.Phase_PHASE_OPENING, "loading the bundle")
				time.AfterFunc(loads, func() { p.State(0, wire.Phase_PHASE_READY, "") })
			},
		}),
		Configure: &wire.Configure{Stations: []*wire.StationConfig{{Name: "s"}}, ParallelRuns: parallel},
		Log:       slog.New(slog.DiscardHandler), Loading: loading,
	})
	t.Cleanup(i.Close)
	return i
}

func TestALoadIsWaitedForAsLongAsTheWorkerLetsItTake(t *testing.T) {
	for parallel, loads := range map[uint32]time.Duration{
		0: wire.LongestLoad, 1: wire.LongestLoad, 2: 2 * wire.LongestLoad,
	} {
		synctest.Test(t, func(t *testing.T) {
			_, err := open(t, loads, parallel, nil).Ready(t.Context())
			require.NoError(t, err)
		})
		synctest.Test(t, func(t *testing.T) {
			_, err := open(t, loads+2*time.Minute, parallel, nil).Ready(t.Context())
			require.ErrorIs(t, err, inspector.ErrLoading)
			require.ErrorContains(t, err, "check the disk, and the driver of the bundle's execution provider")
		})
	}
}

func TestALongLoadIsToldOfEachSecondAndThatItIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		loads time.Duration
		want  []time.Duration
	}{
		"long":  {3500 * time.Millisecond, []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 0}},
		"short": {500 * time.Millisecond, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []time.Duration
				i := open(t, c.loads, 1, func(elapsed time.Duration) { told = append(told, elapsed) })
				_, err := i.Ready(t.Context())
				require.NoError(t, err)
				require.Equal(t, c.want, told)
			})
		})
	}
}
