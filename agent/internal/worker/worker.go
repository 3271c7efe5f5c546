// Package worker is the process that may die: cameras and inference behind one socket to the supervisor. It
// answers each Inspect with exactly one Inspected, keeps frames until their part is settled, and never
// outlives its supervisor.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
)

// farewell bounds the wait for goroutines that a driver may hold at the end.
const farewell = time.Second

// changesEach is how many changes of a station may wait for the load of another.
const changesEach = 8

// maxStations bounds what Configure may ask for.
const maxStations = 256

// errDone ends all goroutines when the worker's work is done: asked to, or the supervisor is gone.
var errDone = errors.New("done")

// ErrHung is returned when a driver does not come back, so that the process must be replaced.
var ErrHung = errors.New("a driver hangs")

// Runtime opens models: ONNX Runtime, or the fake of tests.
type Runtime interface {
	Open(s infer.Spec) (infer.Runner, error)
	Version() string
}

// Options of a worker.
type Options struct {
	Version string
	OpenCV  string // its version; empty when this build has none
	// Runtime loads the inference runtime; path is empty for its default.
	Runtime func(path string) (Runtime, error)
	Log     *slog.Logger
}

type worker struct {
	conn     *wire.Conn
	opts     Options
	log      *slog.Logger
	config   *wire.Configure
	stations []*station
	pictures *pictures
	lanes    lanes
	changes  chan *wire.Change
	loading  atomic.Pointer[load] // nil: none
	fatal    chan error           // from callbacks of cameras; the first is kept
}

// Run serves the supervisor at the other end of conn until it closes the socket or asks to end: then it
// returns nil. An error says why this process must be replaced.
func Run(ctx context.Context, conn net.Conn, opts Options) error {
	w := &worker{conn: wire.NewConn(conn), opts: opts, log: opts.Log, fatal: make(chan error, 1)}
	defer func() { _ = w.conn.Close() }()
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = w.conn.Close() }) // unblocks the reader
	defer stop()
	group.Go(func() error { return w.serve(ctx, group) })
	return w.wait(ctx, group)
}

// wait returns the first error, without waiting for goroutines that a driver holds.
func (w *worker) wait(ctx context.Context, group *errgroup.Group) error {
	ended := make(chan error, 1)
	go func() { ended <- group.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		select {
		case err = <-ended:
		case <-time.After(farewell):
			err = fmt.Errorf("%w at the end: %w", ErrHung, context.Cause(ctx))
		}
	}
	if errors.Is(err, errDone) && !errors.Is(err, ErrHung) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// serve reads Configure, starts everything, and becomes the socket's reader.
func (w *worker) serve(ctx context.Context, group *errgroup.Group) error {
	if err := w.receiveConfigure(); err != nil {
		return err
	}
	rt, reason := w.loadRuntime()
	if err := w.sendHello(rt); err != nil {
		return err
	}
	w.pictures = newPictures(w.conn, w.log)
	for i, c := range w.config.GetStations() {
		w.stations = append(w.stations, newStation(uint32(i), c, w))
	}
	w.changes = make(chan *wire.Change, changesEach*len(w.stations))
	group.Go(func() error { return w.beat(ctx) })
	group.Go(func() error { return w.pictures.run(ctx) })
	group.Go(func() error { return w.pictures.send(ctx) })
	group.Go(func() error { return w.watch(ctx) })
	group.Go(func() error { return w.open(ctx, group, rt, reason) })
	return w.read()
}

func (w *worker) receiveConfigure() error {
	kind, payload, err := w.conn.Receive()
	if err != nil {
		return fmt.Errorf("wait for configuration: %w", closed(err))
	}
	if kind != wire.KindConfigure {
		return fmt.Errorf("%w: message %d came before the configuration", wire.ErrFrame, kind)
	}
	w.config = &wire.Configure{}
	if err := w.conn.Decode(payload, w.config); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if n := len(w.config.GetStations()); n > maxStations {
		return fmt.Errorf("read configuration: %d stations are over %d", n, maxStations)
	}
	return nil
}

// loadRuntime returns a sentence for the operator when there is none: then each station is refused with it.
func (w *worker) loadRuntime() (Runtime, string) {
	rt, err := w.opts.Runtime(w.config.GetOnnxruntimeLibrary())
	if err != nil {
		w.log.Error("inference runtime does not load", "error", err)
		return nil, err.Error()
	}
	return rt, ""
}

func (w *worker) sendHello(rt Runtime) error {
	hello := &wire.Hello{Pid: int32(os.Getpid()), Version: w.opts.Version, OpencvVersion: w.opts.OpenCV}
	if rt != nil {
		hello.OnnxruntimeVersion = said(rt.Version())
	}
	return closed(w.conn.Send(wire.KindHello, hello))
}

// watch ends the worker for what a camera's callback reported.
func (w *worker) watch(ctx context.Context) error {
	select {
	case err := <-w.fatal:
		return err
	case <-ctx.Done():
		return nil
	}
}

func (w *worker) die(err error) {
	select {
	case w.fatal <- err:
	default:
	}
}

// closed makes the end of the socket the orderly end of the worker.
func closed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err,
		io.ErrClosedPipe) || broken(err) {
		return errDone
	}
	return err
}
