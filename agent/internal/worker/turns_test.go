package worker

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
)

// Of each two runs the first ends only when the second has: they are under way at once, and answered in
// order.
func TestParallelRunsAreAnsweredInTheOrderOfTheirFrames(t *testing.T) {
	const parts = 20
	var counting atomic.Bool
	var runs atomic.Int64
	second := make(chan struct{})
	r := scripted(func(spec infer.Spec, stop <-chan struct{}) error {
		switch {
		case !counting.Load():
		case runs.Add(1)%2 == 1:
			select {
			case <-second:
			case <-time.After(patience):
				t.Error("no second run came beside the first")
			}
		default:
			second <- struct{}{}
		}
		return twoDetections(spec, stop)
	})
	s := configured(t, r, &wire.Configure{
		ParallelRuns: 2, Stations: []*wire.StationConfig{simStation(t)},
	})
	s.ready()
	counting.Store(true)
	for job := range uint64(parts) {
		s.inspect(job, 0)
	}
	var frames []uint64
	for len(frames) < parts {
		m := s.answered()
		require.Equal(t, wire.Fault_FAULT_NONE, m.GetFault(), m.GetFaultText())
		require.EqualValues(t, len(frames), m.GetJob())
		frames = append(frames, m.GetFrame())
	}
	require.IsIncreasing(t, frames)
}

func TestEachTurnWaitsForTheOneBefore(t *testing.T) {
	turns := newTurns()
	first, second := turns.next(), turns.next()
	passed := make(chan struct{})
	go func() {
		turns.await(second)
		close(passed)
	}()
	turns.await(first)
	select {
	case <-passed:
		t.Fatal("the second turn came before the first was done")
	case <-time.After(20 * time.Millisecond):
	}
	turns.done()
	<-passed
}
