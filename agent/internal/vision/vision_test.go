package vision_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

const asWorker = "SIGHTLINE_TEST_WORKER"

// TestMain makes the test binary a worker of its own when it is started as one.
func TestMain(m *testing.M) {
	if mode := os.Getenv(asWorker); mode != "" {
		os.Exit(beWorker(mode)) //nolint:forbidigo // it is the main of a worker now
	}
	goleak.VerifyTestMain(m)
}

func beWorker(mode string) int {
	fmt.Fprintln(os.Stderr, "driver says hello from", mode)
	fmt.Fprintln(os.Stderr, `{"time":"x","level":"WARN","msg":"camera state","phase":"failed","n":2}`)
	fmt.Fprintln(os.Stderr, `{"level":"LOUD","msg":"not ours"}`)
	conn, err := net.FileConn(os.NewFile(3, "supervisor"))
	if err != nil {
		return 2
	}
	err = fakeworker.Serve(conn, fakeworker.Script{
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
			switch mode {
			case "segv":
				_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
			case "stop": // hangs as a whole
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			default:
				p.Answer(m)
			}
		},
	})
	if err != nil {
		return 1
	}
	return 0
}

// inbox keeps what the worker says.
type inbox struct {
	mu  sync.Mutex
	all []any
}

func (i *inbox) deliver(_ int, m any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all = append(i.all, m)
}

func count[M any](i *inbox) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := 0
	for _, m := range i.all {
		if _, ok := m.(M); ok {
			n++
		}
	}
	return n
}

func await[M any](t *testing.T, i *inbox, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return count[M](i) >= n }, 10*time.Second, time.Millisecond)
}

type launcher = func(context.Context) (vision.Process, error)

func start(t *testing.T, launch launcher, log *slog.Logger) (*vision.Worker, *inbox) {
	t.Helper()
	in := &inbox{}
	w := vision.Start(t.Context(), vision.Options{
		Launch: launch, Deliver: in.deliver, Log: log,
		Configure: &wire.Configure{Stations: []*wire.StationConfig{{Name: "a/b"}}},
	})
	t.Cleanup(w.Close)
	return w, in
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// process launches this test binary as the worker.
func process(t *testing.T, mode string, log *slog.Logger) (*vision.Worker, *inbox) {
	t.Helper()
	t.Setenv(asWorker, mode)
	self, err := os.Executable()
	require.NoError(t, err)
	return start(t, vision.Executable(self, nil, log), log)
}

func TestAWorkerProcessAnswersAndItsLastWordsAreLogged(t *testing.T) {
	out := &buffer{}
	w, in := process(t, "good", slog.New(slog.NewTextHandler(out, nil)))
	await[*wire.StationState](t, in, 1)
	require.NoError(t, w.Inspect(&wire.Inspect{Job: 7}))
	await[*wire.Inspected](t, in, 1)
	w.Close()
	require.Contains(t, out.String(), `msg="vision worker says" line="driver says hello from good"`)
	require.Contains(t, out.String(), `level=WARN msg="vision worker" says="camera state" n=2 phase=failed`)
	require.Contains(t, out.String(), `level=INFO msg="vision worker says" line="{\"level\":\"LOUD\"`)
	require.Zero(t, w.Deaths())
	require.ErrorIs(t, w.Inspect(&wire.Inspect{Job: 8}), vision.ErrDown)
}

// Fault 18: whatever kills the worker, its stations are told and the next one works within two seconds.
func TestAKilledWorkerIsReplacedWithinTwoSeconds(t *testing.T) {
	for _, mode := range []string{"segv", "stop"} {
		t.Run(mode, func(t *testing.T) {
			w, in := process(t, mode, quiet())
			await[*wire.StationState](t, in, 1)
			begin := time.Now()
			require.NoError(t, w.Inspect(&wire.Inspect{Job: 1}))
			await[vision.Died](t, in, 1)
			if mode == "stop" {
				require.Less(t, time.Since(begin), 1500*time.Millisecond, "no heartbeat for a second")
				begin = time.Now()
			}
			await[*wire.StationState](t, in, 2)
			require.Less(t, time.Since(begin), 2*time.Second)
			require.EqualValues(t, 1, w.Deaths())
			require.EqualValues(t, 2, w.Starts())
		})
	}
}

func TestSIGKILLFromOutside(t *testing.T) {
	w, in := process(t, "good", quiet())
	await[*wire.StationState](t, in, 1)
	for i := range 3 {
		begin := time.Now()
		require.NoError(t, syscall.Kill(childOf(t), syscall.SIGKILL))
		await[vision.Died](t, in, i+1)
		await[*wire.StationState](t, in, i+2)
		require.Less(t, time.Since(begin), 2*time.Second)
	}
	require.EqualValues(t, 3, w.Deaths())
}

// childOf returns the pid of this process's only child.
func childOf(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	for _, task := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		require.NoError(t, err)
		var pid int
		if _, err := fmt.Sscan(string(b), &pid); err == nil {
			return pid
		}
	}
	t.Fatal("no child")
	return 0
}

func TestAMissingExecutableIsSaidAndTriedAgain(t *testing.T) {
	out := &buffer{}
	launch := vision.Executable("/nonexistent/worker", nil, quiet())
	_, in := start(t, launch, slog.New(slog.NewTextHandler(out, nil)))
	await[vision.Died](t, in, 3)
	require.Contains(t, out.String(), "check worker.path")
}

// A worker that does not speak the protocol is replaced, and nothing of it reaches a station.
func TestGarbageEndsTheWorker(t *testing.T) {
	broken := []byte{3, 0, 0, 0, byte(wire.KindInspected), 0xff, 0xff}
	stray := &wire.Inspected{Station: 1}
	far := &wire.Inspected{Station: 1 << 31}
	huge := binary.LittleEndian.AppendUint32(nil, 1<<31)
	for name, say := range map[string]func(*fakeworker.Peer){
		"noise":         func(p *fakeworker.Peer) { p.Garbage(bytes.Repeat([]byte{0xff}, 64)) },
		"huge frame":    func(p *fakeworker.Peer) { p.Garbage(huge) },
		"empty frame":   func(p *fakeworker.Peer) { p.Garbage([]byte{0, 0, 0, 0, 0}) },
		"unknown kind":  func(p *fakeworker.Peer) { p.Send(99, &wire.Hello{}) },
		"our own kind":  func(p *fakeworker.Peer) { p.Send(wire.KindInspect, &wire.Inspect{}) },
		"broken proto":  func(p *fakeworker.Peer) { p.Garbage(broken) },
		"wrong station": func(p *fakeworker.Peer) { p.Send(wire.KindInspected, stray) },
		"far station":   func(p *fakeworker.Peer) { p.Send(wire.KindInspected, far) },
	} {
		t.Run(name, func(t *testing.T) {
			var said atomic.Bool
			_, in := start(t, fakeworker.Launch(fakeworker.Script{
				Configured: func(p *fakeworker.Peer, _ *wire.Configure) {
					if said.CompareAndSwap(false, true) {
						say(p)
						return
					}
					p.State(0, wire.Phase_PHASE_READY, "")
				},
			}), quiet())
			await[vision.Died](t, in, 1)
			await[*wire.StationState](t, in, 1)
			require.Zero(t, count[*wire.Inspected](in))
		})
	}
}

// Every drop in the worker is seen outside of it.
func TestCountsOfTheLastHeartbeatAreKept(t *testing.T) {
	w, _ := start(t, fakeworker.Launch(fakeworker.Script{
		Counts: []*wire.StationCount{{Station: 0, Captured: 9, Displaced: 4}},
	}), quiet())
	require.Eventually(t, func() bool { return w.Counts(0) != nil }, 5*time.Second, 10*time.Millisecond)
	require.Equal(t, uint64(4), w.Counts(0).GetDisplaced())
	require.Nil(t, w.Counts(1))
	w.Close()
	require.Nil(t, w.Counts(0))
}

func TestAWorkerWithoutHeartbeatOrHelloIsReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		script fakeworker.Script
		after  time.Duration
	}{
		"silent": {fakeworker.Script{Silent: true}, time.Second},
		"mute":   {fakeworker.Script{Mute: true, Silent: true}, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				w, in := start(t, fakeworker.Launch(c.script), quiet())
				for count[vision.Died](in) == 0 {
					time.Sleep(10 * time.Millisecond) //nolint:forbidigo // synthetic time
				}
				require.InDelta(t, c.after, time.Since(begin), float64(250*time.Millisecond))
				w.Close()
			})
		})
	}
}

func TestRestartsGrowRareAndNeverRarerThanTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Time
		w, _ := start(t, func(context.Context) (vision.Process, error) {
			starts = append(starts, time.Now())
			return nil, errors.New("no such file")
		}, quiet())
		time.Sleep(20 * time.Second) //nolint:forbidigo // synthetic time
		w.Close()
		require.Equal(t, time.Duration(0), starts[1].Sub(starts[0]), "the first time at once")
		require.Equal(t, 100*time.Millisecond, starts[2].Sub(starts[1]))
		for i := 2; i < len(starts); i++ {
			require.LessOrEqual(t, starts[i].Sub(starts[i-1]), 2*time.Second)
		}
		require.Less(t, len(starts), 20)
	})
}

func TestProgressReachesItsStation(t *testing.T) {
	w, in := start(t, fakeworker.Launch(fakeworker.Script{
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Send(wire.KindProgress, &wire.Progress{Job: m.GetJob(), Done: 3, Total: 900})
			p.Answer(m)
		},
	}), quiet())
	await[*wire.StationState](t, in, 1)
	require.Positive(t, w.Pid())
	require.NoError(t, w.Inspect(&wire.Inspect{Job: 7}))
	await[*wire.Inspected](t, in, 1)
	require.Equal(t, 1, count[*wire.Progress](in))
	w.Close()
	require.Zero(t, w.Pid())
}

func TestAWorkerThatTakesNothingCostsNoWaiting(t *testing.T) {
	held := make(chan struct{})
	w, in := start(t, fakeworker.Launch(fakeworker.Script{
		Inspect: func(*fakeworker.Peer, *wire.Inspect) { <-held },
	}), quiet())
	t.Cleanup(func() { close(held) })
	await[*wire.StationState](t, in, 1)
	var refused error
	begin := time.Now()
	for range 1000 {
		refused = errors.Join(refused, w.Inspect(&wire.Inspect{}))
	}
	require.ErrorIs(t, refused, vision.ErrBusy)
	require.Less(t, time.Since(begin), time.Second)
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
