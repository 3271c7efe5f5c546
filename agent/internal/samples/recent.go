package samples

import "slices"

// maxRecent parts can be overridden by their name alone, and are described when they are.
const maxRecent = 1024

// recent are the last parts and, of those that may be overridden soonest, the pictures. Not safe for
// concurrent use.
type recent struct {
	limit   int64 // bytes of pictures
	records map[string]*Record
	order   []string // results, oldest first
	held    map[string][]byte
	holding []string // results, oldest first
	bytes   int64
	awaited map[string]bool // results that were overridden before their picture came
}

func newRecent(limit int64) recent {
	return recent{
		limit: limit, records: map[string]*Record{}, held: map[string][]byte{},
		awaited: map[string]bool{},
	}
}

func (r *recent) note(record *Record) {
	if r.records[record.ResultID] == nil {
		r.order = append(r.order, record.ResultID)
	}
	r.records[record.ResultID] = record
	for len(r.order) > maxRecent {
		delete(r.records, r.order[0])
		delete(r.awaited, r.order[0])
		r.order = r.order[1:]
	}
}

func (r *recent) find(resultID string) *Record { return r.records[resultID] }

// newest returns the last result of a part, or nil.
func (r *recent) newest(station, part string) *Record {
	for _, id := range slices.Backward(r.order) {
		if record := r.records[id]; record.Station == station && record.PartID == part {
			return record
		}
	}
	return nil
}

// hold keeps a picture in place of the oldest ones.
func (r *recent) hold(resultID string, picture []byte) {
	size := int64(len(picture))
	if size > r.limit || r.held[resultID] != nil {
		return
	}
	for r.bytes+size > r.limit && len(r.holding) > 0 {
		r.bytes -= int64(len(r.held[r.holding[0]]))
		delete(r.held, r.holding[0])
		r.holding = r.holding[1:]
	}
	r.held[resultID], r.holding = picture, append(r.holding, resultID)
	r.bytes += size
}
