// Package outbox is the durable queue between a verdict and the uplink. What Append has returned for, or
// Offer's writer has stored, survives a killed process and a power cut, and is read in order until it is
// acknowledged.
//
// On disk it is a directory of append-only segments, each named by its first sequence number, and a cursor:
//
//	00000000000000000001.seg   records 1 … 8203
//	00000000000000008204.seg   records 8204 … (the newest is written to)
//	cursor                     the last acknowledged sequence number, appended, last valid entry counts
//	reserve                    as large as a segment, given up when the disk is full
//	lock                       held while a process has the outbox open
//
// A record, little endian:
//
//	 0      4          8        12        16         24        32     36     38   39      40
//	┌──────┬──────────┬────────┬─────────┬──────────┬─────────┬──────┬──────┬────┬───────┬───────┬─────────┐
//	│ SLR1 │ crc head │ crc    │ payload │ sequence │ stored, │ boot │ topic│prio│ 0     │ topic │ payload │
//	│      │ 8 … 39   │ body   │ length  │          │ ns      │      │ len  │    │       │       │         │
//	└──────┴──────────┴────────┴─────────┴──────────┴─────────┴──────┴──────┴────┴───────┴───────┴─────────┘
//
// Both sums are CRC-32C. The header has its own, so that a length is only believed when it is whole: a
// flipped bit in a body costs that record, and one in a header makes the reader look for the next magic whose
// header and body sums fit. "Stored" is CLOCK_MONOTONIC of the boot with that number; no wall clock decides
// anything here.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

// Priority says what is dropped first when there is no room.
type Priority uint8

// The priorities. A stored Normal record makes room for a High one; never the other way.
const (
	Normal     Priority = iota // parts that passed
	High                       // rejects, states, reports
	priorities = iota
)

// The bounds of an entry.
const (
	MaxTopicBytes   = 1024
	MaxPayloadBytes = 256 << 10
)

// Errors that a caller tells apart.
var (
	ErrFull   = errors.New("outbox is full")
	ErrClosed = errors.New("outbox is closed")
)

// Entry is what is to be sent. The outbox keeps the payload until it is on disk: do not change it.
type Entry struct {
	Priority Priority
	Topic    string
	Payload  []byte
}

// Options have defaults that are right for a node; only Dir must be set.
type Options struct {
	Dir          string
	MaxBytes     int64 // of all segments and the reserve, default 1 GiB
	SegmentBytes int64 // default 8 MiB, at most a quarter of MaxBytes
	QueueDepth   int   // entries in memory, default 1024
	FS           fsutil.FS
	Log          *slog.Logger
	Now          func() int64 // monotonic nanoseconds
	Boot         uint32       // identity of this boot
}

// Stats are counts since Open, except Backlog and Bytes, which are of now.
type Stats struct {
	Backlog      uint64 // records not acknowledged, an upper bound after drops
	Bytes        int64  // on disk
	Stored       uint64
	Dropped      [priorities]uint64 // by priority: refused or squeezed out
	Corrupt      uint64             // damaged places found, one record each as a rule
	TornBytes    int64              // cut off at Open
	WriteErrors  uint64
	OpenDuration time.Duration
}

// Outbox is safe for concurrent use by any number of writers and one reader (Next, Ack, Rewind).
type Outbox struct {
	options Options
	log     *slog.Logger
	lock    *os.File

	closing sync.RWMutex // held for reading while an entry enters the queue
	closed  bool
	queue   chan pending
	queued  atomic.Int64 // payload bytes in the queue
	stop    chan struct{}
	owned   sync.WaitGroup
	wake    chan struct{} // something became readable
	acked   chan struct{} // the cursor moved

	disk   writer // used by the writer's goroutine only
	mu     sync.Mutex
	kept   segments // guarded by mu
	cursor uint64   // guarded by mu: acknowledged up to here
	place  place    // guarded by mu: read up to here

	dropped     [priorities]atomic.Uint64
	stored      atomic.Uint64
	corrupt     atomic.Uint64
	writeErrors atomic.Uint64
	tornBytes   int64
	took        time.Duration
}

const (
	defaultMaxBytes     = 1 << 30
	defaultSegmentBytes = 8 << 20
	defaultQueueDepth   = 1024
	maxQueuedBytes      = 16 << 20
)

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	o.SegmentBytes = min(o.SegmentBytes, o.MaxBytes/4)
	if o.QueueDepth == 0 {
		o.QueueDepth = defaultQueueDepth
	}
	if o.FS == nil {
		o.FS = fsutil.OS{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = monotime.Now
	}
	if o.Boot == 0 {
		o.Boot = bootID()
	}
	return o
}

// Open takes the directory over, cuts what a crash left half written, and starts the writer. It reads only
// the newest segment, so it takes well under a second whatever is stored.
func Open(options Options) (*Outbox, error) {
	begin := monotime.Now()
	options = options.withDefaults()
	if err := os.MkdirAll(options.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("create outbox: %w", err)
	}
	lock, err := lockDir(options.Dir)
	if err != nil {
		return nil, err
	}
	o := &Outbox{
		options: options, log: options.Log, lock: lock,
		queue: make(chan pending, options.QueueDepth), stop: make(chan struct{}),
		wake: make(chan struct{}, 1), acked: make(chan struct{}, 1),
	}
	if err := o.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open outbox %s: %w", options.Dir, err), lock.Close())
	}
	o.took = monotime.Since(begin)
	o.owned.Go(o.run)
	return o, nil
}

// Offer stores the entry soon and never waits: with the memory queue full it returns ErrFull and counts a
// drop.
func (o *Outbox) Offer(e Entry) error {
	if err := e.check(); err != nil {
		return err
	}
	o.closing.RLock()
	defer o.closing.RUnlock()
	if o.closed {
		return ErrClosed
	}
	size := int64(len(e.Payload))
	if o.queued.Add(size) > maxQueuedBytes {
		o.queued.Add(-size)
		o.drop(e.Priority)
		return fmt.Errorf("%w: the disk is too slow", ErrFull)
	}
	select {
	case o.queue <- pending{entry: e, stored: o.options.Now()}:
		return nil
	default:
		o.queued.Add(-size)
		o.drop(e.Priority)
		return fmt.Errorf("%w: the disk is too slow", ErrFull)
	}
}

// Append returns nil once the entry is durable. With an error it may still be sent: give it the same event id
// when trying again.
func (o *Outbox) Append(ctx context.Context, e Entry) error {
	if err := e.check(); err != nil {
		return err
	}
	p := pending{entry: e, stored: o.options.Now(), done: make(chan error, 1)}
	if err := o.enqueue(ctx, p); err != nil {
		return err
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("append to outbox: %w", ctx.Err())
	}
}

func (o *Outbox) enqueue(ctx context.Context, p pending) error {
	o.closing.RLock()
	defer o.closing.RUnlock()
	if o.closed {
		return ErrClosed
	}
	o.queued.Add(int64(len(p.entry.Payload)))
	select {
	case o.queue <- p:
		return nil
	case <-ctx.Done():
		o.queued.Add(-int64(len(p.entry.Payload)))
		return fmt.Errorf("append to outbox: %w", ctx.Err())
	}
}

// Close stores what is queued, persists the cursor, and frees the directory.
func (o *Outbox) Close() error {
	o.closing.Lock()
	if o.closed {
		o.closing.Unlock()
		return nil
	}
	o.closed = true
	o.closing.Unlock()
	close(o.stop)
	o.owned.Wait()
	return o.lock.Close()
}

// Stats returns the counts so far.
func (o *Outbox) Stats() Stats {
	s := Stats{
		Stored: o.stored.Load(), Corrupt: o.corrupt.Load(), WriteErrors: o.writeErrors.Load(),
		TornBytes: o.tornBytes, OpenDuration: o.took,
	}
	for p := range s.Dropped {
		s.Dropped[p] = o.dropped[p].Load()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s.Bytes = o.kept.bytes()
	s.Backlog = o.kept.last() - min(o.cursor, o.kept.last())
	return s
}

func (o *Outbox) drop(p Priority) { o.dropped[p].Add(1) }

func (e Entry) check() error {
	switch {
	case e.Priority >= priorities:
		return fmt.Errorf("outbox: priority %d is not known", e.Priority)
	case e.Topic == "" || len(e.Topic) > MaxTopicBytes:
		return fmt.Errorf("outbox: a topic has 1 to %d bytes, this has %d", MaxTopicBytes, len(e.Topic))
	case len(e.Payload) > MaxPayloadBytes:
		return fmt.Errorf("outbox: payload of %d bytes is over %d", len(e.Payload), MaxPayloadBytes)
	}
	return nil
}
