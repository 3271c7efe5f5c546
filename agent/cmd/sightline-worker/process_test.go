//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

const memoryLimit = "4294967296"

// checked runs a worker that only checks one bundle, and returns what it says of it.
func checked(t *testing.T, model string) (*wire.StationState, error) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + model)
	require.NoError(t, err)
	command, conn := launch(t, &wire.Configure{Stations: []*wire.StationConfig{{
		Name: "check", BundleDir: onnxtest.Write(t, raw),
	}}}, "--memory-limit", memoryLimit)
	for {
		kind, payload, err := conn.Receive()
		if err != nil {
			return nil, errors.Join(err, command.Wait())
		}
		if kind != wire.KindStationState {
			continue
		}
		state := &wire.StationState{}
		require.NoError(t, conn.Decode(payload, state))
		if state.GetPhase() != wire.Phase_PHASE_OPENING {
			require.NoError(t, command.Wait())
			return state, nil
		}
	}
}

func TestCheckInALimitedProcessTakesAGoodModel(t *testing.T) {
	state, err := checked(t, "mean.onnx")
	require.NoError(t, err)
	require.Equal(t, wire.Phase_PHASE_READY, state.GetPhase(), state.GetReason())
	require.Equal(t, "tiny", state.GetModel().GetName())
}

// Fault 20: a model that wants 128 GiB meets the limit: the runtime's allocation fails, the bundle is refused
// with that reason, and the process ends in order.
func TestHostileModelIsRefusedByALimitedProcess(t *testing.T) {
	state, err := checked(t, "huge.onnx")
	require.NoError(t, err, "the process is to say it, and not to die of it")
	require.Equal(t, wire.Phase_PHASE_REFUSED, state.GetPhase())
	require.Contains(t, state.GetReason(), "cpu: open model: load model:")
	require.Contains(t, state.GetReason(), "std::bad_alloc")
}

// Faults 17 and 16 beside a wrong library: each station says it, and the process lives on.
func TestWrongLibraryIsToldAndInspectsAreAnswered(t *testing.T) {
	_, conn := launch(t, &wire.Configure{
		OnnxruntimeLibrary: "/nonexistent/libonnxruntime.so",
		Stations:           []*wire.StationConfig{{Name: "a", Camera: "sim:", BundleDir: reference(t)}},
	})
	state := settledState(t, conn)
	require.Equal(t, wire.Phase_PHASE_REFUSED, state.GetPhase())
	require.Contains(t, state.GetReason(), "there is no file /nonexistent/libonnxruntime.so")
	require.NoError(t, conn.Send(wire.KindInspect, &wire.Inspect{Job: 3}))
	in := expect(t, conn, wire.KindInspected, &wire.Inspected{})
	require.Equal(t, wire.Fault_FAULT_NOT_READY, in.GetFault())
}

// limitOfCores is the line of a process's limits, as the kernel writes it.
func limitOfCores(t *testing.T, pid string) []string {
	t.Helper()
	raw, err := os.ReadFile("/proc/" + pid + "/limits")
	require.NoError(t, err)
	_, line, found := strings.Cut(string(raw), "Max core file size")
	require.True(t, found)
	return strings.Fields(line)[:2] // soft, hard
}

// started is the process id of a worker that has told the state of a station that it refuses.
func started(t *testing.T, args ...string) string {
	t.Helper()
	command, conn := launch(t, &wire.Configure{
		OnnxruntimeLibrary: "/nonexistent/libonnxruntime.so",
		Stations:           []*wire.StationConfig{{Name: "a", Camera: "sim:", BundleDir: reference(t)}},
	}, args...)
	settledState(t, conn)
	return strconv.Itoa(command.Process.Pid)
}

// The supervisor starts another worker; nobody starts another supervisor with its open parts.
func TestTheKernelEndsTheWorkerFirstWhenMemoryRunsOut(t *testing.T) {
	score, err := os.ReadFile("/proc/" + started(t) + "/oom_score_adj")
	require.NoError(t, err)
	require.Equal(t, "500", strings.TrimSpace(string(score)))
	score, err = os.ReadFile("/proc/" + started(t, "--trial") + "/oom_score_adj")
	require.NoError(t, err)
	require.Equal(t, "1000", strings.TrimSpace(string(score)), "one that tries a bundle before it")
}

// Fault 32: a dump would hold the cameras' passwords.
func TestTheWorkerLeavesNoCoreDumpUnlessAsked(t *testing.T) {
	t.Setenv("GOTRACEBACK", "all")
	require.Equal(t, []string{"0", "0"}, limitOfCores(t, started(t)))
	t.Setenv("GOTRACEBACK", "crash")
	require.Equal(t, limitOfCores(t, "self"), limitOfCores(t, started(t)))
}

func TestTheWorkerNeverOutlivesItsSupervisor(t *testing.T) {
	command, conn := launch(t, &wire.Configure{Stations: []*wire.StationConfig{{
		Name: "a", Camera: "sim:?rate=30", BundleDir: reference(t),
	}}})
	settledState(t, conn)
	require.NoError(t, conn.Close())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(5 * time.Second):
		t.Fatal("it still runs")
	}
}

func TestCommandLine(t *testing.T) {
	var out bytes.Buffer
	require.Equal(t, exitDone, run([]string{"--version"}, &out, io.Discard))
	require.Contains(t, out.String(), "sightline-worker dev")
	require.Equal(t, exitDone, run([]string{"--help"}, io.Discard, io.Discard))
	for _, wrong := range [][]string{
		{"--nonsense"},
		{"extra"},
		{"--log-level", "loud"},
		{"--log-format", "xml"},
	} {
		require.Equal(t, exitUsage, run(wrong, io.Discard, io.Discard), wrong)
	}
	require.Equal(t, exitFailed, run([]string{"--socket", "/nonexistent"}, io.Discard, io.Discard))
}

func TestCamerasAreCheckedWithoutOpeningThem(t *testing.T) {
	command := exec.CommandContext(t.Context(), os.Args[0], "cameras")
	command.Env = append(os.Environ(), asWorker+"=1")
	command.Stdin = strings.NewReader(`["sim:?seed=7", "sim:?sede=7", "v4l2:/dev/video0", "dir:?rate=5"]`)
	out, err := command.Output()
	require.NoError(t, err)
	var faults []string
	require.NoError(t, json.Unmarshal(out, &faults))
	require.Len(t, faults, 4)
	require.Empty(t, faults[0])
	require.Contains(t, faults[1], "sede")
	require.Contains(t, faults[3], "dir needs a folder")

	require.Error(t, checkCameras(strings.NewReader("sim:"), io.Discard))
}

func TestStartedByHandItSaysWhatItWants(t *testing.T) {
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), asWorker+"=1")
	out, err := command.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "by hand, give --socket")
}
