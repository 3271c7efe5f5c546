package worker

import (
	"context"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/fake"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// fakeRuntime is the fake with the version that a worker asks for.
type fakeRuntime struct{ *fake.Runtime }

func (fakeRuntime) Version() string { return "fake" }

// supervisor is the other end of a worker under test.
type supervisor struct {
	*testing.T
	conn  *wire.Conn
	ended chan error
}

// pair returns both ends of a Unix socket, as the agent makes them.
func pair(tb testing.TB) (net.Conn, net.Conn) {
	tb.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(tb, err)
	var ends [2]net.Conn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "socket")
		ends[i], err = net.FileConn(file)
		require.NoError(tb, err)
		require.NoError(tb, file.Close())
	}
	return ends[0], ends[1]
}

func start(t *testing.T, runtime func(string) (Runtime, error), stations ...*wire.StationConfig) *supervisor {
	t.Helper()
	return configured(t, runtime, &wire.Configure{Stations: stations})
}

func configured(t *testing.T, runtime func(string) (Runtime, error), configure *wire.Configure) *supervisor {
	t.Helper()
	ours, theirs := pair(t)
	require.NoError(t, ours.SetReadDeadline(time.Now().Add(time.Minute)))
	s := &supervisor{T: t, conn: wire.NewConn(ours), ended: make(chan error, 1)}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	go func() {
		s.ended <- Run(context.WithoutCancel(t.Context()), theirs,
			Options{Version: "test", Runtime: runtime, Log: log})
	}()
	require.NoError(t, s.conn.Send(wire.KindConfigure, configure))
	t.Cleanup(func() {
		require.NoError(t, s.conn.Close())
		select {
		case err := <-s.ended:
			t.Log("the worker ended", err)
		case <-time.After(patience):
			t.Error("the worker did not end with its supervisor")
		}
	})
	return s
}

func scripted(script func(infer.Spec, <-chan struct{}) error) func(string) (Runtime, error) {
	return func(string) (Runtime, error) { return fakeRuntime{&fake.Runtime{Script: script}}, nil }
}

// expect reads until a message of the kind comes; heartbeats and states before it pass by.
func expect[M proto.Message](s *supervisor, kind wire.Kind, m M) M {
	s.Helper()
	for {
		got, payload, err := s.conn.Receive()
		require.NoError(s, err)
		if got == kind {
			require.NoError(s, s.conn.Decode(payload, m))
			return m
		}
		require.Contains(s, []wire.Kind{wire.KindHeartbeat, wire.KindStationState, wire.KindHello}, got,
			"while waiting for kind %d", kind)
	}
}

// ready reads states until a station is ready.
func (s *supervisor) ready() *wire.StationState {
	s.Helper()
	for {
		m := expect(s, wire.KindStationState, &wire.StationState{})
		if m.GetPhase() == wire.Phase_PHASE_READY {
			return m
		}
		require.NotEqual(s, wire.Phase_PHASE_REFUSED, m.GetPhase(), m.GetReason())
	}
}

func (s *supervisor) inspect(job uint64, deadline time.Duration) {
	s.Helper()
	m := &wire.Inspect{Job: job}
	if deadline != 0 {
		m.DeadlineNs = monotime.Now() + deadline.Nanoseconds()
	}
	require.NoError(s, s.conn.Send(wire.KindInspect, m))
}

func (s *supervisor) inspected() *wire.Inspected {
	s.Helper()
	return expect(s, wire.KindInspected, &wire.Inspected{})
}

// answered is the next Inspected, whatever comes before it.
func (s *supervisor) answered() *wire.Inspected {
	s.Helper()
	for {
		kind, payload, err := s.conn.Receive()
		require.NoError(s, err)
		if kind == wire.KindInspected {
			m := &wire.Inspected{}
			require.NoError(s, s.conn.Decode(payload, m))
			return m
		}
	}
}

func (s *supervisor) exposed() *wire.Exposed {
	s.Helper()
	return expect(s, wire.KindExposed, &wire.Exposed{})
}

func simStation(tb testing.TB) *wire.StationConfig {
	tb.Helper()
	return &wire.StationConfig{
		Name: "line1/aoi-1", Camera: "sim:?seed=1", BundleDir: onnxtest.Bundle(tb),
		MaxCrops: 2,
	}
}
