// Package samples keeps the frames that a model can learn most from, as the camera gave them, within a budget
// of bytes and of files: those whose scores are close to a threshold, those that a shadow sees differently,
// and those that an operator overrode. When the budget is full the least valuable goes first, not the oldest.
//
// A sample is a picture and a record of JSON beside it, <line>-<station>/<day>/<resultID>.{png,jpg,json}
// below the store's folder. The record is written last and deleted first, each file whole and synced: a
// picture without a record is no sample, and is deleted at the next start.
package samples

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
	"github.com/sightline-edge/sightline/agent/topic"
)

// MaxPictureBytes bounds one picture.
const MaxPictureBytes = 64 << 20

// Chunks are a picture as it came, one behind the other. Who gets them joins them when it has the time.
type Chunks [][]byte

func (c Chunks) size() (sum int64) {
	for _, part := range c {
		sum += int64(len(part))
	}
	return sum
}

const (
	defaultMaxBytes  = 1 << 30
	defaultMaxCount  = 20_000 // about 5 MB of entries in memory
	defaultPerHour   = 60
	defaultHoldBytes = 64 << 20
	queueDepth       = 64
	maxQueuedBytes   = 2 * MaxPictureBytes
	complaintEvery   = 10 * time.Second
)

// Errors that a caller tells apart.
var (
	ErrFull   = errors.New("sample store is full: the disk is too slow")
	ErrClosed = errors.New("sample store is closed")
	// ErrDeclined says that a sample is worth less than all that is kept, or larger than the budget.
	ErrDeclined = errors.New("not kept: the budget is full of samples that are worth more, or is too " +
		"small for this one: raise samples.max_bytes or samples.max_count")
	ErrUnknown = errors.New("no such part: it is too long ago, or it was never inspected here")
)

// Options have defaults; Dir must be set.
type Options struct {
	Dir      string
	MaxBytes int64 // of all pictures and records, default 1 GiB
	MaxCount int   // samples, default 20,000
	PerHour  int   // of one station, overrides not counted, default 60
	// HoldBytes bounds the pictures that wait in memory for an override, default 64 MiB; < 0: none wait.
	HoldBytes int64
	// Evidence returns the stored picture of a result whose frame has gone. It may be nil.
	Evidence func(place topic.Station, resultID string) ([]byte, error)
	FS       fsutil.FS // default the real one
	Log      *slog.Logger
}

// Stats are counts since Open, except Count and Bytes, which are of now.
type Stats struct {
	Stored     uint64 // written, those among them that replace one of the same part
	Overridden uint64 // overrides that became samples
	Declined   uint64 // worth less than all that is kept
	Dropped    uint64 // the queue was full, or the disk refused
	Evicted    uint64 // deleted to stay within the budget
	Count      int
	Bytes      int64
}

// job is what the store's goroutine does next: keep a sample, or take an override.
type job struct {
	record  *Record
	picture Chunks
	order   *Order
	answer  func(Answer)
}

// Store is safe for concurrent use.
type Store struct {
	options Options

	closing sync.RWMutex // held for reading while a job enters the queue
	closed  bool
	queue   chan job
	queued  atomic.Int64 // bytes in the queue
	stop    chan struct{}
	owned   sync.WaitGroup

	memory sync.Mutex // held for moments only: stations wait for it
	recent recent

	shelving     sync.Mutex // never held together with memory
	shelf        *shelf
	complainedAt time.Time // used by the store's goroutine only

	stored, overridden, declined, dropped, evicted atomic.Uint64
	count, bytes                                   atomic.Int64
}

// Open makes the folder and starts the store. What lies there from before is counted in the background.
func Open(o Options) (*Store, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("create folder of samples: %w", err)
	}
	s := &Store{
		options: o, queue: make(chan job, queueDepth), stop: make(chan struct{}), shelf: newShelf(),
		recent: newRecent(o.HoldBytes),
	}
	s.owned.Go(s.run)
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.MaxCount == 0 {
		o.MaxCount = defaultMaxCount
	}
	if o.PerHour == 0 {
		o.PerHour = defaultPerHour
	}
	if o.HoldBytes == 0 {
		o.HoldBytes = defaultHoldBytes
	}
	if o.FS == nil {
		o.FS = fsutil.OS{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Wants says whether a part would be kept for a reason, before its picture is made. It never waits.
func (s *Store) Wants(place topic.Station, reason Reason, margin float32, at time.Time) bool {
	if !s.shelving.TryLock() {
		return true // asked for in vain at worst
	}
	defer s.shelving.Unlock()
	return s.shelf.wants(&entry{station: place.Path(), reason: reason, margin: margin, at: at},
		s.options.PerHour)
}

// Holds says whether pictures wait for overrides.
func (s *Store) Holds() bool { return s.options.HoldBytes > 0 }

// Note remembers what an override of a part will need. The record is the store's from now on.
func (s *Store) Note(r *Record) {
	s.memory.Lock()
	defer s.memory.Unlock()
	s.recent.note(r)
}

// Sampled hands over the picture of a part that was noted, and never waits. One with a reason goes to disk;
// one without is held in memory until newer ones take its place, in case an operator overrides the part.
func (s *Store) Sampled(resultID string, picture Chunks) error {
	if n := picture.size(); n == 0 || n > MaxPictureBytes {
		return fmt.Errorf("%w: a picture has 1 to %d bytes, this has %d", ErrRecord, MaxPictureBytes, n)
	}
	s.memory.Lock()
	r := s.recent.find(resultID)
	if r == nil {
		s.memory.Unlock()
		s.dropped.Add(1)
		return ErrUnknown
	}
	wanted := r.Reason != "" || s.recent.awaited[resultID]
	if !wanted {
		s.recent.hold(resultID, picture)
	}
	s.memory.Unlock()
	if !wanted {
		return nil
	}
	return s.offer(job{record: r, picture: picture})
}

// offer queues a job or refuses it at once.
func (s *Store) offer(j job) error {
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return ErrClosed
	}
	size := j.picture.size()
	if s.queued.Add(size) <= maxQueuedBytes {
		select {
		case s.queue <- j:
			return nil
		default:
		}
	}
	s.queued.Add(-size)
	s.dropped.Add(1)
	return ErrFull
}

// run is the store's goroutine: everything that touches the disk happens here.
func (s *Store) run() {
	s.take()
	for {
		select {
		case j := <-s.queue:
			s.work(j)
		case <-s.stop:
			s.drain()
			return
		}
	}
}

func (s *Store) drain() {
	for {
		select {
		case j := <-s.queue:
			s.work(j)
		default:
			return
		}
	}
}

func (s *Store) work(j job) {
	s.queued.Add(-j.picture.size())
	if j.order != nil {
		j.answer(s.override(j.order))
		return
	}
	if err := s.sample(j.record, slices.Concat(j.picture...)); err != nil && !errors.Is(err, ErrDeclined) {
		s.dropped.Add(1)
		s.complain("sample not stored", err)
	}
}

// Close stores what is queued and ends.
func (s *Store) Close() error {
	s.closing.Lock()
	if s.closed {
		s.closing.Unlock()
		return nil
	}
	s.closed = true
	s.closing.Unlock()
	close(s.stop)
	s.owned.Wait()
	return nil
}

// Stats returns the counts so far.
func (s *Store) Stats() Stats {
	return Stats{
		Stored: s.stored.Load(), Overridden: s.overridden.Load(), Declined: s.declined.Load(),
		Dropped: s.dropped.Load(), Evicted: s.evicted.Load(),
		Count: int(s.count.Load()), Bytes: s.bytes.Load(),
	}
}

func (s *Store) complain(what string, err error) {
	if now := time.Now(); now.Sub(s.complainedAt) >= complaintEvery {
		s.complainedAt = now
		s.options.Log.Error("trouble with samples, check the disk", "what", what, "dir", s.options.Dir,
			"error", err)
	}
}
