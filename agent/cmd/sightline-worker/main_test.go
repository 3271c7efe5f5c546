//go:build cgo

package main

import (
	"bytes"
	"image/jpeg"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

const asWorker = "SIGHTLINE_TEST_AS_WORKER"

// TestMain lets the test binary be the worker, too.
func TestMain(m *testing.M) {
	if os.Getenv(asWorker) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// launch starts a real worker process and returns the supervisor's end of its socket.
func launch(t *testing.T, configure *wire.Configure, args ...string) (*exec.Cmd, *wire.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	raw, err := net.FileConn(ours)
	require.NoError(t, err)
	require.NoError(t, ours.Close())
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Env = append(os.Environ(), asWorker+"=1")
	command.ExtraFiles, command.Stderr = []*os.File{theirs}, t.Output()
	require.NoError(t, command.Start())
	require.NoError(t, theirs.Close())
	conn := wire.NewConn(raw)
	require.NoError(t, raw.SetReadDeadline(time.Now().Add(time.Minute)))
	require.NoError(t, conn.Send(wire.KindConfigure, configure))
	t.Cleanup(func() {
		_ = conn.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	return command, conn
}

func expect[M proto.Message](t *testing.T, conn *wire.Conn, kind wire.Kind, m M) M {
	t.Helper()
	for {
		got, payload, err := conn.Receive()
		require.NoError(t, err)
		if got == kind {
			require.NoError(t, conn.Decode(payload, m))
			return m
		}
	}
}

func settledState(t *testing.T, conn *wire.Conn) *wire.StationState {
	t.Helper()
	for {
		m := expect(t, conn, wire.KindStationState, &wire.StationState{})
		if m.GetPhase() != wire.Phase_PHASE_OPENING {
			return m
		}
	}
}

func reference(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../models/pcb-defects")
	require.NoError(t, err)
	return dir
}

func TestSimulatedBoardsAreInspectedByTheReferenceModel(t *testing.T) {
	model, err := bundle.Load(reference(t))
	require.NoError(t, err)
	_, conn := launch(t, &wire.Configure{Stations: []*wire.StationConfig{{
		Name: "line1/aoi-1", Camera: "sim:?seed=3&clean=0", BundleDir: reference(t), MaxCrops: 2,
	}}})
	state := settledState(t, conn)
	require.Equal(t, wire.Phase_PHASE_READY, state.GetPhase(), state.GetReason())
	require.Equal(t, "cpu", state.GetProvider())
	require.True(t, state.GetFellBack())
	require.Contains(t, state.GetFallbackReason(), "tensorrt: ")
	require.Contains(t, state.GetFallbackReason(), "cuda: ")
	found, wrong, drawn := 0, 0, 0
	for job := range uint64(20) {
		require.NoError(t, conn.Send(wire.KindInspect, &wire.Inspect{Job: job}))
		in := expect(t, conn, wire.KindInspected, &wire.Inspected{})
		require.Equal(t, wire.Fault_FAULT_NONE, in.GetFault(), in.GetFaultText())
		hits, misses := compare(in, model.Manifest.Classes)
		found, wrong, drawn = found+hits, wrong+misses, drawn+len(in.GetTruth())
		evidence := job == 0
		require.NoError(t, conn.Send(wire.KindSettle, &wire.Settle{
			Job: job, Evidence: evidence, Verdict: "FAIL", Defects: in.GetDetections(),
		}))
		if evidence {
			picture, err := jpeg.Decode(bytes.NewReader(
				expect(t, conn, wire.KindEvidence, &wire.Evidence{}).GetJpeg()))
			require.NoError(t, err)
			size := picture.Bounds().Size()
			require.Equal(t, 640, size.X)
			require.Greater(t, size.Y, 640, "its caption stands over the frame")
		}
	}
	require.Greater(t, drawn, 20)
	require.GreaterOrEqual(t, float64(found), 0.9*float64(drawn), "found %d of %d", found, drawn)
	require.LessOrEqual(t, float64(wrong), 0.2*float64(drawn), "%d of what was found is not there", wrong)
}

// compare counts the drawn defects that a detection over its class's threshold names, and the detections
// over it that name none.
func compare(in *wire.Inspected, classes []bundle.Class) (found, wrong int) {
	const same = 0.33
	named := make([]bool, len(in.GetTruth()))
	for _, d := range in.GetDetections() {
		if float64(d.GetScore()) < classes[d.GetClass()].Threshold {
			continue
		}
		at := slices.IndexFunc(in.GetTruth(), func(t *wire.Detection) bool {
			return t.GetClass() == d.GetClass() && event.Overlap(corners(t), corners(d)) > same
		})
		switch {
		case at < 0:
			wrong++
		case !named[at]:
			named[at] = true
			found++
		}
	}
	return found, wrong
}

func corners(d *wire.Detection) [4]float32 {
	return [4]float32{d.GetX1(), d.GetY1(), d.GetX2(), d.GetY2()}
}
