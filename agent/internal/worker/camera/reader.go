package camera

import (
	"sync/atomic"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// Who ended a reader: the last two are final, and only one of them happens.
const (
	running int32 = iota
	finished
	abandoned
)

// reader owns one source. Every call into the source happens on the reader's goroutine, so that a call that
// never returns costs a goroutine and not the camera. At most one job is under way.
type reader struct {
	jobs  chan *frame.Frame // closed by the camera: no more
	done  chan reading      // room for one: the reader never waits here, nor misses the camera's absence
	gone  chan struct{}     // closed when the source is closed
	now   func() int64
	fate  atomic.Int32
	stuck *atomic.Int32 // the camera's count of abandoned readers
}

// reading is the outcome of opening the source (f is nil), or of one read.
type reading struct {
	f   *frame.Frame
	at  int64 // CLOCK_MONOTONIC when the picture was in memory
	err error
}

// arriver is a source that decodes a picture after its arrival, which would make it look younger than it is.
type arriver interface {
	arrivedNs() int64 // CLOCK_MONOTONIC, of the last read
}

func startReader(open opener, now func() int64, stuck *atomic.Int32) *reader {
	r := &reader{
		jobs: make(chan *frame.Frame, 1), done: make(chan reading, 1), gone: make(chan struct{}),
		now: now, stuck: stuck,
	}
	go r.run(open)
	return r
}

func (r *reader) run(open opener) {
	defer r.finish()
	src, err := open()
	r.done <- reading{err: err}
	if err != nil {
		return
	}
	for f := range r.jobs {
		err := src.Read(f)
		at := r.now()
		if early, ok := src.(arriver); ok {
			at = early.arrivedNs()
		}
		r.done <- reading{f: f, at: at, err: err}
	}
	_ = src.Close() // nothing is left to lose
}

func (r *reader) finish() {
	for range r.jobs { // closed by now, or soon; a job that came too late has its frame released below
		continue
	}
	select {
	case late := <-r.done: // nobody took it
		if late.f != nil {
			late.f.Release()
		}
	default:
	}
	if !r.fate.CompareAndSwap(running, finished) {
		r.stuck.Add(-1)
	}
	close(r.gone)
}

// stop ends the reader and waits for it as long as grace. It reports false when the reader had to be
// abandoned.
func (r *reader) stop(grace time.Duration) bool {
	close(r.jobs)
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-r.gone:
		return true
	case <-t.C:
	}
	r.stuck.Add(1)
	if r.fate.CompareAndSwap(running, abandoned) {
		return false
	}
	r.stuck.Add(-1) // it came back in this very moment
	return true
}
