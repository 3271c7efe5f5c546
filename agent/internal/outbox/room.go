package outbox

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

// admit keeps the store within its bytes. New Normal entries go first; then stored Normal records make room
// for High entries, oldest first; High entries are refused only when nothing but High is stored.
func (o *Outbox) admit(batch []pending) []pending {
	if o.room(batch) {
		return batch
	}
	full := fmt.Errorf("%w: %d bytes are stored and not yet sent", ErrFull, o.options.MaxBytes)
	batch = o.refuse(batch, Normal, full)
	for !o.room(batch) {
		if !o.squeezeOne() {
			return o.refuseAll(batch, full)
		}
	}
	return batch
}

func (o *Outbox) room(batch []pending) bool {
	reserve := o.options.SegmentBytes
	return o.storedBytes()+reserve+batchBytes(batch) <= o.options.MaxBytes
}

func batchBytes(batch []pending) int64 {
	var n int64
	for _, p := range batch {
		n += int64(recordBytes(p.entry))
	}
	return n
}

// refuse drops the entries of one priority and returns the others.
func (o *Outbox) refuse(batch []pending, priority Priority, err error) []pending {
	return slices.DeleteFunc(batch, func(p pending) bool {
		if p.entry.Priority != priority {
			return false
		}
		o.drop(priority)
		p.answer(err)
		return true
	})
}

func (o *Outbox) refuseAll(batch []pending, err error) []pending {
	for p := range Priority(priorities) {
		batch = o.refuse(batch, p, err)
	}
	return batch
}

// squeezeOne rewrites the oldest segment that may hold Normal records without them, and says whether that
// helped. One that cannot be read is left to the reader; where one cannot be written, the next cannot either.
func (o *Outbox) squeezeOne() bool {
	for _, g := range o.squeezable() {
		if g == o.disk.active {
			o.seal()
		}
		b, err := o.readSegment(g.path, 0, g.size)
		if err != nil {
			o.complain("a segment cannot be read to make room", err)
			continue
		}
		if err := o.squeeze(g, b); err != nil {
			o.complain("making room failed", err)
			return false
		}
		return true
	}
	return false
}

func (o *Outbox) squeeze(g *segment, b []byte) error {
	o.mu.Lock()
	cursor := o.cursor
	o.mu.Unlock()
	s := scan(b, math.MaxInt, true)
	if s.used < len(b) {
		s.corrupt++
	}
	var kept []byte
	var dropped uint64
	for _, r := range s.records {
		switch {
		case r.Sequence <= cursor:
		case r.Priority == Normal:
			dropped++
		default:
			kept = appendRecord(kept, r)
		}
	}
	if err := o.replaceSegment(g, kept); err != nil {
		return err
	}
	o.dropped[Normal].Add(dropped)
	o.lose(g, 0, s.corrupt)
	return nil
}

// makeRoom is called when the disk itself is full. Squeezing a segment writes before it frees, so the reserve
// is given up for it, and filled again from what was freed before the records get the rest.
func (o *Outbox) makeRoom(need int64) {
	if len(o.squeezable()) == 0 {
		return
	}
	o.giveUpReserve()
	need += o.options.SegmentBytes
	before := o.storedBytes()
	for before-o.storedBytes() < need && o.squeezeOne() {
		continue
	}
	o.fillReserve()
}

// squeezable returns the segments that may hold Normal records, oldest first.
func (o *Outbox) squeezable() segments {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(o.kept), func(g *segment) bool { return !g.normal })
}

// giveUpReserve says whether there was a reserve.
func (o *Outbox) giveUpReserve() bool {
	if !o.disk.reserved {
		return false
	}
	o.disk.reserved = false
	if err := o.options.FS.Remove(o.reservePath()); err != nil {
		o.complain("giving up the reserve failed", err)
	}
	return true
}

// fillReserve keeps one segment's worth of the disk for a disk that is full.
func (o *Outbox) fillReserve() {
	if o.disk.reserved {
		return
	}
	err := fsutil.WriteFile(o.options.FS, o.reservePath(), make([]byte, o.options.SegmentBytes), 0o600)
	if err != nil {
		o.complain("no room for the reserve", err)
		return
	}
	o.disk.reserved = true
}

func (o *Outbox) reservePath() string { return filepath.Join(o.options.Dir, reserveName) }

func (o *Outbox) storedBytes() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kept.bytes()
}

// replaceSegment changes file and size together, so that the reader sees either.
func (o *Outbox) replaceSegment(g *segment, content []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := fsutil.WriteFile(o.options.FS, g.path, content, 0o600); err != nil {
		return fmt.Errorf("replace segment: %w", err)
	}
	g.size, g.normal, g.fails = int64(len(content)), false, 0
	if o.place.segment == g {
		o.place.segment = nil // its offset means nothing any more
	}
	return nil
}
