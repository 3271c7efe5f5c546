package worker

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

// shadowing is a station whose shadow has another bundle.
func shadowing(t *testing.T) *wire.StationConfig {
	t.Helper()
	s := simStation(t)
	s.Generation = 1
	s.Shadow = to(s, 1, onnxtest.Bundle(t, "golden: {box_tolerance: 3}"))
	s.Shadow.Camera, s.Shadow.Share = "", 1
	return s
}

// settled brings a part, settles it, and reads until the message of a kind comes.
func settled[M proto.Message](c *changer, job uint64, kind wire.Kind, m M) M {
	c.Helper()
	require.NoError(c, c.conn.Send(wire.KindInspect, &wire.Inspect{Job: job}))
	for {
		got, payload, err := c.conn.Receive()
		require.NoError(c, err)
		if got == wire.KindInspected {
			require.Equal(c, wire.Fault_FAULT_NONE, decoded(c, payload, &wire.Inspected{}).GetFault())
			require.NoError(c, c.conn.Send(wire.KindSettle, &wire.Settle{Job: job}))
		}
		if got == kind {
			return decoded(c, payload, m)
		}
	}
}

// It sees more parts than there are frames: each comes back.
func TestAShadowSeesPartsThatAreDone(t *testing.T) {
	c := startChanging(t, twoDetections, shadowing(t))
	c.ready()
	require.EqualValues(t, 2, c.runtime.Opened.Load())
	for job := uint64(1); job <= 150; job++ {
		m := settled(c, job, wire.KindShadowed, &wire.Inspected{})
		require.Equal(t, job, m.GetJob())
		require.EqualValues(t, 1, m.GetGeneration())
		require.Len(t, m.GetDetections(), 2)
		if job%3 != 0 { // those that are not looked at any more make room for others
			require.NoError(t, c.conn.Send(wire.KindSettle, &wire.Settle{Job: job, Shadow: true}))
		}
	}
}

func TestADisagreementOfTheShadowIsDrawn(t *testing.T) {
	c := startChanging(t, twoDetections, shadowing(t))
	c.ready()
	m := settled(c, 1, wire.KindShadowed, &wire.Inspected{})
	require.NoError(t, c.conn.Send(wire.KindSettle, &wire.Settle{
		Job: 1, Shadow: true, Evidence: true, Verdict: "FAIL by tiny 1.0.0, not PASS",
		Defects: m.GetDetections(),
	}))
	for n := range int32(3) { // the frame, and two crops
		picture := expect(c.supervisor, wire.KindEvidence, &wire.Evidence{})
		require.Equal(t, n+wire.ShadowPictures, picture.GetN())
		require.NotEmpty(t, picture.GetJpeg())
	}
}

// Drawn or not, the frame can be had as it came.
func TestAFrameThatTheShadowHasSeenIsSentAsItCame(t *testing.T) {
	c := startChanging(t, twoDetections, shadowing(t))
	c.ready()
	for i, drawn := range []bool{false, true} {
		job := uint64(i + 1)
		settled(c, job, wire.KindShadowed, &wire.Inspected{})
		require.NoError(t, c.conn.Send(wire.KindSettle, &wire.Settle{
			Job: job, Shadow: true, Evidence: drawn, Sample: true,
		}))
		if drawn {
			picture := expect(c.supervisor, wire.KindEvidence, &wire.Evidence{})
			require.EqualValues(t, wire.ShadowPictures, picture.GetN())
		}
		for more := true; more; {
			frame := expect(c.supervisor, wire.KindEvidence, &wire.Evidence{})
			require.Equal(t, job, frame.GetJob())
			require.EqualValues(t, wire.PlainFrame, frame.GetN())
			more = frame.GetMore()
		}
	}
}

func TestAShadowEndsWithTheRecipeThatHasIt(t *testing.T) {
	was := shadowing(t)
	c := startChanging(t, twoDetections, was)
	c.ready()
	settled(c, 1, wire.KindShadowed, &wire.Inspected{})
	next := to(was, 2, was.GetBundleDir())
	next.Shadow = nil
	c.change(0, next)
	require.Empty(t, expect(c.supervisor, wire.KindChanged, &wire.Changed{}).GetRefused())
	require.Eventually(t, func() bool { return c.runtime.Opened.Load()-c.runtime.Closed.Load() == 1 },
		patience, time.Millisecond, "its model is gone")
	// Its frame is still there.
	require.NoError(t, c.conn.Send(wire.KindSettle, &wire.Settle{Job: 1, Shadow: true}))
	settled(c, 2, wire.KindInspected, &wire.Inspected{})

	without := to(next, 3, was.GetBundleDir())
	without.Shadow = to(was, 3, filepath.Join(t.TempDir(), "none"))
	c.change(0, without)
	for {
		kind, payload, err := c.conn.Receive()
		require.NoError(t, err)
		if kind == wire.KindChanged {
			require.Contains(t, decoded(c, payload, &wire.Changed{}).GetRefused(), "shadow")
			break
		}
	}
	require.EqualValues(t, 1, c.runtime.Opened.Load()-c.runtime.Closed.Load())
}

func TestAShadowKeepsToItsShare(t *testing.T) {
	h := &shadow{share: 0.25, parts: make(chan shadowed, 1)}
	require.True(t, h.offer(shot{}, 1))
	<-h.parts
	require.False(t, h.offer(shot{}, 2), "the first is being looked at")
	h.rest(int64(time.Hour))
	require.False(t, h.offer(shot{}, 3), "three hours of rest for each of work")
	left := h.nextNs.Load()
	h.rest(int64(2 * time.Hour))
	require.InDelta(t, (3 * time.Hour).Seconds(), time.Duration(h.nextNs.Load()-left).Seconds(), 60)
	h.nextNs.Store(0)
	h.over = true
	require.False(t, h.offer(shot{}, 4))
	require.False(t, (*shadow)(nil).offer(shot{}, 5))
}

// A worker that starts anew finds the shadow's files gone: the line does not stand still for that.
func TestAStationComesUpWithoutAShadowThatDoesNotLoad(t *testing.T) {
	was := shadowing(t)
	was.Shadow.BundleDir = filepath.Join(t.TempDir(), "none")
	c := startChanging(t, twoDetections, was)
	c.ready()
	settled(c, 1, wire.KindInspected, &wire.Inspected{})
}
