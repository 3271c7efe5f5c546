// Package part is the ledger of one station: a trigger opens a part, an answer is attached to it, and each
// part is closed exactly once, at the latest at its deadline. It is pure logic: it starts no goroutine and
// reads no clock.
package part

import (
	"errors"
	"strconv"
	"time"
)

// What the ledger refuses, for callers that branch.
var (
	ErrOverrun   = errors.New("too many open parts")
	ErrDuplicate = errors.New("a part of this name is open already")
	ErrLate      = errors.New("the part was closed before")
	ErrAnswered  = errors.New("the part has had its answer")
	ErrUnknown   = errors.New("no such job")
)

// Order is what a trigger asks for. Times are CLOCK_MONOTONIC nanoseconds, At is the trigger's wall-clock
// label.
type Order struct {
	PartID     string // empty: the part is named after its job
	ProductID  string
	TriggerNs  int64
	DeadlineNs int64
	At         time.Time
}

// Part is one inspected thing with the answer V of the worker. It belongs to the goroutine that owns the
// ledger.
type Part[V any] struct {
	Order
	Job       uint64 // also the acquisition id
	JobID     string // unique beyond this process
	ExposedNs int64  // 0 until the camera has taken it
	View      V      // valid when Seen
	Seen      bool
	ResultID  string // set by the owner at the close
	closed    bool
}

// Ledger holds the open parts of one station. Not safe for concurrent use.
type Ledger[V any] struct {
	boot     string
	next     func() uint64
	limit    int
	open     []*Part[V] // in the order of opening; at most limit, so that a scan is cheaper than an index
	reserved []uint64   // jobs asked for whose part opens at the exposure
	closed   [remembered]*Part[V]
	closes   uint64
}

// DefaultLimit bounds the open parts of a station.
const DefaultLimit = 64

// remembered is how many closed parts are kept to tell a late answer from an unknown one: four times what can
// be open, so that the answer to each part of a full ledger finds it.
const remembered = 4 * DefaultLimit

// New makes a ledger. Boot makes job ids unique over restarts; next mints job numbers, unique in the process.
func New[V any](boot string, next func() uint64, limit int) *Ledger[V] {
	return &Ledger[V]{boot: boot, next: next, limit: limit, open: make([]*Part[V], 0, limit)}
}

// Open opens a part for a trigger, or returns ErrDuplicate or ErrOverrun.
func (l *Ledger[V]) Open(o Order) (*Part[V], error) {
	if o.PartID != "" && l.named(o.PartID) {
		return nil, ErrDuplicate
	}
	return l.add(l.next(), o)
}

// Reserve mints the job of a part that will open when its exposure is reported.
func (l *Ledger[V]) Reserve() uint64 {
	job := l.next()
	l.reserved = append(l.reserved, job)
	return job
}

// OpenAs opens the part of a job that was reserved and released for it.
func (l *Ledger[V]) OpenAs(job uint64, o Order) (*Part[V], error) {
	if l.find(job) != nil || l.Closed(job) != nil {
		return nil, ErrDuplicate
	}
	return l.add(job, o)
}

// Release gives up a reservation and says whether there was one.
func (l *Ledger[V]) Release(job uint64) bool {
	for i, r := range l.reserved {
		if r == job {
			l.reserved = append(l.reserved[:i], l.reserved[i+1:]...)
			return true
		}
	}
	return false
}

// Reserved counts the reservations that are neither opened nor released.
func (l *Ledger[V]) Reserved() int { return len(l.reserved) }

// Stillborn makes a part that is closed from the start: for a trigger that can only be answered with UNKNOWN.
func (l *Ledger[V]) Stillborn(o Order) *Part[V] {
	p := l.mint(l.next(), o)
	l.remember(p)
	return p
}

// Expose notes when the part of a job was exposed.
func (l *Ledger[V]) Expose(job uint64, exposedNs int64) (*Part[V], error) {
	p := l.find(job)
	if p == nil {
		return l.Closed(job), l.absent(job)
	}
	p.ExposedNs = exposedNs
	return p, nil
}

// Attach gives the answer to the open part of its job, and to no other. The part stays open. With ErrLate and
// ErrAnswered it returns the closed part where that is remembered.
func (l *Ledger[V]) Attach(job uint64, view V) (*Part[V], error) {
	p := l.find(job)
	switch {
	case p == nil:
		return l.late(job)
	case p.Seen:
		return p, ErrAnswered
	}
	p.View, p.Seen = view, true
	return p, nil
}

// Close closes an open part. It returns false when the part was closed before.
func (l *Ledger[V]) Close(p *Part[V]) bool {
	if p.closed {
		return false
	}
	for i, o := range l.open {
		if o == p {
			copy(l.open[i:], l.open[i+1:])
			l.open[len(l.open)-1] = nil
			l.open = l.open[:len(l.open)-1]
			break
		}
	}
	l.remember(p)
	return true
}

// NextDeadline returns the earliest deadline of the open parts, and false when none is open.
func (l *Ledger[V]) NextDeadline() (int64, bool) {
	if len(l.open) == 0 {
		return 0, false
	}
	first := l.open[0].DeadlineNs
	for _, p := range l.open[1:] {
		first = min(first, p.DeadlineNs)
	}
	return first, true
}

// Expire closes and returns one part whose deadline has come, the longest open first, or returns nil.
func (l *Ledger[V]) Expire(nowNs int64) *Part[V] {
	for _, p := range l.open {
		if p.DeadlineNs <= nowNs {
			l.Close(p)
			return p
		}
	}
	return nil
}

// CloseOldest closes and returns the part that has been open longest, or returns nil.
func (l *Ledger[V]) CloseOldest() *Part[V] {
	if len(l.open) == 0 {
		return nil
	}
	p := l.open[0]
	l.Close(p)
	return p
}

// Len counts the open parts.
func (l *Ledger[V]) Len() int { return len(l.open) }

func (l *Ledger[V]) add(job uint64, o Order) (*Part[V], error) {
	if len(l.open) >= l.limit {
		return nil, ErrOverrun
	}
	p := l.mint(job, o)
	l.open = append(l.open, p)
	return p, nil
}

func (l *Ledger[V]) mint(job uint64, o Order) *Part[V] {
	p := &Part[V]{Order: o, Job: job, JobID: l.boot + "-" + strconv.FormatUint(job, 10)}
	if p.PartID == "" {
		p.PartID = p.JobID
	}
	return p
}

func (l *Ledger[V]) find(job uint64) *Part[V] {
	for _, p := range l.open {
		if p.Job == job {
			return p
		}
	}
	return nil
}

func (l *Ledger[V]) named(partID string) bool {
	for _, p := range l.open {
		if p.PartID == partID {
			return true
		}
	}
	return false
}
