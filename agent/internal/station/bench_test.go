package station_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// BenchmarkDeadline measures how long after its deadline an unanswered part's UNKNOWN is published: at most 2
// ms at p99 on a machine that has nothing else to do.
func BenchmarkDeadline(b *testing.B) {
	const wait = 20 * time.Millisecond
	r := start(b, config.ModeMQTT, fakeworker.Script{
		Inspect: func(*fakeworker.Peer, *wire.Inspect) {},
	}, func(o *station.Options) { o.Trigger.Deadline = wait })
	r.awaitState(event.Ready)
	lates := make([]time.Duration, 0, b.N)
	for i := range b.N {
		begin := time.Now()
		r.trigger(fmt.Sprintf(`{"partId":"P%d"}`, i))
		at := <-r.conn.arrived
		lates = append(lates, at.Sub(begin)-wait)
	}
	report(b, lates)
}

// BenchmarkResult measures from the worker's answer in the station's inbox to the call that publishes the
// result: at most 100 µs.
func BenchmarkResult(b *testing.B) {
	asked := make(chan uint64, 1)
	r := start(b, config.ModeMQTT, fakeworker.Script{
		Inspect: func(_ *fakeworker.Peer, m *wire.Inspect) { asked <- m.GetJob() },
	}, func(o *station.Options) { o.Trigger.Deadline = time.Minute })
	r.awaitState(event.Ready)
	found := []*wire.Detection{defect, defect, defect}
	took := make([]time.Duration, 0, b.N)
	b.ReportAllocs()
	for i := range b.N {
		r.trigger(fmt.Sprintf(`{"partId":"P%d"}`, i))
		job := <-asked
		begin := time.Now()
		r.station.Deliver(&wire.Inspected{
			Job: job, ExposedNs: clock(), Width: 640, Height: 640, Detections: found,
		})
		took = append(took, (<-r.conn.arrived).Sub(begin))
	}
	report(b, took)
}

func report(b *testing.B, all []time.Duration) {
	b.Helper()
	require.NotEmpty(b, all)
	slices.Sort(all)
	at := func(q float64) float64 {
		return float64(all[int(q*float64(len(all)-1))].Microseconds())
	}
	b.ReportMetric(at(0.5), "p50-µs")
	b.ReportMetric(at(0.99), "p99-µs")
	b.ReportMetric(at(1), "max-µs")
}
