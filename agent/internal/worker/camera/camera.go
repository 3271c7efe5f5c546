// Package camera takes frames from whatever a station's camera URI names, and goes on doing so when the
// camera hangs, lies or leaves.
//
// A paced camera runs by its own clock: the newest frame waits in a one-slot mailbox and displaces the one
// before it. A stepped one (files, folders and boards without a rate) reads its next picture when it is
// asked for one. It drops only what came after its part's deadline.
//
// A read cannot be cancelled once it is in C. Each capture therefore has its own goroutine, and one that
// misses its time is left behind with the frame that it may still write to. Too many of them, and only a
// new process helps.
package camera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/latest"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/sparse"
)

const (
	defaultOpenTimeout = 5 * time.Second
	defaultReadTimeout = time.Second
	defaultFrames      = 8
	defaultStaleAfter  = 3
	// maxStuck captures may hang in C at one time; then the process must be replaced.
	maxStuck = 4
	// spareFrames are those not in the caller's hands: one being written, one waiting, one with each stuck
	// capture.
	spareFrames = 2 + maxStuck
)

// What Next returns besides a frame, io.EOF at the end of a file or folder, and the context's error.
var (
	// ErrNoFrame: there is no camera at present. The text has the camera's reason.
	ErrNoFrame = errors.New("no frame")
	// ErrBadFrame: there was a picture, and it cannot be read. The next may be good.
	ErrBadFrame = errors.New("bad frame")
	// ErrStale: the camera repeats the same picture.
	ErrStale = errors.New("stale frame: the camera repeats the same picture")
	// ErrDeadline: the camera works, but no frame came in time.
	ErrDeadline = errors.New("no frame before the deadline")
)

// Options of one camera. The zero value has defaults that are right for a line.
type Options struct {
	OpenTimeout time.Duration // until the first frame, default 5 s
	// ReadTimeout is the longest that a live camera may be silent, default 1 s. A camera with a hardware
	// trigger is silent while the line stands: give it longer.
	ReadTimeout time.Duration
	Frames      int // frames that the caller may hold at one time, default 8
	// StaleAfter identical pictures in a row a live camera is stale, default 3; negative: never.
	StaleAfter int
	// Gray lets a JPEG in colour become gray as it is decoded, which keeps a large sheet in a third of the
	// memory. Nobody may look for colours then.
	Gray bool
	Log  *slog.Logger
	// OnState is told of each change, one at a time, on a goroutine of the camera. It must neither block nor
	// call the camera's methods.
	OnState func(State)

	now func() int64 // CLOCK_MONOTONIC, or a test's
}

// Counts of one camera since Start. Captured = Taken + Displaced + Waiting, in each snapshot.
type Counts struct {
	Captured     uint64 // good frames, complete in memory
	Taken        uint64 // returned by Next
	Displaced    uint64 // replaced by a newer one, exposed before the part, or after its deadline
	Waiting      uint64 // in the mailbox: 0 or 1
	BadFrames    uint64 // pictures that could not be read
	StaleFrames  uint64 // repeated pictures, withheld
	HungCaptures uint64 // abandoned in an open, a read or a close that did not return in time
	Reconnects   uint64 // captures that worked, after the first
}

// Camera manages one source. Next is for one caller at a time; everything else is safe for concurrent use.
type Camera struct {
	spec   spec
	opt    Options
	open   opener
	log    *slog.Logger
	warn   *sparse.Log
	pool   *frame.Pool
	box    *latest.Box[shot]
	shots  chan *shot    // unused ones
	want   chan struct{} // wakes a stepped source: look at steps
	change chan struct{} // wakes Next: the state is another one
	timer  *time.Timer   // Next's deadline
	cancel context.CancelFunc
	done   chan struct{}
	stuck  atomic.Int32 // captures that hang now

	mu     sync.Mutex // guards what follows, and makes the mailbox and its counts one step
	state  State
	counts Counts
	steps  steps
}

// Start begins to open the camera and returns at once. It fails only for a URI or options that can never
// work; a camera that is absent or broken is tried again until Close or the end of ctx.
func Start(ctx context.Context, uri string, o Options) (*Camera, error) {
	s, err := understand(uri)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	return start(ctx, s, o, func() (source, error) { return openSource(s, o) }), nil
}

func start(ctx context.Context, s spec, o Options, open opener) *Camera {
	o = o.withDefaults()
	ctx, cancel := context.WithCancel(ctx)
	c := &Camera{
		spec: s, opt: o, open: open, log: o.Log.With("camera", s.shown),
		warn: sparse.New(o.Log.With("camera", s.shown), o.now),
		pool: frame.NewPool(o.Frames + spareFrames),
		box:  latest.New[shot](), shots: make(chan *shot, shotsInUse),
		want: make(chan struct{}, 1), change: make(chan struct{}, 1),
		timer: time.NewTimer(time.Hour), cancel: cancel, done: make(chan struct{}),
		state: State{
			Phase: Opening, Reason: "the camera is being opened", Paced: s.paced(),
			Simulated: s.simulated(),
		},
	}
	c.timer.Stop()
	for range shotsInUse {
		c.shots <- &shot{}
	}
	go c.run(ctx)
	return c
}

func (o Options) withDefaults() Options {
	if o.OpenTimeout <= 0 {
		o.OpenTimeout = defaultOpenTimeout
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = defaultReadTimeout
	}
	if o.Frames <= 0 {
		o.Frames = defaultFrames
	}
	if o.StaleAfter == 0 {
		o.StaleAfter = defaultStaleAfter
	}
	if o.now == nil {
		o.now = monotime.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Counts returns a consistent snapshot.
func (c *Camera) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// State returns what OnState was told last.
func (c *Camera) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Close ends the camera and waits for its goroutines, but no longer than ReadTimeout for a capture that is
// in C: that one is abandoned, counted, and returned as an error. Frames that are still out stay valid
// until released.
func (c *Camera) Close() error {
	c.cancel()
	<-c.done
	c.mu.Lock()
	if s := c.box.TryTake(); s != nil && s.f != nil {
		c.counts.Waiting, c.counts.Displaced = 0, c.counts.Displaced+1
		s.f.Release()
	}
	c.mu.Unlock()
	c.pool.Close()
	if n := c.stuck.Load(); n > 0 {
		return fmt.Errorf("close camera: %d captures hang in their driver and were left behind", n)
	}
	return nil
}

// source is where frames come from. Only one goroutine calls it.
type source interface {
	// Read fills f with the next picture. io.EOF: there are no more. ErrBadFrame: this one is unreadable. Any
	// other error: the source is broken and must be opened again.
	Read(f *frame.Frame) error
	io.Closer
}

type opener func() (source, error)
