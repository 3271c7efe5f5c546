package evidence

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	suffix          = ".jpg"
	temporarySuffix = ".tmp"
)

// shelf is what is on disk, oldest first.
type shelf struct {
	kept  []kept
	bytes int64
}

type kept struct {
	name string
	size int64
}

// run is the store's goroutine: everything that touches the disk happens here.
func (s *Store) run() {
	s.take()
	s.trim(0, 0)
	for {
		select {
		case p := <-s.queue:
			s.store(p)
		case <-s.stop:
			s.drain()
			return
		}
	}
}

func (s *Store) drain() {
	for {
		select {
		case p := <-s.queue:
			s.store(p)
		default:
			return
		}
	}
}

func (s *Store) store(p picture) {
	size := int64(len(p.jpeg))
	s.queued.Add(-size)
	if _, err := s.root.Lstat(p.name); err == nil {
		return
	}
	s.trim(1, size)
	err := s.write(p)
	if err != nil && len(s.shelf.kept) > 0 { // the disk may be full of other things
		s.evictOldest()
		err = s.write(p)
	}
	if err != nil {
		s.dropped.Add(1)
		s.complain("picture not stored", err)
		return
	}
	s.stored.Add(1)
	s.shelf.kept = append(s.shelf.kept, kept{name: p.name, size: size})
	s.shelf.bytes += size
	s.publish()
}

// write gives the file its name when it is whole.
func (s *Store) write(p picture) error {
	if err := s.root.MkdirAll(path.Dir(p.name), 0o750); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	temporary := p.name + temporarySuffix
	err := s.root.WriteFile(temporary, p.jpeg, 0o640)
	if err == nil {
		err = s.root.Rename(temporary, p.name)
	}
	if err != nil {
		return fmt.Errorf("write picture: %w", errors.Join(err, s.root.Remove(temporary)))
	}
	return nil
}

// trim makes room for so many files of so many bytes together within the budget.
func (s *Store) trim(files int, size int64) {
	over := func() bool {
		return s.shelf.bytes+size > s.options.MaxBytes || len(s.shelf.kept)+files > s.options.MaxFiles
	}
	for len(s.shelf.kept) > 0 && over() {
		s.evictOldest()
	}
	s.publish()
}

func (s *Store) evictOldest() {
	oldest := s.shelf.kept[0]
	s.shelf.kept = s.shelf.kept[1:]
	s.shelf.bytes -= oldest.size
	s.evicted.Add(1)
	if err := s.root.Remove(oldest.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.complain("old picture not deleted", err)
		return
	}
	folder := path.Dir(oldest.name)
	_ = s.root.Remove(folder) // fails while others are in it
	_ = s.root.Remove(path.Dir(folder))
}

// found is a picture from before, and when it was taken.
type found struct {
	kept

	at    time.Time
	ahead int // -1 where that is later than now: it is from before the clock was set back, and else 0
}

// compare orders by age. Ids of the same millisecond count up: where the clock was set back under a running
// agent, they stay within the last one that it had reached, and neither day nor time of the file is in order.
func (f found) compare(other found) int {
	return cmp.Or(cmp.Compare(f.ahead, other.ahead), f.at.Compare(other.at),
		cmp.Compare(path.Base(f.name), path.Base(other.name)), cmp.Compare(f.name, other.name))
}

// taken is when a picture was taken: by the id of its result, where that is a UUID of version 7, to the
// millisecond. A file's own time follows each jump of the clock, and each copy.
func taken(name string, modified time.Time) time.Time {
	id := strings.TrimSuffix(path.Base(name), suffix)
	u, err := uuid.Parse(id[:max(0, strings.LastIndexByte(id, '-'))])
	if err != nil || u.Version() != 7 {
		return modified
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(u[:]) >> 16)) // RFC 9562: the first 48 bits
}

// take counts what lies in the folder. Half-written and empty files of a crash are deleted; what is not a
// picture of this store is left alone.
func (s *Store) take() {
	var all []found
	now := s.options.Now()
	err := fs.WalkDir(s.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // an unreadable folder hides its own pictures only
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // deleted meanwhile
		}
		switch {
		case strings.HasSuffix(name, suffix+temporarySuffix):
			return s.root.Remove(name)
		case !strings.HasSuffix(name, suffix):
		case info.Size() == 0:
			return s.root.Remove(name)
		default:
			f := found{kept: kept{name: name, size: info.Size()}, at: taken(name, info.ModTime())}
			if f.at.After(now) {
				f.ahead = -1
			}
			all = append(all, f)
		}
		return nil
	})
	if err != nil {
		s.complain("evidence folder not read as a whole", err)
	}
	slices.SortFunc(all, found.compare)
	for _, f := range all {
		s.shelf.kept = append(s.shelf.kept, f.kept)
		s.shelf.bytes += f.size
	}
}

func (s *Store) publish() {
	s.files.Store(int64(len(s.shelf.kept)))
	s.bytes.Store(s.shelf.bytes)
}

func (s *Store) complain(what string, err error) {
	if now := time.Now(); now.Sub(s.complainedAt) >= complaintEvery {
		s.complainedAt = now
		s.options.Log.Error("evidence trouble, check the disk",
			"what", what, "dir", s.options.Dir, "error", err)
	}
}
