package worker

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/fake"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

// changer is a worker under test and what its runtime has opened.
type changer struct {
	*supervisor

	runtime *fake.Runtime
	sent    uint64 // jobs
}

func startChanging(
	t *testing.T, script func(infer.Spec, <-chan struct{}) error, stations ...*wire.StationConfig,
) *changer {
	t.Helper()
	rt := &fake.Runtime{Script: script}
	s := start(t, func(string) (Runtime, error) { return fakeRuntime{rt}, nil }, stations...)
	return &changer{supervisor: s, runtime: rt}
}

// serve asks for a part at each of the stations and takes their answers; other messages go to seen.
func (c *changer) serve(seen func(kind wire.Kind, payload []byte), stations ...uint32) {
	c.Helper()
	for _, station := range stations {
		require.NoError(c, c.conn.Send(wire.KindInspect, &wire.Inspect{Station: station, Job: c.sent}))
		c.sent++
	}
	for answers := 0; answers < len(stations); {
		kind, payload, err := c.conn.Receive()
		require.NoError(c, err)
		if kind == wire.KindInspected {
			answers++
		}
		seen(kind, payload)
	}
}

func (c *changer) change(station uint32, to *wire.StationConfig) {
	c.Helper()
	require.NoError(c, c.conn.Send(wire.KindChange, &wire.Change{Station: station, Config: to}))
}

// to is a station's configuration with another bundle.
func to(s *wire.StationConfig, generation uint64, bundle string) *wire.StationConfig {
	next := proto.CloneOf(s)
	next.Generation, next.BundleDir = generation, bundle
	return next
}

func decoded[M proto.Message](c *changer, payload []byte, m M) M {
	c.Helper()
	require.NoError(c, c.conn.Decode(payload, m))
	return m
}

// Parts come all the time. Each has one answer, in order, and says what it was inspected with; nobody sees an
// answer of the new bundle before the state that tells of it, or of the old one after the change is done.
func TestABundleIsChangedBetweenTwoParts(t *testing.T) {
	was := simStation(t)
	was.Generation = 1
	c := startChanging(t, twoDetections, was)
	c.ready()
	bundles := []string{was.GetBundleDir(), onnxtest.Bundle(t, "golden: {box_tolerance: 3}")}
	told, answered, changed, jobs := uint64(1), uint64(1), uint64(1), uint64(0)
	look := func(kind wire.Kind, payload []byte) {
		switch kind {
		case wire.KindStationState:
			told = decoded(c, payload, &wire.StationState{}).GetGeneration()
		case wire.KindInspected:
			m := decoded(c, payload, &wire.Inspected{})
			require.Equal(t, wire.Fault_FAULT_NONE, m.GetFault(), m.GetFaultText())
			require.Equal(t, jobs, m.GetJob(), "in order")
			require.LessOrEqual(t, m.GetGeneration(), told, "the state came first")
			require.GreaterOrEqual(t, m.GetGeneration(), answered, "and then none of what was before")
			require.GreaterOrEqual(t, m.GetGeneration(), changed, "all of these were answered")
			answered = m.GetGeneration()
			require.Len(t, m.GetDetections(), 2)
			jobs++
		case wire.KindChanged:
			m := decoded(c, payload, &wire.Changed{})
			require.Empty(t, m.GetRefused())
			require.Equal(t, told, m.GetGeneration(), "the state came first")
			changed = m.GetGeneration()
		default:
		}
	}
	for generation := uint64(2); generation <= 20; generation++ {
		c.change(0, to(was, generation, bundles[generation%2]))
		for changed != generation {
			c.serve(look, 0, 0)
		}
		require.EqualValues(t, 1, c.runtime.Opened.Load()-c.runtime.Closed.Load(), "only what runs is held")
	}
	require.Equal(t, c.sent, jobs)
	require.EqualValues(t, 19, c.runtime.Opened.Load(), "the second bundle was the first once more")
}

func TestARefusedChangeChangesNothing(t *testing.T) {
	was := simStation(t)
	was.Generation = 1
	c := startChanging(t, twoDetections, was)
	c.ready()
	tiled := to(was, 5, was.GetBundleDir())
	tiled.TileOverlap = 8
	pair := to(was, 6, was.GetBundleDir())
	pair.Method = methodPair
	for says, next := range map[string]*wire.StationConfig{
		"no such file":          to(was, 2, filepath.Join(t.TempDir(), "none")),
		"export the model anew": to(was, 3, withModelOf(t, 32)),
		"restart the agent":     tiled,
		"use method: detect":    pair,
	} {
		c.change(0, next)
		m := expect(c.supervisor, wire.KindChanged, &wire.Changed{})
		require.Equal(t, next.GetGeneration(), m.GetGeneration())
		require.Contains(t, m.GetRefused(), says)
		c.serve(func(kind wire.Kind, payload []byte) {
			require.NotEqual(t, wire.KindStationState, kind, "the station is what it was")
			if kind == wire.KindInspected {
				got := decoded(c, payload, &wire.Inspected{})
				require.EqualValues(t, 1, got.GetGeneration())
				require.Len(t, got.GetDetections(), 2)
			}
		}, 0)
	}
	require.EqualValues(t, 1, c.runtime.Opened.Load()-c.runtime.Closed.Load())
}

// withModelOf is a bundle whose model takes images of another size than its manifest says.
func withModelOf(t *testing.T, side int64) string {
	t.Helper()
	model := onnxtest.Model(onnxtest.Graph(
		[]onnxtest.Port{{Name: "images", Elem: 1, Dims: []int64{1, 1, side, side}}},
		[]onnxtest.Port{{Name: "output0", Elem: 1, Dims: []int64{1, 10, onnxtest.Cells}}},
	))
	return onnxtest.Write(t, model)
}

func TestAStationThatWasRefusedComesUpWithAChange(t *testing.T) {
	was := simStation(t)
	good := was.GetBundleDir()
	was.BundleDir = filepath.Join(t.TempDir(), "none")
	c := startChanging(t, twoDetections, was)
	for {
		m := expect(c.supervisor, wire.KindStationState, &wire.StationState{})
		if m.GetPhase() == wire.Phase_PHASE_REFUSED {
			break
		}
	}
	c.change(0, to(was, 2, filepath.Join(t.TempDir(), "none")))
	require.NotEmpty(t, expect(c.supervisor, wire.KindChanged, &wire.Changed{}).GetRefused())
	c.change(0, to(was, 3, good))
	ready, changed := false, false
	for !ready || !changed {
		kind, payload, err := c.conn.Receive()
		require.NoError(t, err)
		switch kind {
		case wire.KindStationState:
			m := decoded(c, payload, &wire.StationState{})
			ready = m.GetPhase() == wire.Phase_PHASE_READY
			require.True(t, !ready || m.GetGeneration() == 3)
		case wire.KindChanged:
			changed = true
			require.Empty(t, decoded(c, payload, &wire.Changed{}).GetRefused())
		default:
		}
	}
	c.serve(func(kind wire.Kind, payload []byte) {
		if kind == wire.KindInspected {
			require.EqualValues(t, 3, decoded(c, payload, &wire.Inspected{}).GetGeneration())
		}
	}, 0)
}

// Two stations have one model. It stays until the last one has left it, and the next is loaded once.
func TestAModelStaysUntilItsLastStationHasLeftIt(t *testing.T) {
	first := simStation(t)
	second := proto.CloneOf(first)
	second.Name = "line1/aoi-2"
	c := startChanging(t, twoDetections, first, second)
	for range 2 {
		c.ready()
	}
	require.EqualValues(t, 1, c.runtime.Opened.Load())
	next := onnxtest.Bundle(t, "golden: {box_tolerance: 3}")
	done := 0
	look := func(kind wire.Kind, payload []byte) {
		if kind == wire.KindChanged {
			require.Empty(t, decoded(c, payload, &wire.Changed{}).GetRefused())
			done++
		}
	}
	for station, s := range []*wire.StationConfig{first, second} {
		c.change(uint32(station), to(s, 2, next))
		for done == station {
			c.serve(look, 0, 1)
		}
		require.EqualValues(t, 2, c.runtime.Opened.Load())
		require.EqualValues(t, station, c.runtime.Closed.Load())
	}
	require.NoError(t, os.RemoveAll(next), "what runs needs its files no more")
	c.serve(look, 0, 1)
}

// A camera that gives no frame while its line stands holds no other station's change up, and its next frame
// is inspected with what was loaded meanwhile.
func TestAChangeWaitsForNoOtherStationsFrame(t *testing.T) {
	t.Parallel()
	slow := simStation(t)
	slow.Camera, slow.Generation = "sim:?seed=1&rate=0.25", 1
	slow.ReadTimeoutNs = int64(30 * time.Second)
	other := simStation(t)
	other.Name, other.Generation = "line1/aoi-2", 1
	c := startChanging(t, twoDetections, slow, other)
	for range 2 {
		c.ready()
	}
	next := onnxtest.Bundle(t, "golden: {box_tolerance: 3}")
	c.serve(func(wire.Kind, []byte) {}, 0)
	require.NoError(t, c.conn.Send(wire.KindInspect, &wire.Inspect{Job: 77})) // seconds before its frame
	c.change(0, to(slow, 2, next))
	c.change(1, to(other, 2, next))
	done := [2]bool{}
	c.serve(func(kind wire.Kind, payload []byte) {
		if kind == wire.KindChanged {
			done[decoded(c, payload, &wire.Changed{}).GetStation()] = true
		}
	}, 1)
	for !done[1] {
		m := expect(c.supervisor, wire.KindChanged, &wire.Changed{})
		require.Empty(t, m.GetRefused())
		done[m.GetStation()] = true
	}
	require.False(t, done[0], "the first one's line stands")
	for answered := false; !answered || !done[0]; {
		kind, payload, err := c.conn.Receive()
		require.NoError(t, err)
		switch kind {
		case wire.KindChanged:
			done[decoded(c, payload, &wire.Changed{}).GetStation()] = true
		case wire.KindInspected:
			m := decoded(c, payload, &wire.Inspected{})
			require.EqualValues(t, 77, m.GetJob())
			require.EqualValues(t, 2, m.GetGeneration())
			answered = true
		default:
		}
	}
}

// A change that waits for its station's next part is given up for the next change.
func TestAChangeSupersedesTheOneThatWaits(t *testing.T) {
	t.Parallel()
	was := simStation(t)
	was.Camera, was.Generation = "sim:?seed=1&rate=0.5", 1
	was.ReadTimeoutNs = int64(30 * time.Second)
	c := startChanging(t, twoDetections, was)
	c.ready()
	c.serve(func(wire.Kind, []byte) {}, 0)
	require.NoError(t, c.conn.Send(wire.KindInspect, &wire.Inspect{Job: 77})) // two seconds before its frame
	c.change(0, to(was, 2, onnxtest.Bundle(t, "golden: {box_tolerance: 3}")))
	c.change(0, to(was, 3, onnxtest.Bundle(t, "golden: {box_tolerance: 4}")))
	refused, taken, answered := false, false, false
	for !taken || !answered {
		kind, payload, err := c.conn.Receive()
		require.NoError(t, err)
		switch kind {
		case wire.KindChanged:
			m := decoded(c, payload, &wire.Changed{})
			if m.GetGeneration() == 2 {
				require.ErrorContains(t, errors.New(m.GetRefused()), errSuperseded.Error())
				refused = true
				continue
			}
			require.Empty(t, m.GetRefused())
			taken = true
		case wire.KindInspected:
			require.EqualValues(t, 3, decoded(c, payload, &wire.Inspected{}).GetGeneration())
			answered = true
		default:
		}
	}
	require.True(t, refused)
	require.EqualValues(t, 1, c.runtime.Opened.Load()-c.runtime.Closed.Load())
}

// What ran on the first provider of its bundle is not given up for what does not.
func TestAChangeToALesserProviderIsRefused(t *testing.T) {
	was := simStation(t)
	was.Generation = 1
	c := startChanging(t, twoDetections, was)
	c.ready()
	c.runtime.Absent = map[string]error{"tensorrt": errors.New("CUDA out of memory")}
	c.change(0, to(was, 2, onnxtest.Bundle(t, "golden: {box_tolerance: 3}")))
	m := expect(c.supervisor, wire.KindChanged, &wire.Changed{})
	require.Contains(t, m.GetRefused(), errLesser.Error())
	require.Contains(t, m.GetRefused(), "CUDA out of memory")
	require.EqualValues(t, 1, c.runtime.Opened.Load()-c.runtime.Closed.Load())
}

func TestAChangeOfNoStationEndsTheWorker(t *testing.T) {
	ours, theirs := pair(t)
	w := &worker{conn: wire.NewConn(ours), stations: []*station{{}}, changes: make(chan *wire.Change, 1)}
	raw, err := proto.Marshal(&wire.Change{Station: 1})
	require.NoError(t, err)
	require.ErrorIs(t, w.change(raw), wire.ErrFrame)
	raw, err = proto.Marshal(&wire.Change{})
	require.NoError(t, err)
	require.NoError(t, w.change(raw))
	require.ErrorIs(t, w.change(raw), wire.ErrFrame, "there is no end of them")
	require.NoError(t, ours.Close())
	require.NoError(t, theirs.Close())
}
