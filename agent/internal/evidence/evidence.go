// Package evidence keeps the pictures of what did not pass, on disk, within a budget of bytes and of files:
// the oldest go first, by the time in their ids. Putting a picture never waits. A file is
// <day>/<line>-<station>/<resultID>-<n>.jpg below the store's folder, with n 0 for the annotated frame and 1…
// for the crops of single defects. Pictures are written whole or not at all, but are not synced one by one: a
// power cut may cost the newest, and the disk's time belongs to the outbox.
package evidence

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sightline-edge/sightline/agent/topic"
)

const (
	defaultMaxBytes   = 1 << 30
	defaultMaxFiles   = 100_000 // about 16 MB of names in memory, however small the pictures are
	defaultQueueDepth = 256
	maxQueuedBytes    = 64 << 20
	maxPictureBytes   = 16 << 20
	maxNumber         = 65535
	complaintEvery    = 10 * time.Second
)

// Errors that a caller tells apart.
var (
	ErrFull   = errors.New("evidence store is full: the disk is too slow")
	ErrClosed = errors.New("evidence store is closed")
)

// Options have defaults; Dir must be set.
type Options struct {
	Dir        string
	MaxBytes   int64            // of all pictures, default 1 GiB
	MaxFiles   int              // pictures on disk, default 100,000
	QueueDepth int              // pictures in memory, default 256, and 64 MiB at most
	Now        func() time.Time // wall clock, names the day's folder
	Log        *slog.Logger
}

// Stats are counts since Open, except Files and Bytes, which are of now.
type Stats struct {
	Stored  uint64
	Dropped uint64 // the queue was full, or the disk refused
	Evicted uint64 // deleted to stay within the budget
	Files   int
	Bytes   int64
}

// picture is one on its way to the disk.
type picture struct {
	name string
	jpeg []byte
}

// Store is safe for concurrent use.
type Store struct {
	options Options
	root    *os.Root // nothing outside it can be reached, whatever a name or a link says

	closing sync.RWMutex // held for reading while a picture enters the queue
	closed  bool
	queue   chan picture
	queued  atomic.Int64 // bytes in the queue
	stop    chan struct{}
	owned   sync.WaitGroup

	shelf        shelf     // used by the store's goroutine only
	complainedAt time.Time // likewise

	stored, dropped, evicted atomic.Uint64
	files, bytes             atomic.Int64
}

// Open makes the folder and starts the store. What lies there from before is counted in the background.
func Open(o Options) (*Store, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("create evidence folder: %w", err)
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open evidence folder: %w", err)
	}
	s := &Store{
		options: o, root: root, queue: make(chan picture, o.QueueDepth), stop: make(chan struct{}),
	}
	s.owned.Go(s.run)
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.MaxFiles == 0 {
		o.MaxFiles = defaultMaxFiles
	}
	if o.QueueDepth == 0 {
		o.QueueDepth = defaultQueueDepth
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Put hands a picture over and never waits. The store keeps jpeg until it is on disk: do not change it. The
// first picture of a name stays; a second is ignored.
func (s *Store) Put(place topic.Station, resultID string, n int, jpeg []byte) error {
	name, err := s.name(place, resultID, n)
	if err != nil {
		return err
	}
	if len(jpeg) == 0 || len(jpeg) > maxPictureBytes {
		return fmt.Errorf("evidence: a picture has 1 to %d bytes, this has %d", maxPictureBytes, len(jpeg))
	}
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return ErrClosed
	}
	size := int64(len(jpeg))
	if s.queued.Add(size) <= maxQueuedBytes {
		select {
		case s.queue <- picture{name: name, jpeg: jpeg}:
			return nil
		default:
		}
	}
	s.queued.Add(-size)
	s.dropped.Add(1)
	return ErrFull
}

// name lets nothing but plain segments into a path.
func (s *Store) name(place topic.Station, resultID string, n int) (string, error) {
	for _, segment := range []string{place.Line, place.Name, resultID} {
		if err := topic.CheckSegment(segment); err != nil {
			return "", fmt.Errorf("evidence: %w", err)
		}
	}
	if n < 0 || n > maxNumber {
		return "", fmt.Errorf("evidence: picture number %d is not 0 to %d", n, maxNumber)
	}
	day := s.options.Now().UTC().Format(time.DateOnly)
	return path.Join(day, place.Line+"-"+place.Name, fmt.Sprintf("%s-%d%s", resultID, n, suffix)), nil
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
	return s.root.Close()
}

// Stats returns the counts so far.
func (s *Store) Stats() Stats {
	return Stats{
		Stored: s.stored.Load(), Dropped: s.dropped.Load(), Evicted: s.evicted.Load(),
		Files: int(s.files.Load()), Bytes: s.bytes.Load(),
	}
}
