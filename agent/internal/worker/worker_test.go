package worker

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	cameras "github.com/sightline-edge/sightline/agent/internal/worker/camera"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/fake"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

func TestEachInspectIsAnsweredOnce(t *testing.T) {
	s := start(t, scripted(twoDetections), simStation(t))
	hello := expect(s, wire.KindHello, &wire.Hello{})
	require.Equal(t, "fake", hello.GetOnnxruntimeVersion())
	state := s.ready()
	require.True(t, state.GetSimulated())
	require.Equal(t, "tiny", state.GetModel().GetName())
	for job := range uint64(5) {
		s.inspect(job, 0)
		exposed := s.exposed()
		require.Equal(t, job, exposed.GetJob())
		got := s.inspected()
		require.Equal(t, job, got.GetJob())
		require.Equal(t, wire.Fault_FAULT_NONE, got.GetFault(), got.GetFaultText())
		require.Equal(t, exposed.GetFrame(), got.GetFrame())
		require.True(t, got.GetSimulated())
		require.EqualValues(t, 640, got.GetWidth())
		require.Len(t, got.GetDetections(), 2)
		require.InDelta(t, 110, got.GetDetections()[0].GetX1(), 1e-3, "(16 − 5) of 64 pixels is 110 of 640")
	}
}

// One frame is preprocessed while another is inferred.
func TestTheNextFrameIsTakenDuringARun(t *testing.T) {
	gate := make(chan struct{}, 8)
	gate <- struct{}{} // for the blank frame at load
	s := start(t, scripted(func(spec infer.Spec, stop <-chan struct{}) error {
		<-gate
		return twoDetections(spec, stop)
	}), simStation(t))
	s.ready()
	for job := range uint64(3) {
		s.inspect(job, 0)
		require.Equal(t, job, s.exposed().GetJob())
	}
	for job := range uint64(3) {
		gate <- struct{}{}
		require.Equal(t, job, s.inspected().GetJob())
	}
}

func TestFaultsReachTheSupervisor(t *testing.T) {
	for name, c := range map[string]struct {
		script func(infer.Spec, <-chan struct{}) error
		fault  wire.Fault
		says   string
	}{
		"late": {
			fault: wire.Fault_FAULT_CANCELLED, says: "deadline",
			script: func(_ infer.Spec, stop <-chan struct{}) error {
				<-stop
				return fake.ErrTerminated
			},
		},
		"failing": {
			fault: wire.Fault_FAULT_MODEL, says: "CUDA error 700",
			script: func(infer.Spec, <-chan struct{}) error {
				return errors.New("CUDA error 700")
			},
		},
		"NaN": {
			fault: wire.Fault_FAULT_BAD_OUTPUT, says: "NaN",
			script: func(spec infer.Spec, _ <-chan struct{}) error {
				spec.Outputs[0].Values[0] = float32(math.NaN())
				return nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			s := start(t, scripted(func(spec infer.Spec, stop <-chan struct{}) error {
				runs++
				if runs == 2 { // the first is the blank frame at load
					return c.script(spec, stop)
				}
				return twoDetections(spec, stop)
			}), simStation(t))
			s.ready()
			s.inspect(1, 300*time.Millisecond)
			s.exposed()
			got := s.inspected()
			require.Equal(t, c.fault, got.GetFault())
			require.Contains(t, got.GetFaultText(), c.says)
			require.Empty(t, got.GetDetections())
			s.inspect(2, 0)
			s.exposed()
			require.Equal(t, wire.Fault_FAULT_NONE, s.inspected().GetFault(),
				"the next part is inspected again")
		})
	}
}

func TestEvidenceIsDrawnForSettledParts(t *testing.T) {
	gate := make(chan struct{}, 8)
	gate <- struct{}{}
	s := start(t, scripted(func(spec infer.Spec, stop <-chan struct{}) error {
		<-gate
		return twoDetections(spec, stop)
	}), simStation(t))
	s.ready()
	settle := &wire.Settle{Verdict: "FAIL", Evidence: true, Defects: []*wire.Detection{
		{Class: 0, Score: 0.9, X1: 110, Y1: 270, X2: 210, Y2: 370},
		{Class: 1, Score: 0.8, X1: -5, Y1: 0, X2: 20, Y2: 20},
		{Class: 99, Score: 1, X2: 1, Y2: 1},
	}}
	for job, settledFirst := range []bool{false, true} {
		settle.Job = uint64(job)
		s.inspect(settle.Job, 0)
		s.exposed()
		if settledFirst { // the part's deadline passed while it was inferred
			require.NoError(t, s.conn.Send(wire.KindSettle, settle))
		}
		gate <- struct{}{}
		if !settledFirst {
			s.inspected()
			require.NoError(t, s.conn.Send(wire.KindSettle, settle))
		}
		got := map[wire.Kind]int{}
		for n := 0; n < 3; {
			kind, payload, err := s.conn.Receive()
			require.NoError(t, err)
			got[kind]++
			if kind != wire.KindEvidence {
				continue
			}
			m := &wire.Evidence{}
			require.NoError(t, s.conn.Decode(payload, m))
			require.EqualValues(t, n, m.GetN())
			require.Equal(t, settle.GetJob(), m.GetJob())
			picture, err := jpeg.Decode(bytes.NewReader(m.GetJpeg()))
			require.NoError(t, err)
			size := picture.Bounds().Size()
			require.Equal(t, [3]int{640, 200, 32}[n], size.X)
			n++
		}
		require.Equal(t, settledFirst, got[wire.KindInspected] == 1)
	}
}

// More parts than frames, none settled: the oldest go.
func TestPartsThatAreNeverSettledHoldNothingUp(t *testing.T) {
	s := start(t, scripted(twoDetections), simStation(t))
	s.ready()
	for job := range uint64(50) {
		s.inspect(job, 0)
		s.exposed()
		require.Equal(t, wire.Fault_FAULT_NONE, s.inspected().GetFault())
	}
	for job := range uint64(50) { // settled late, or twice: nothing happens but bookkeeping
		require.NoError(t, s.conn.Send(wire.KindSettle, &wire.Settle{Job: job % 7, Evidence: job == 0}))
	}
	s.inspect(99, 0)
	s.exposed()
	require.EqualValues(t, 99, s.inspected().GetJob())
}

func TestStationsThatCannotWorkAreRefusedAndTheOthersRun(t *testing.T) {
	noBundle, noCamera, good := simStation(t), simStation(t), simStation(t)
	noBundle.BundleDir = filepath.Join(t.TempDir(), "absent")
	noCamera.Camera = "webcam:0"
	s := start(t, scripted(twoDetections), noBundle, noCamera, good)
	says := map[uint32]string{0: "open bundle folder", 1: "camera"}
	for ready := false; len(says) > 0 || !ready; {
		m := expect(s, wire.KindStationState, &wire.StationState{})
		ready = ready || m.GetPhase() == wire.Phase_PHASE_READY
		if m.GetPhase() == wire.Phase_PHASE_REFUSED {
			require.Contains(t, m.GetReason(), says[m.GetStation()])
			delete(says, m.GetStation())
		}
	}
	require.NoError(t, s.conn.Send(wire.KindInspect, &wire.Inspect{Station: 0, Job: 7}))
	got := s.inspected()
	require.Equal(t, wire.Fault_FAULT_NOT_READY, got.GetFault())
	require.Contains(t, got.GetFaultText(), "open bundle folder")
	require.NoError(t, s.conn.Send(wire.KindInspect, &wire.Inspect{Station: 2, Job: 8}))
	s.exposed()
	require.Equal(t, wire.Fault_FAULT_NONE, s.inspected().GetFault())
}

func TestMissingRuntimeIsToldToEachStation(t *testing.T) {
	s := start(t, func(string) (Runtime, error) { return nil, errors.New("libonnxruntime.so is missing") },
		simStation(t))
	require.Empty(t, expect(s, wire.KindHello, &wire.Hello{}).GetOnnxruntimeVersion())
	for {
		m := expect(s, wire.KindStationState, &wire.StationState{})
		if m.GetPhase() == wire.Phase_PHASE_REFUSED {
			require.Contains(t, m.GetReason(), "libonnxruntime.so is missing")
			return
		}
	}
}

func TestStationsWithOneBundleShareItsSession(t *testing.T) {
	runtime := &fake.Runtime{Script: twoDetections}
	a, b := simStation(t), simStation(t)
	b.BundleDir, b.Camera = a.BundleDir, "sim:?seed=2&width=320&height=200"
	s := start(t, func(string) (Runtime, error) { return fakeRuntime{runtime}, nil }, a, b)
	ready := map[uint32]bool{}
	for len(ready) < 2 {
		ready[s.ready().GetStation()] = true
	}
	for job := range uint64(6) {
		require.NoError(t, s.conn.Send(wire.KindInspect, &wire.Inspect{Station: uint32(job % 2), Job: job}))
		s.exposed()
		got := s.inspected()
		require.Equal(t, [2]int32{640, 320}[job%2], got.GetWidth())
		require.Len(t, got.GetDetections(), 2)
	}
	require.EqualValues(t, 1, runtime.Opened.Load())
}

// Without cameras the worker only checks its bundles, and leaves.
func TestCheckOfABundleEndsByItself(t *testing.T) {
	station := simStation(t)
	station.Camera = ""
	s := start(t, scripted(twoDetections), station)
	require.Equal(t, "tiny", s.ready().GetModel().GetName())
	require.NoError(t, <-s.ended)
	s.ended <- nil
}

func TestFolderOfImages(t *testing.T) {
	station, dir := simStation(t), t.TempDir()
	station.Camera = "dir:" + dir
	good := goldenBundle(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "1.png"), good, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "2.png"), good[:len(good)/2], 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "3.png"), good, 0o600))
	s := start(t, scripted(twoDetections), station)
	s.ready()
	for job, want := range []wire.Fault{
		wire.Fault_FAULT_NONE, wire.Fault_FAULT_BAD_FRAME, wire.Fault_FAULT_NONE, wire.Fault_FAULT_END,
	} {
		s.inspect(uint64(job), 0)
		for kind := wire.Kind(0); kind != wire.KindInspected; {
			var payload []byte
			var err error
			kind, payload, err = s.conn.Receive()
			require.NoError(t, err)
			if kind == wire.KindInspected {
				got := &wire.Inspected{}
				require.NoError(t, s.conn.Decode(payload, got))
				require.Equal(t, want, got.GetFault(), got.GetFaultText())
			}
		}
	}
}

// A folder of images is a camera that can vanish and return, like one whose cable is pulled.
func TestAPartWhoseCameraHasVanishedGetsNoFrameUntilItIsBack(t *testing.T) {
	station, dir := simStation(t), filepath.Join(t.TempDir(), "boards")
	station.Camera = "dir:" + dir + "?loop=true"
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "1.png"), goldenBundle(t), 0o600))
	s := start(t, scripted(twoDetections), station)
	s.ready()
	s.inspect(1, time.Minute)
	s.exposed()
	require.Equal(t, wire.Fault_FAULT_NONE, s.inspected().GetFault())
	require.NoError(t, os.Rename(dir, dir+"-away"))
	for job := uint64(2); job < 5; job++ { // the first finds it gone
		s.inspect(job, time.Minute)
		got := s.inspected()
		require.Equal(t, job, got.GetJob())
		require.Equal(t, wire.Fault_FAULT_NO_FRAME, got.GetFault(), got.GetFaultText())
		require.Contains(t, got.GetFaultText(), "list images")
		require.Zero(t, got.GetExposedNs())
	}
	require.NoError(t, os.Rename(dir+"-away", dir))
	s.ready()
	s.inspect(5, time.Minute)
	s.exposed()
	require.Equal(t, wire.Fault_FAULT_NONE, s.inspected().GetFault())
}

// A name of a file and a driver's text may hold any bytes: neither ends the worker.
func TestTextsThatAreNotUTF8AreSaidAllTheSame(t *testing.T) {
	station, dir := simStation(t), t.TempDir()
	station.Camera = "dir:" + dir
	good := goldenBundle(t)
	require.NoError(t, os.WriteFile(dir+"/1\xff.png", good, 0o600))
	require.NoError(t, os.WriteFile(dir+"/2\xff.png", good[:len(good)/2], 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "3.png"), good, 0o600))
	runs := 0
	s := start(t, scripted(func(spec infer.Spec, stop <-chan struct{}) error {
		runs++
		if runs == 3 { // the first is the blank frame at load
			return errors.New("node \xff failed")
		}
		return twoDetections(spec, stop)
	}), station)
	s.ready()
	for job, want := range []struct {
		fault        wire.Fault
		source, says string
	}{
		{fault: wire.Fault_FAULT_NONE, source: "1?.png"},
		{fault: wire.Fault_FAULT_BAD_FRAME, says: "2?.png"},
		{fault: wire.Fault_FAULT_MODEL, source: "3.png", says: "node ? failed"},
	} {
		s.inspect(uint64(job), 0)
		if want.source != "" {
			s.exposed()
		}
		got := s.inspected()
		require.Equal(t, want.fault, got.GetFault(), got.GetFaultText())
		require.Equal(t, want.source, got.GetSource())
		require.Contains(t, got.GetFaultText(), want.says)
	}
}

func TestARefusalWhoseReasonIsNotUTF8IsSaid(t *testing.T) {
	s := start(t, func(string) (Runtime, error) {
		return nil, errors.New("lib\xff.so" + strings.Repeat("x", 1<<20))
	}, simStation(t))
	for {
		m := expect(s, wire.KindStationState, &wire.StationState{})
		if m.GetPhase() == wire.Phase_PHASE_REFUSED {
			require.True(t, strings.HasPrefix(m.GetReason(), "lib?.so"))
			require.LessOrEqual(t, len(m.GetReason()), maxSaid)
			return
		}
	}
}

// golden is a small picture of the reference bundle.
func goldenBundle(t *testing.T) []byte {
	t.Helper()
	matches, err := filepath.Glob("../../../models/pcb-defects/golden/*.png")
	require.NoError(t, err)
	require.NotEmpty(t, matches)
	raw, err := os.ReadFile(matches[0])
	require.NoError(t, err)
	return raw
}

func TestShutdownAndBrokenSupervisors(t *testing.T) {
	for name, c := range map[string]struct {
		kind    wire.Kind
		station uint32
		orderly bool
	}{
		"asked to end":         {wire.KindShutdown, 0, true},
		"unknown kind":         {99, 0, false},
		"second configuration": {wire.KindConfigure, 0, false},
		"no such station":      {wire.KindInspect, 5, false},
		"settle no station":    {wire.KindSettle, 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, scripted(twoDetections), simStation(t))
			s.ready()
			require.NoError(t, s.conn.Send(c.kind, &wire.Inspect{Station: c.station, Job: 1}))
			err := <-s.ended
			s.ended <- err
			if c.orderly {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, wire.ErrFrame)
		})
	}
}

func TestHeartbeatsCount(t *testing.T) {
	s := start(t, scripted(twoDetections), simStation(t))
	s.ready()
	for job := range uint64(3) {
		s.inspect(job, 0)
		s.exposed()
		s.inspected()
	}
	for {
		count := expect(s, wire.KindHeartbeat, &wire.Heartbeat{}).GetStations()[0]
		if count.GetInspected() < 3 { // it was on its way before the last part
			continue
		}
		require.EqualValues(t, 3, count.GetInspected())
		require.GreaterOrEqual(t, count.GetCaptured(), uint64(3))
		return
	}
}

// counted is a camera that does nothing but count.
type counted struct {
	camera

	counts cameras.Counts
}

func (c counted) Counts() cameras.Counts { return c.counts }

func TestHeartbeatsCarryWhatTheCameraCounted(t *testing.T) {
	s := &station{camera: counted{counts: cameras.Counts{
		Captured: 1, Displaced: 2, BadFrames: 3, StaleFrames: 4, HungCaptures: 5, Reconnects: 6,
	}}}
	s.inspected.Store(7)
	s.evidenceDropped.Store(8)
	w := &worker{stations: []*station{s}}
	beat := &wire.Heartbeat{Stations: []*wire.StationCount{{}}}
	w.count(beat)
	require.Zero(t, beat.GetStations()[0].GetCaptured(), "a camera is asked once it is there")
	s.ready.Store(true)
	w.count(beat)
	require.True(t, proto.Equal(&wire.StationCount{
		Captured: 1, Displaced: 2, BadFrames: 3, StaleFrames: 4, HungCaptures: 5, Reconnects: 6,
		Inspected: 7, EvidenceDropped: 8,
	}, beat.GetStations()[0]), beat)
}

func TestARunThatHangsInADriverEndsTheWorker(t *testing.T) {
	l := &lane{manifest: &bundle.Manifest{}, tracks: []*track{{}}}
	w := &worker{}
	w.lanes.add(l)
	require.NoError(t, w.stuck())
	l.tracks[0].busyNs.Store(monotime.Now())
	require.NoError(t, w.stuck())
	l.tracks[0].busyNs.Store(monotime.Now() - (longestRun + time.Second).Nanoseconds())
	require.ErrorIs(t, w.stuck(), ErrHung)
}

func TestALoadThatHangsEndsTheWorker(t *testing.T) {
	w := &worker{log: slog.New(slog.DiscardHandler), config: &wire.Configure{ParallelRuns: 2}}
	s := &station{config: &wire.StationConfig{Name: "line1/aoi-1", BundleDir: onnxtest.Bundle(t)}}
	loads := 0
	group, ctx := errgroup.WithContext(t.Context())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rt := fakeRuntime{&fake.Runtime{Script: func(spec infer.Spec, stop <-chan struct{}) error {
		loads++
		require.NoError(t, w.stuck(), "each session has the whole time")
		w.loading.Load().sinceNs -= (longestLoad + time.Second).Nanoseconds()
		err := w.stuck()
		require.ErrorIs(t, err, ErrHung)
		require.ErrorContains(t, err, "line1/aoi-1")
		return twoDetections(spec, stop)
	}}}
	_, err := newOpener(w, group, rt).lane(ctx, s, s.config)
	require.NoError(t, err)
	require.Equal(t, 2, loads)
	require.NoError(t, w.stuck(), "what is loaded hangs no longer")
	cancel()
	require.NoError(t, group.Wait())
}

func TestSupervisorThatLeavesBeforeItConfigures(t *testing.T) {
	ours, theirs := pair(t)
	require.NoError(t, ours.Close())
	require.NoError(t, Run(t.Context(), theirs, Options{}))
	require.ErrorIs(t, closed(io.EOF), errDone)
}
