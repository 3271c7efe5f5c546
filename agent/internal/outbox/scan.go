package outbox

import "errors"

// scanned is what a stretch of a segment holds.
type scanned struct {
	records []Record
	corrupt uint64 // damaged places
	used    int    // bytes done with; what is behind them needs more bytes, or is a torn tail
}

// scan reads up to limit records. At a damaged place it goes on with the next whole record. With atEnd there
// are no more bytes to come: a damaged record that is all there is counted and passed, and only a stretch
// that no whole record follows stays unused.
func scan(b []byte, limit int, atEnd bool) scanned {
	var s scanned
	for s.used < len(b) && len(s.records) < limit {
		rest := b[s.used:]
		r, size, err := parseRecord(rest)
		switch {
		case err == nil:
			s.records = append(s.records, r)
			s.used += size
			continue
		case errors.Is(err, errShort) && !atEnd:
			return s
		}
		skip := nextRecord(rest)
		if skip < 0 && errors.Is(err, errBody) {
			skip = size // the header is whole, so the length is right
		}
		if skip < 0 {
			return s.lost(len(rest), atEnd)
		}
		s.corrupt++
		s.used += skip
	}
	return s
}

// lost ends a scan where no whole record is in sight. When more bytes may come, a record as long as allowed
// can still begin within the last of these.
func (s scanned) lost(rest int, atEnd bool) scanned {
	if !atEnd && rest > maxRecordBytes {
		s.corrupt++
		s.used += rest - maxRecordBytes
	}
	return s
}
