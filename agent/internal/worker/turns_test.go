package worker

import (
	"errors"
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

// A track that is done early leaves its answer and goes on with another frame.
func TestATrackThatIsAheadDoesNotWait(t *testing.T) {
	ours, theirs := pair(t)
	s := &station{conn: wire.NewConn(ours), rig: &rig{free: make(chan *slot, 3)}}
	var slots []*slot
	for job := range uint64(3) {
		slots = append(slots, &slot{
			station: s, rig: s.rig, turn: s.turns.next(), answer: &wire.Inspected{Job: job},
		})
	}
	require.NoError(t, s.turns.done(slots[2]))
	require.NoError(t, s.turns.done(slots[1]))
	require.Empty(t, s.rig.free, "nothing is answered before the first")
	answers := make(chan error, 1)
	go func() { answers <- s.turns.done(slots[0]) }()
	conn := wire.NewConn(theirs)
	for job := range uint64(3) {
		kind, payload, err := conn.Receive()
		require.NoError(t, err)
		require.Equal(t, wire.KindInspected, kind)
		got := &wire.Inspected{}
		require.NoError(t, conn.Decode(payload, got))
		require.Equal(t, job, got.GetJob())
	}
	require.NoError(t, <-answers)
	require.Len(t, s.rig.free, 3, "each slot is given back")
	require.NoError(t, errors.Join(ours.Close(), theirs.Close()))
}
