package worker

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

func TestKeptFramesComeBackToWhoeverSettlesThem(t *testing.T) {
	k := newKept(maxKept, &atomic.Uint64{})
	f, wanted := &frame.Frame{Seq: 1}, &wire.Settle{Job: 2}
	evicted, _, settled := k.put(1, shot{frame: f})
	require.Nil(t, evicted)
	require.False(t, settled)
	got, known := k.take(1, nil)
	require.True(t, known)
	require.Same(t, f, got.frame)
	_, known = k.take(1, nil)
	require.False(t, known, "once")

	_, known = k.take(2, wanted) // settled before its frame comes
	require.False(t, known)
	_, was, settled := k.put(2, shot{frame: f})
	require.True(t, settled)
	require.Same(t, wanted, was)
}

// Parts that never get a frame leave settlements behind: those go first, then the oldest frame.
func TestTheOldestIsGivenUpAndSettlementsBeforeFrames(t *testing.T) {
	k := newKept(maxKept, &atomic.Uint64{})
	for job := range uint64(maxKept) {
		k.take(100+job, nil)
	}
	for job := range uint64(maxKept) {
		evicted, _, _ := k.put(job, shot{frame: &frame.Frame{Seq: job}})
		require.Nil(t, evicted)
		if job%3 == 0 { // places become free in between
			_, known := k.take(job, nil)
			require.True(t, known)
		}
	}
	var given []uint64
	for job := range uint64(maxKept) {
		if evicted, _, _ := k.put(50+job, shot{frame: &frame.Frame{}}); evicted != nil {
			given = append(given, evicted.Seq)
		}
	}
	require.Equal(t, []uint64{1, 2, 4, 5, 7}, given)
	require.EqualValues(t, len(given), k.dropped.Load(), "each is counted")
}
