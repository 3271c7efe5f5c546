// Package vision is the supervisor's end of the worker processes, which load the drivers and may die: it
// starts one, speaks the wire protocol with it, kills it when its heartbeat stops, and starts the next.
package vision

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// ErrDown says that no worker runs now.
var ErrDown = errors.New("the vision worker is not running")

// ErrBusy says that the worker does not take requests fast enough.
var ErrBusy = errors.New("the vision worker does not take requests")

const (
	queued    = 256                    // requests waiting to be written to the worker
	stable    = 10 * time.Second       // a worker that lived so long dies for the first time
	firstWait = 100 * time.Millisecond // before the second restart in a row
	longWait  = 2 * time.Second
	goodbye   = time.Second // for a worker to leave after Shutdown
	// background is a nice value: a tenth of a core where others want it whole, enough to come to an end.
	background = 10
)

// Process is a running worker: its end of the socket, and its end.
type Process interface {
	Conn() net.Conn
	Kill()       // at once, with all its children
	Wait() error // until it has ended; says how
}

// Died tells a station that the worker which held its jobs is gone: no open job of it will be answered.
type Died struct{ Err error }

// Shadowed tells a station what its shadow has found in a part that is done.
type Shadowed struct{ *wire.Inspected }

// Options says what to run. Deliver is called for each station with *wire.StationState, *wire.Exposed,
// *wire.Progress, *wire.Inspected, *wire.Evidence, *wire.Changed, Shadowed or Died, in the worker's order, by
// one goroutine at a time, of a Crew for each station. The receiver owns the message; while Deliver blocks
// the worker waits.
type Options struct {
	Launch    func(context.Context) (Process, error) // Executable, or a fake
	Configure *wire.Configure
	Deliver   func(station int, message any)
	Log       *slog.Logger
	// Background has the process wait for cores that others want: it tries what may never inspect.
	Background bool
	// RecycleAbove is the bytes of resident memory from which a Crew replaces a worker that has changed what
	// it inspects with, in an idle moment; 0: twice what it took before, and half a gibibyte.
	RecycleAbove int64
	Idle         time.Duration // without a part, after which a moment is idle; 0: ten seconds
}

// Worker keeps one worker process alive. Safe for concurrent use.
type Worker struct {
	opts      Options
	configure atomic.Pointer[wire.Configure] // of the next process
	current   atomic.Pointer[session]
	starts    atomic.Uint64
	deaths    atomic.Uint64
	before    atomic.Int64 // resident bytes of this process before its first change; 0: there was none
	cancel    context.CancelFunc
	done      sync.WaitGroup
}

// Start runs a worker until Close.
func Start(ctx context.Context, opts Options) *Worker {
	ctx, cancel := context.WithCancel(ctx)
	w := &Worker{opts: opts, cancel: cancel}
	w.configure.Store(opts.Configure)
	w.done.Go(func() { w.run(ctx) })
	return w
}

// Close ends the worker and waits until it is gone.
func (w *Worker) Close() {
	w.cancel()
	w.done.Wait()
}

// Inspect asks for a part. It never blocks; an error means that no answer will come.
func (w *Worker) Inspect(m *wire.Inspect) error { return w.send(wire.KindInspect, m) }

// Settle tells the worker that a part is closed. It never blocks.
func (w *Worker) Settle(m *wire.Settle) error { return w.send(wire.KindSettle, m) }

// Change tells the worker what to inspect with. It never blocks; the answer is *wire.Changed, or Died.
func (w *Worker) Change(m *wire.Change) error { return w.send(wire.KindChange, m) }

// Starts counts the processes started.
func (w *Worker) Starts() uint64 { return w.starts.Load() }

// Deaths counts the processes that ended unasked.
func (w *Worker) Deaths() uint64 { return w.deaths.Load() }

// Pid is that of the running worker, 0 when there is none or it has not said yet.
func (w *Worker) Pid() int {
	s := w.current.Load()
	if s == nil {
		return 0
	}
	return int(s.pid.Load())
}

// Counts returns what the running worker has counted at a station since it started, or nil when it has not
// said yet. Not to be changed.
func (w *Worker) Counts(station int) *wire.StationCount {
	s := w.current.Load()
	if s == nil {
		return nil
	}
	for _, c := range s.counts.Load().GetStations() {
		if c.GetStation() == uint32(station) {
			return c
		}
	}
	return nil
}

func (w *Worker) send(kind wire.Kind, m proto.Message) error {
	s := w.current.Load()
	if s == nil {
		return ErrDown
	}
	select {
	case s.queue <- request{kind, m}:
		return nil
	default:
		return ErrBusy
	}
}

// run starts worker after worker. It keeps its thread, since the kernel kills a child of Pdeathsig when the
// thread that started it ends.
func (w *Worker) run(ctx context.Context) {
	runtime.LockOSThread() // never unlocked: the thread ends with its priority, which children inherit
	if w.opts.Background {
		if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), background); err != nil {
			w.opts.Log.WarnContext(ctx, "a trial runs at normal priority", "error", err)
		}
	}
	wait := time.Duration(0)
	for {
		began := time.Now()
		err := w.live(ctx)
		if ctx.Err() != nil {
			return
		}
		w.mourn(err)
		if errors.Is(err, ErrRecycled) {
			w.opts.Log.InfoContext(ctx, "vision worker replaced in an idle moment", "because", ErrRecycled)
			continue
		}
		w.deaths.Add(1)
		w.withdraw()
		if time.Since(began) > stable {
			wait = 0
		}
		w.opts.Log.ErrorContext(ctx, "vision worker died", "error", err,
			"lived_ms", time.Since(began).Milliseconds(), "restart_in_ms", wait.Milliseconds())
		if !pause(ctx, wait) {
			return
		}
		wait = min(max(2*wait, firstWait), longWait)
	}
}

// live runs one worker to its end and returns why it ended.
func (w *Worker) live(ctx context.Context) error {
	process, err := w.opts.Launch(ctx)
	if err != nil {
		return err
	}
	w.starts.Add(1)
	s := newSession(process, w.opts, w.configure.Load())
	w.before.Store(0)
	w.current.Store(s)
	err = s.run(ctx)
	w.current.Store(nil)
	return err
}

// leave keeps the next process from opening a station's camera.
func (w *Worker) leave(station int) {
	next := proto.CloneOf(w.configure.Load())
	next.GetStations()[station].Camera = ""
	w.configure.Store(next)
}

// withdraw has the next process run no shadow: the last one may have died of it.
func (w *Worker) withdraw() {
	next := proto.CloneOf(w.configure.Load())
	for _, s := range next.GetStations() {
		s.Shadow = nil
	}
	w.configure.Store(next)
}

// become has the next process inspect as this one does since a change.
func (w *Worker) become(station int, c *wire.StationConfig) {
	next := proto.CloneOf(w.configure.Load())
	next.Stations[station] = c
	w.configure.Store(next)
}

func (w *Worker) mourn(err error) {
	for i := range w.opts.Configure.GetStations() {
		w.opts.Deliver(i, Died{Err: err})
	}
}

// pause returns false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
