package station_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// lottery is a worker that at each request may be good, late, silent, confused or dead. The box of each
// answer names its job.
type lottery struct {
	mu     sync.Mutex
	random *rand.Rand
	dies   int // of 100 requests
	stop   bool
	// exposed are the jobs whose exposure a supervisor took.
	exposed []uint64
}

func (l *lottery) inspect(p *fakeworker.Peer, m *wire.Inspect) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := &wire.Detection{Score: 0.9, X2: float32(m.GetJob()), Y2: 1}
	draw := l.random.IntN(100)
	exposed := false
	switch {
	case l.stop:
	case draw < l.dies:
		p.Die()
	case draw < l.dies+5:
		p.Garbage(bytes.Repeat([]byte{0xfe}, 32))
	case draw < l.dies+10: // never answered
	case draw < l.dies+25:
		late := deadline + time.Duration(l.random.IntN(20))*time.Millisecond
		exposed = p.Expose(m)
		time.AfterFunc(late, func() { p.Inspected(m, d) })
	case draw < l.dies+35:
		exposed = p.Answer(m, d)
		p.Inspected(m, d)
	default:
		exposed = p.Answer(m, d)
	}
	if exposed {
		l.exposed = append(l.exposed, m.GetJob())
	}
}

// Fault 18 and 21 together: whatever the worker does and however often it dies, each trigger ends in exactly
// one result, at its deadline at the latest, and no result shows another part.
func TestNoPartIsWithoutVerdictWhateverTheWorkerDoes(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			draw := &lottery{random: rand.New(rand.NewPCG(seed, 18)), dies: 3}
			r := start(t, config.ModeMQTT, fakeworker.Script{Inspect: draw.inspect}, nil)
			synctest.Wait()
			const parts = 500
			triggered := map[string]time.Time{}
			for i := range parts {
				part := fmt.Sprintf("P%d", i)
				triggered[part] = time.Now()
				r.trigger(fmt.Sprintf(`{"partId":%q}`, part))
				time.Sleep(5 * time.Millisecond) //nolint:forbidigo // synthetic time
			}
			time.Sleep(time.Second) //nolint:forbidigo // synthetic time
			synctest.Wait()
			results := r.conn.results(t)
			require.Len(t, results, parts)
			for i, in := range results {
				begin, ok := triggered[in.PartID]
				require.True(t, ok, "%s a second time", in.PartID)
				delete(triggered, in.PartID)
				require.LessOrEqual(t, r.conn.at[i].Sub(begin), deadline)
				if in.Verdict == event.Unknown {
					require.Contains(t, []string{
						station.ReasonDeadline, station.ReasonWorkerDied, station.ReasonNotReady,
					}, in.Reason)
					continue
				}
				require.InDelta(t, float64(in.AcquisitionID), in.Defects[0].Box[2], 0, "its own answer")
			}
			require.Positive(t, r.worker.Deaths())
		})
	}
}

// The same in mode continuous: each exposure that the station learned of ends in exactly one result.
func TestNoExposureIsWithoutVerdictInContinuousMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		draw := &lottery{random: rand.New(rand.NewPCG(3, 18)), dies: 10}
		slowly := func(p *fakeworker.Peer, m *wire.Inspect) {
			time.AfterFunc(10*time.Millisecond, func() { draw.inspect(p, m) })
		}
		r := start(t, config.ModeContinuous, fakeworker.Script{Inspect: slowly}, nil)
		time.Sleep(30 * time.Second) //nolint:forbidigo // synthetic time
		draw.mu.Lock()
		draw.stop = true
		draw.mu.Unlock()
		time.Sleep(time.Second) //nolint:forbidigo // synthetic time
		synctest.Wait()
		var answered []uint64
		for _, in := range r.conn.results(t) {
			answered = append(answered, in.AcquisitionID)
			if in.Verdict != event.Unknown {
				require.InDelta(t, float64(in.AcquisitionID), in.Defects[0].Box[2], 0)
			}
		}
		require.Greater(t, len(draw.exposed), 20)
		require.ElementsMatch(t, draw.exposed, answered)
		require.Positive(t, r.worker.Deaths())
	})
}
