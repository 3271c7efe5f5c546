package vision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// The worker beats every 200 ms. Missed beats are counted in ticks and not by the clock, so that a supervisor
// which was itself stopped for a while does not take its worker for dead.
const (
	tick      = 200 * time.Millisecond
	missed    = 5  // beats
	helloWait = 50 // ticks from the start of the process to its Hello: drivers load slowly
)

var (
	errSilent = errors.New("no heartbeat for a second")
	errMute   = errors.New("no hello for ten seconds: does the worker's version match the agent's?")
	errAsked  = errors.New("asked to end")
)

// session is the life of one worker process.
type session struct {
	process  Process
	conn     *wire.Conn
	queue    chan request
	stations int
	opts     Options
	log      *slog.Logger
	greeted  atomic.Bool
	beats    atomic.Uint64
	counts   atomic.Pointer[wire.Heartbeat] // the last one
	pid      atomic.Int64                   // as the worker says it; 0: not yet
	leaving  chan error                     // why it is asked to end
}

type request struct {
	kind wire.Kind
	m    proto.Message
}

func newSession(p Process, opts Options, configure *wire.Configure) *session {
	s := &session{
		process: p, conn: wire.NewConn(p.Conn()), queue: make(chan request, queued),
		stations: len(configure.GetStations()), opts: opts, log: opts.Log, leaving: make(chan error, 1),
	}
	s.queue <- request{wire.KindConfigure, configure}
	return s
}

// run speaks with the worker until it dies, misbehaves, or ctx ends. When it returns the process is gone.
func (s *session) run(ctx context.Context) error {
	ctx, ask := context.WithCancelCause(ctx)
	defer ask(nil)
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case why := <-s.leaving:
			ask(why)
		case <-running.Done():
		}
		return nil
	})
	group.Go(s.read)
	group.Go(func() error { return s.write(running) })
	group.Go(func() error { return s.watch(running) })
	group.Go(func() error { return s.end(ctx, running) })
	err := group.Wait()
	if why := context.Cause(ctx); errors.Is(why, ErrRecycled) {
		_ = s.process.Wait() // how it left when asked to does not matter
		return why
	}
	if how := s.process.Wait(); how != nil && !errors.Is(err, errSilent) {
		return fmt.Errorf("%w: %w", err, how)
	}
	return err
}

// leave asks the worker to end in order.
func (s *session) leave(why error) {
	select {
	case s.leaving <- why:
	default: // it was asked before
	}
}

// end makes the others return: at once when the worker is at fault, with a chance to leave in order when
// the agent stops.
func (s *session) end(ctx, running context.Context) error {
	<-running.Done()
	if ctx.Err() != nil && s.conn.Send(wire.KindShutdown, &wire.Shutdown{}) == nil {
		timer := time.AfterFunc(goodbye, s.process.Kill)
		_ = s.process.Wait() // how it left when asked to does not matter
		timer.Stop()
	}
	s.process.Kill()
	if err := s.conn.Close(); err != nil {
		s.log.DebugContext(ctx, "close worker socket", "error", err)
	}
	return errAsked
}

func (s *session) write(ctx context.Context) error {
	for {
		select {
		case r := <-s.queue:
			if err := s.conn.Send(r.kind, r.m); err != nil {
				return fmt.Errorf("the worker does not listen: %w", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *session) watch(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var seen uint64
	silent := 0
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		if beats := s.beats.Load(); beats != seen {
			seen, silent = beats, 0
			continue
		}
		silent++
		switch greeted := s.greeted.Load(); {
		case greeted && silent >= missed:
			return errSilent
		case !greeted && silent >= helloWait:
			return errMute
		}
	}
}

func (s *session) read() error {
	for {
		kind, payload, err := s.conn.Receive()
		if err != nil {
			return fmt.Errorf("the worker's socket ended: %w", err)
		}
		if err := s.dispatch(kind, payload); err != nil {
			return err
		}
	}
}

func (s *session) dispatch(kind wire.Kind, payload []byte) error {
	switch kind {
	case wire.KindHello:
		return s.hello(payload)
	case wire.KindHeartbeat:
		return s.beat(payload)
	case wire.KindStationState:
		return deliver(s, payload, &wire.StationState{})
	case wire.KindExposed:
		return deliver(s, payload, &wire.Exposed{})
	case wire.KindInspected:
		return deliver(s, payload, &wire.Inspected{})
	case wire.KindProgress:
		return deliver(s, payload, &wire.Progress{})
	case wire.KindEvidence:
		return deliver(s, payload, &wire.Evidence{})
	case wire.KindShadowed:
		return deliver(s, payload, Shadowed{&wire.Inspected{}})
	case wire.KindChanged:
		return deliver(s, payload, &wire.Changed{})
	default:
		return fmt.Errorf("%w: the worker sent kind %d", wire.ErrFrame, kind)
	}
}

func (s *session) hello(payload []byte) error {
	hello := &wire.Hello{}
	if err := s.conn.Decode(payload, hello); err != nil {
		return err
	}
	s.pid.Store(int64(hello.GetPid()))
	s.greeted.Store(true)
	s.beats.Add(1)
	s.log.Info("vision worker started", "pid", hello.GetPid(), "version", hello.GetVersion(),
		"onnxruntime", hello.GetOnnxruntimeVersion(), "opencv", hello.GetOpencvVersion())
	return nil
}

func (s *session) beat(payload []byte) error {
	heartbeat := &wire.Heartbeat{}
	if err := s.conn.Decode(payload, heartbeat); err != nil {
		return err
	}
	s.counts.Store(heartbeat)
	s.beats.Add(1)
	return nil
}

// stationed is what each per-station message has.
type stationed interface {
	proto.Message
	GetStation() uint32
}

func deliver[M stationed](s *session, payload []byte, m M) error {
	if err := s.conn.Decode(payload, m); err != nil {
		return err
	}
	i := m.GetStation()
	if uint64(i) >= uint64(s.stations) {
		return fmt.Errorf("%w: the worker speaks of station %d of %d", wire.ErrFrame, i, s.stations)
	}
	s.opts.Deliver(int(i), m)
	return nil
}
