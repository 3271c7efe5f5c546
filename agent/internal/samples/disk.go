package samples

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // what cameras' frames become
	_ "image/png"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
	"github.com/sightline-edge/sightline/agent/topic"
)

const (
	recordSuffix    = ".json"
	pngSuffix       = ".png"
	jpegSuffix      = ".jpg"
	temporarySuffix = ".tmp" // of fsutil
)

// minted is when a result's id was made: a UUID of version 7, written as agents do, tells it to the
// millisecond.
func minted(id string) (time.Time, error) {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 || u.String() != id {
		return time.Time{}, fmt.Errorf("%w: %q is not the id of a result", ErrRecord, clip(id))
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(u[:]) >> 16)).UTC(), nil // RFC 9562: 48 bits
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxName)], "?") }

// folder is where a sample lies, relative to the store's, with slashes.
func folder(place topic.Station, at time.Time) string {
	return path.Join(place.Line+"-"+place.Name, at.UTC().Format(time.DateOnly))
}

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.options.Dir}, parts...)...)
}

// keep writes a sample, or says ErrDeclined where it is worth less than what is there. A picture replaces the
// one that the record has; without one that stays. Where a sample of the same result is there already, an
// error leaves that one.
func (s *Store) keep(r *Record, picture []byte) error {
	place, err := r.place()
	if err != nil {
		return err
	}
	r.Version = formatVersion
	before := s.pictureOf(r)
	if picture != nil {
		if r.Picture, err = describe(r, picture); err != nil {
			return err
		}
	}
	record, err := r.encode()
	if err != nil {
		return err
	}
	e := newEntry(r, int64(len(record)))
	was, fits := s.room(e)
	if !fits {
		s.declined.Add(1)
		return fmt.Errorf("%w (%d bytes)", ErrDeclined, e.bytes)
	}
	in := folder(place, r.Time)
	if err = s.write(in, r, record, picture); full(err) && s.sacrifice(e) {
		err = s.write(in, r, record, picture)
	}
	if err != nil {
		if was != nil && picture != nil && r.Picture.File != before {
			s.delete(path.Join(in, r.Picture.File))
		}
		s.takeBack(e, was)
		return err
	}
	if r.Picture != nil && before != "" && before != r.Picture.File {
		s.delete(path.Join(in, before))
	}
	s.stored.Add(1)
	return nil
}

// full says that there is no room on the disk, or none for the agent: to delete something may help.
func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// pictureOf is the file beside the record that lies on disk of the same result; empty: none.
func (s *Store) pictureOf(r *Record) string {
	e := s.onDisk(r.Station, r.ResultID, "")
	if e == nil {
		return ""
	}
	old, err := s.read(e)
	if err != nil || old.Picture == nil {
		return ""
	}
	return old.Picture.File
}

func newEntry(r *Record, recordBytes int64) *entry {
	e := &entry{
		id: r.ResultID, station: r.Station, part: r.PartID, reason: r.Reason, margin: r.Margin, at: r.Time,
		bytes: recordBytes,
	}
	if r.Picture != nil {
		e.bytes += r.Picture.Bytes
	}
	return e
}

// describe says what a picture is, which must be a PNG or a JPEG.
func describe(r *Record, picture []byte) (*Picture, error) {
	config, format, err := image.DecodeConfig(bytes.NewReader(picture))
	if err != nil {
		return nil, fmt.Errorf("%w: its picture cannot be read: %w", ErrRecord, err)
	}
	suffix := jpegSuffix
	if format == "png" {
		suffix = pngSuffix
	}
	sum := sha256.Sum256(picture)
	p := &Picture{
		File: r.ResultID + suffix, Bytes: int64(len(picture)), SHA256: hex.EncodeToString(sum[:]),
		Width: config.Width, Height: config.Height, Annotated: r.Picture != nil && r.Picture.Annotated,
	}
	err = p.check(r.ResultID)
	return p, err
}

// write makes the picture durable, and then the record, which makes it a sample.
func (s *Store) write(in string, r *Record, record, picture []byte) error {
	if err := os.MkdirAll(s.path(in), 0o750); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	if picture != nil {
		if err := fsutil.WriteFile(s.options.FS, s.path(in, r.Picture.File), picture, 0o640); err != nil {
			return err
		}
	}
	return fsutil.WriteFile(s.options.FS, s.path(in, r.ResultID+recordSuffix), record, 0o640)
}

// room puts a sample on the shelf in place of one of the same result, which it returns, and deletes what is
// worth less, until all is within the budget. It says false, and all is as it was, when the sample itself
// would have to go.
func (s *Store) room(e *entry) (was *entry, fits bool) {
	if e.bytes > s.options.MaxBytes {
		return nil, false
	}
	gone, was, fits := s.displace(e)
	for _, victim := range gone {
		s.evict(victim)
	}
	return was, fits
}

// displace is what room does to the shelf. It returns what has no place there any more.
func (s *Store) displace(e *entry) (gone []*entry, was *entry, fits bool) {
	s.shelving.Lock()
	defer s.shelving.Unlock()
	was = s.shelf.entries[e.id]
	crowd := s.shelf.crowd
	s.shelf.add(e)
	for victim := s.victim(e); victim != nil; victim = s.victim(e) {
		s.shelf.remove(victim.id)
		if victim != e {
			gone = append(gone, victim)
			continue
		}
		if was != nil {
			gone = append(gone, was)
		}
		for _, back := range gone {
			s.shelf.add(back)
		}
		if e.reason.worth() > Uncertain.worth() {
			s.shelf.crowd = crowd // none of the least worth had to go
		}
		return nil, was, false
	}
	s.publish()
	return gone, was, true
}

// victim is what goes next for a new sample, or nil when all is within the budget. To be called with the
// shelf locked.
func (s *Store) victim(e *entry) *entry {
	if e.reason.worth() < Overridden.worth() && len(s.shelf.hours[e.hour()]) > s.options.PerHour {
		return least(s.shelf.hours[e.hour()])
	}
	if s.shelf.bytes <= s.options.MaxBytes && len(s.shelf.entries) <= s.options.MaxCount {
		return nil
	}
	v := s.shelf.least()
	if v != nil && v.reason.worth() == Uncertain.worth() {
		s.shelf.crowd = max(1, len(s.shelf.hours[v.hour()])-1)
	}
	return v
}

// publish is to be called with the shelf locked.
func (s *Store) publish() {
	s.count.Store(int64(len(s.shelf.entries)))
	s.bytes.Store(s.shelf.bytes)
}

// takeBack takes a sample off the shelf that could not be written, and puts what was there of its result in
// its place, if anything was.
func (s *Store) takeBack(e, was *entry) {
	if was == nil {
		s.erase(e)
	} else {
		was.bytes = s.weigh(was) // its picture may have been replaced under the same name
	}
	s.shelving.Lock()
	s.shelf.remove(e.id)
	if was != nil {
		s.shelf.add(was)
	}
	s.publish()
	s.shelving.Unlock()
}

// weigh is how many bytes of a sample are on disk.
func (s *Store) weigh(e *entry) (sum int64) {
	for _, name := range e.files() {
		if info, err := os.Stat(s.path(name)); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// sacrifice deletes the sample that is worth least for another one, and says whether there was one.
func (s *Store) sacrifice(e *entry) bool {
	s.shelving.Lock()
	victim := s.shelf.least()
	if victim != nil && victim != e {
		s.shelf.remove(victim.id)
		s.publish()
	}
	s.shelving.Unlock()
	if victim == nil || victim == e {
		return false
	}
	s.evict(victim)
	return true
}

// evict deletes a sample's files.
func (s *Store) evict(e *entry) {
	s.evicted.Add(1)
	s.erase(e)
}

// erase deletes the record first: without it the picture is no sample.
func (s *Store) erase(e *entry) {
	for _, name := range e.files() {
		s.delete(name)
		_ = os.Remove(s.path(path.Dir(name))) // fails while others are in it
	}
}

// files are those that a sample may have, the record first.
func (e *entry) files() (all []string) {
	place, err := topic.ParseStation(e.station)
	if err != nil {
		return nil // it was read from a record that is checked
	}
	for _, suffix := range []string{recordSuffix, pngSuffix, jpegSuffix} {
		all = append(all, path.Join(folder(place, e.at), e.id+suffix))
	}
	return all
}

func (s *Store) delete(name string) {
	if err := s.options.FS.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.complain("file not deleted", err)
	}
}

// read returns the record of a sample on disk.
func (s *Store) read(e *entry) (*Record, error) {
	place, err := topic.ParseStation(e.station)
	if err != nil {
		return nil, err
	}
	b, err := fsutil.ReadFile(s.path(folder(place, e.at), e.id+recordSuffix), maxRecordBytes)
	if err != nil {
		return nil, err
	}
	return decode(b)
}

// readRecord reads a record below a folder that no name or link leads out of.
func readRecord(from fs.FS, name string) (*Record, int64, error) {
	f, err := from.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxRecordBytes+1))
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", name, err)
	}
	r, err := decode(b)
	if err != nil {
		return r, 0, err
	}
	place, err := r.place()
	if err == nil && name != path.Join(folder(place, r.Time), r.ResultID+recordSuffix) {
		err = fmt.Errorf("%w: it lies in the place of another", ErrRecord)
	}
	return r, int64(len(b)), err
}
