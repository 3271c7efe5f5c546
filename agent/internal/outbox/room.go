package outbox

import (
	"fmt"
	"math"
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
	o.mu.Lock()
	total := o.kept.bytes()
	o.mu.Unlock()
	for _, p := range batch {
		total += int64(recordBytes(p.entry))
	}
	return total <= o.options.MaxBytes
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
// helped.
func (o *Outbox) squeezeOne() bool {
	o.mu.Lock()
	at := slices.IndexFunc(o.kept, func(g *segment) bool { return g.normal })
	if at < 0 {
		o.mu.Unlock()
		return false
	}
	g := o.kept[at]
	o.mu.Unlock()
	if g == o.disk.active {
		o.seal()
	}
	if err := o.squeeze(g); err != nil {
		o.complain("making room failed", err)
		return false
	}
	return true
}

func (o *Outbox) squeeze(g *segment) error {
	b, err := fsutil.ReadFile(g.path, maxSegmentBytes)
	if err != nil {
		return fmt.Errorf("read segment: %w", err)
	}
	o.mu.Lock()
	b = b[:min(int64(len(b)), g.size)]
	cursor := o.cursor
	o.mu.Unlock()
	var kept []byte
	for _, r := range scan(b, math.MaxInt, true).records {
		switch {
		case r.Sequence <= cursor:
		case r.Priority == Normal:
			o.drop(Normal)
		default:
			kept = appendRecord(kept, r)
		}
	}
	return o.replaceSegment(g, kept)
}

// replaceSegment changes file and size together, so that the reader sees either.
func (o *Outbox) replaceSegment(g *segment, content []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := fsutil.WriteFile(o.options.FS, g.path, content, 0o600); err != nil {
		return fmt.Errorf("replace segment: %w", err)
	}
	g.size, g.normal = int64(len(content)), false
	if o.place.segment == g {
		o.place.segment = nil // its offset means nothing any more
	}
	return nil
}
