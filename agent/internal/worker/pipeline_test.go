package worker

import (
	"context"
	"image"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/fake"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

const secondInput = "crops"

// pipelineStation has a bundle whose second model sees crops of 32×32 pixels, each by itself.
func pipelineStation(tb testing.TB) *wire.StationConfig {
	tb.Helper()
	station := simStation(tb)
	station.BundleDir = onnxtest.Bundle(tb, `then:
  model: kinds.onnx
  margin: 0.2
  input: {width: 32, height: 32, channels: 1}
  decoder: {family: classifier, activation: none}
  classes: [{name: fine, threshold: 0.6, good: true}, {name: scratch, threshold: 0.5}]`)
	model := onnxtest.Model(onnxtest.Graph(
		[]onnxtest.Port{{Name: secondInput, Elem: 1, Dims: []int64{1, 1, 32, 32}}},
		[]onnxtest.Port{{Name: "kinds", Elem: 1, Dims: []int64{1, 2}}},
	))
	require.NoError(tb, os.WriteFile(filepath.Join(station.GetBundleDir(), "kinds.onnx"), model, 0o600))
	return station
}

func TestTheSupervisorHearsWhatTheSecondModelSays(t *testing.T) {
	said := []float32{0, 0}
	hangs := false
	s := start(t, scripted(func(spec infer.Spec, stop <-chan struct{}) error {
		if spec.InputName != secondInput {
			return twoDetections(spec, stop)
		}
		if hangs {
			<-stop
			return fake.ErrTerminated
		}
		copy(spec.Outputs[0].Values, said)
		return nil
	}), pipelineStation(t))
	state := s.ready()
	require.Equal(t, []string{"open", "short", "mousebite", "spur", "copper", "pin-hole", "fine", "scratch"},
		state.GetModel().GetClasses())
	for job, c := range []struct {
		said  []float32
		hangs bool
		fault wire.Fault
		found []int32
		score float32
	}{
		{said: []float32{0.2, 0.8}, found: []int32{7, 7}, score: 0.8},
		{said: []float32{0.9, 0.1}, found: []int32{6, 6}, score: 0.9},
		{said: []float32{0.4, 0.3}, found: []int32{0, 0}, score: 0.9},
		{said: []float32{float32(math.NaN()), 0}, fault: wire.Fault_FAULT_BAD_OUTPUT},
		{said: []float32{0, 1}, hangs: true, fault: wire.Fault_FAULT_CANCELLED},
		{said: []float32{0, 1}, found: []int32{7, 7}, score: 1},
	} {
		copy(said, c.said)
		hangs = c.hangs
		deadline := time.Hour
		if hangs {
			deadline = 300 * time.Millisecond
		}
		s.inspect(uint64(job), deadline)
		s.exposed()
		got := s.inspected()
		require.Equal(t, c.fault, got.GetFault(), got.GetFaultText())
		var found []int32
		for _, d := range got.GetDetections() {
			found = append(found, d.GetClass())
			require.InDelta(t, c.score, d.GetScore(), 1e-6)
		}
		require.Equal(t, c.found, found)
	}
}

// A block of 60×30 pixels lies in several tiles of 64×64. The second model sees it once, as a whole: twice as
// wide as high, with a border above and below.
func TestASecondModelSeesWhatLiesInSeveralTiles(t *testing.T) {
	station := pipelineStation(t)
	long, square := image.Rect(40, 50, 100, 80), image.Rect(140, 60, 170, 90)
	station.Camera, station.TileOverlap = "dir:"+drawn(t, 200, 140, long, square)+"?loop=true", overlap
	var seen atomic.Int64
	hangs, broken := false, false
	s := start(t, scripted(func(spec infer.Spec, stop <-chan struct{}) error {
		if spec.InputName != secondInput {
			return darkBlocks(spec, stop)
		}
		seen.Add(1)
		if hangs {
			<-stop
			return fake.ErrTerminated
		}
		const border, pad = 4 * 32, 114. / 255
		lies := math.Abs(float64(spec.Input.Floats[border])-pad) < 0.01
		copy(spec.Outputs[0].Values, []float32{0.9, 0})
		if lies {
			copy(spec.Outputs[0].Values, []float32{0, 0.8})
		}
		if broken {
			spec.Outputs[0].Values[0] = float32(math.NaN())
		}
		return nil
	}), station)
	s.ready()
	for job, fault := range []wire.Fault{
		wire.Fault_FAULT_NONE, wire.Fault_FAULT_BAD_OUTPUT, wire.Fault_FAULT_CANCELLED, wire.Fault_FAULT_NONE,
	} {
		broken, hangs = fault == wire.Fault_FAULT_BAD_OUTPUT, fault == wire.Fault_FAULT_CANCELLED
		deadline := time.Hour
		if hangs {
			deadline = 500 * time.Millisecond
		}
		seen.Store(0)
		s.inspect(uint64(job), deadline)
		got := s.answered()
		require.Equal(t, fault, got.GetFault(), got.GetFaultText())
		require.NotZero(t, got.GetTiles())
		if fault != wire.Fault_FAULT_NONE {
			require.Empty(t, got.GetDetections())
			continue
		}
		require.EqualValues(t, 2, seen.Load(), "one crop for each block")
		require.Len(t, got.GetDetections(), 2)
		require.EqualValues(t, 6, got.GetDetections()[0].GetClass(), "the square one is fine")
		d := got.GetDetections()[1]
		require.EqualValues(t, 7, d.GetClass())
		require.Equal(t, [4]float32{40, 50, 100, 80}, [4]float32{d.GetX1(), d.GetY1(), d.GetX2(), d.GetY2()})
	}
}

// The second model's part of a frame may take longer than any run; each of its runs may not.
func TestTheWatchdogLooksAtEachRunOfTheSecondModel(t *testing.T) {
	station := pipelineStation(t)
	b, err := bundle.Load(station.GetBundleDir())
	require.NoError(t, err)
	var l *lane
	seen := 0
	loader := infer.Loader{Log: slog.New(slog.DiscardHandler), Runtime: &fake.Runtime{
		Script: func(spec infer.Spec, stop <-chan struct{}) error {
			if l != nil {
				seen++
				require.False(t, l.hangs(monotime.Now()), "run %d", seen)
				l.tracks[0].busyNs.Store(monotime.Now() - (longestRun + time.Second).Nanoseconds())
				require.True(t, l.hangs(monotime.Now()))
			}
			if spec.InputName == secondInput {
				clear(spec.Outputs[0].Values)
				return nil
			}
			return twoDetections(spec, stop)
		},
	}}
	session, err := loader.Load(b, "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, session.Close()) })
	l = sessionLane([]*infer.Session{session}, 1)
	f, canvas := &frame.Frame{}, tensor.NewCanvas(session.Plan)
	require.NoError(t, f.Shape(2*onnxtest.Side, 2*onnxtest.Side, 1))
	t.Cleanup(func() { canvas.Close(); f.Release() })
	require.NoError(t, canvas.Fit(f))
	require.NoError(t, l.tracks[0].run([]*tensor.Canvas{canvas}, 0)[0].Err)
	require.Equal(t, 1+2, seen)
	require.Zero(t, l.tracks[0].busyNs.Load())
}

// What was found in one camera's frame keeps no other waiting.
func TestFramesGoAloneWhereThereIsASecondModel(t *testing.T) {
	for want, then := range map[int]*bundle.Then{3: nil, 1: {}} {
		l := &lane{manifest: &bundle.Manifest{Then: then}, jobs: newQueue(3)}
		l.tracks = []*track{{engine: &counting{}}}
		l.tracks[0].usualNs.Store(10)
		for job := range uint64(3) {
			l.jobs.add(waits(job, int64(job+1)))
		}
		free, _ := l.freeAt(100)
		require.EqualValues(t, 100+10*3/want, free, "%d at once", want)
		<-l.jobs.ready
		l.tracks[0].gather(l)
		require.Len(t, l.tracks[0].jobs, want)
	}
}

func TestNoBatchIsTimedForFramesThatGoAlone(t *testing.T) {
	c := pipelineStation(t)
	group, ctx := errgroup.WithContext(t.Context())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &worker{log: slog.New(slog.DiscardHandler), config: &wire.Configure{Sharing: 2}}
	l, err := newOpener(w, group, fakeRuntime{&fake.Runtime{}}).lane(ctx, &station{config: c}, c)
	require.NoError(t, err)
	require.False(t, l.key.batches)
	cancel()
	require.NoError(t, group.Wait())
}
