package outbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	chunkBytes   = 1 << 20 // at least two of the largest records
	maxReadFails = 5
)

// place is how far the reader has come. The offset belongs to the segment and is begun anew without one.
type place struct {
	sequence uint64
	segment  *segment
	offset   int64
}

// Next waits for records behind those that it has returned, and returns 1 to limit of them in order. Numbers
// may be missing: dropped or damaged. An error other than the context's passes when called again.
func (o *Outbox) Next(ctx context.Context, limit int) ([]Record, error) {
	for {
		records, err := o.read(limit)
		if err != nil || len(records) > 0 {
			return records, err
		}
		select {
		case <-o.wake:
		case <-o.stop:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("read outbox: %w", ctx.Err())
		}
	}
}

// Ack says that all records up to this sequence number have arrived. The number is on disk a moment later; a
// crash before that costs duplicates.
func (o *Outbox) Ack(upTo uint64) {
	o.mu.Lock()
	o.cursor = max(o.cursor, upTo)
	o.catchUp()
	o.mu.Unlock()
	signal(o.acked)
}

// Rewind lets Next begin again behind the last acknowledged record.
func (o *Outbox) Rewind() {
	o.mu.Lock()
	o.place = place{sequence: o.cursor}
	o.mu.Unlock()
	signal(o.wake)
}

// Age is how long ago a record was stored. It is not known for a record of an earlier boot.
func (o *Outbox) Age(r Record) (age time.Duration, known bool) {
	return time.Duration(o.options.Now() - r.stored), r.boot == o.options.Boot
}

func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// read returns what is there, possibly nothing. Segments are only read under the lock, so that none is
// replaced or deleted meanwhile; a chunk of one mebibyte bounds how long that takes.
func (o *Outbox) read(limit int) ([]Record, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.findSegment() {
		g := o.place.segment
		chunk, err := o.readChunk(g)
		if err != nil {
			if !o.passOver(err) {
				return nil, err
			}
			continue
		}
		atEnd := o.place.offset+int64(len(chunk)) == g.size
		s := scan(chunk, limit, atEnd)
		if atEnd && len(s.records) < limit && s.used < len(chunk) {
			s.used = len(chunk) // a durable stretch without a record: damaged
			s.corrupt++
		}
		o.lose(g, o.place.offset, s.corrupt)
		o.place.offset += int64(s.used)
		if fresh := o.fresh(s.records); len(fresh) > 0 {
			return fresh, nil
		}
	}
	o.catchUp()
	return nil, nil
}

// catchUp moves the cursor over dropped and damaged records at the end, which nobody will acknowledge.
func (o *Outbox) catchUp() {
	if o.cursor < o.place.sequence || o.findSegment() {
		return
	}
	if last := o.kept.last(); last > o.cursor {
		o.cursor, o.place.sequence = last, last
		signal(o.acked)
	}
}

// findSegment moves on to the segment that holds the next bytes to read, and says whether there are any.
func (o *Outbox) findSegment() bool {
	p := &o.place
	if p.segment != nil && p.offset < p.segment.size {
		return true
	}
	for _, g := range o.kept {
		behind := p.segment == nil || g.first > p.segment.first
		if behind && g.size > 0 && g.last > p.sequence {
			p.segment, p.offset = g, 0
			return true
		}
	}
	return false
}

// readChunk reads at the place. Failures are forgiven once the place that failed is read, not before it:
// after each Rewind the good part of a segment is read again.
func (o *Outbox) readChunk(g *segment) ([]byte, error) {
	at := o.place.offset
	chunk, err := o.readSegment(g.path, at, min(chunkBytes, g.size-at))
	if err == nil && at >= g.failedAt {
		g.fails = 0
	}
	return chunk, err
}

func (o *Outbox) readSegment(path string, offset, size int64) ([]byte, error) {
	if size > maxSegmentBytes {
		return nil, fmt.Errorf("segment %s: %d bytes are more than %d", path, size, maxSegmentBytes)
	}
	f, err := o.options.FS.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	b := make([]byte, size)
	_, err = f.ReadAt(b, offset)
	if errors.Is(err, io.EOF) {
		err = nil // shorter than its durable size: the zeros are found to be damaged
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read segment: %w", err)
	}
	return b, nil
}

// passOver lets the caller try again a few times, and then gives the segment up so that the stream goes on.
// The failures are counted by segment, since a caller may rewind before each try; a segment that was given up
// is tried once after a Rewind.
func (o *Outbox) passOver(err error) bool {
	g := o.place.segment
	g.fails++
	g.failedAt = o.place.offset
	if g.fails < maxReadFails {
		return false
	}
	if g.fails == maxReadFails {
		o.corrupt.Add(1)
		o.log.Error("segment cannot be read and is passed over, check the disk",
			"segment", g.path, "offset_bytes", o.place.offset, "error", err)
	}
	o.place.offset = g.size
	return true
}

// lose reports damaged places of a segment.
func (o *Outbox) lose(g *segment, offset int64, places uint64) {
	if places == 0 {
		return
	}
	o.corrupt.Add(places)
	o.log.Error("stored records are damaged and lost, check the disk", "segment", g.path,
		"offset_bytes", offset, "damaged", places)
}

// fresh leaves out what has been returned before.
func (o *Outbox) fresh(records []Record) []Record {
	for len(records) > 0 && records[0].Sequence <= o.place.sequence {
		records = records[1:]
	}
	if len(records) > 0 {
		o.place.sequence = records[len(records)-1].Sequence
	}
	return records
}
