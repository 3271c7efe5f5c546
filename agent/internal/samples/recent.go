package samples

import "slices"

// maxRecent parts can be overridden by their name alone, and are described when they are. So can those whose
// picture is held, which are as many at most.
const maxRecent = 1024

// recent are the last parts and, of those that may be overridden soonest, the pictures. Not safe for
// concurrent use.
type recent struct {
	limit   int64 // bytes of pictures
	records map[string]*Record
	order   []string // results, oldest first
	held    map[string]Chunks
	holding []string // results, oldest first
	bytes   int64
	awaited map[string]bool // results that were overridden before their picture came
	aged    map[string]bool // results that are remembered only for the picture that is held
}

func newRecent(limit int64) recent {
	return recent{
		limit: limit, records: map[string]*Record{}, held: map[string]Chunks{},
		awaited: map[string]bool{}, aged: map[string]bool{},
	}
}

func (r *recent) note(record *Record) {
	if r.records[record.ResultID] == nil || r.aged[record.ResultID] {
		delete(r.aged, record.ResultID)
		r.order = append(r.order, record.ResultID)
	}
	r.records[record.ResultID] = record
	for len(r.order) > maxRecent {
		oldest := r.order[0]
		r.order = r.order[1:]
		if r.held[oldest] != nil {
			r.aged[oldest] = true
			continue
		}
		r.forget(oldest)
	}
}

func (r *recent) forget(resultID string) {
	delete(r.records, resultID)
	delete(r.awaited, resultID)
	delete(r.aged, resultID)
}

func (r *recent) find(resultID string) *Record { return r.records[resultID] }

// newest returns the last result of a part, or nil.
func (r *recent) newest(station, part string) *Record {
	for _, all := range [][]string{r.order, r.holding} { // what is held only is older than what is recent
		for _, id := range slices.Backward(all) {
			if record := r.records[id]; record.Station == station && record.PartID == part {
				return record
			}
		}
	}
	return nil
}

// hold keeps a picture in place of the oldest ones.
func (r *recent) hold(resultID string, picture Chunks) {
	size := picture.size()
	if size > r.limit || r.held[resultID] != nil {
		return
	}
	for len(r.holding) > 0 && (r.bytes+size > r.limit || len(r.holding) >= maxRecent) {
		oldest := r.holding[0]
		r.holding = r.holding[1:]
		r.bytes -= r.held[oldest].size()
		delete(r.held, oldest)
		if r.aged[oldest] {
			r.forget(oldest)
		}
	}
	r.held[resultID], r.holding = picture, append(r.holding, resultID)
	r.bytes += size
}
