package samples

import (
	"cmp"
	"time"
)

// entry is a sample on disk, as far as its worth is concerned.
type entry struct {
	id, station, part string
	reason            Reason
	margin            float32
	at                time.Time
	bytes             int64 // of picture and record
}

// hour is where samples compete with their like: those of one worth, station and hour.
type hour struct {
	worth   int
	station string
	begin   int64 // hours since 1970
}

func (e *entry) hour() hour {
	return hour{e.reason.worth(), e.station, e.at.Unix() / int64(time.Hour/time.Second)}
}

// shelf knows what is on disk, and which sample is worth least: first by its reason, then of the hour that
// has most of them, so that one bad hour does not drive out a month; within the hour the one that is farthest
// from its threshold, and then the oldest. Not safe for concurrent use.
type shelf struct {
	entries map[string]*entry // by result
	hours   map[hour][]*entry
	bytes   int64
	// crowd is how many samples of the least worth an hour had left when it lost one for want of room; 0:
	// there was always room.
	crowd int
}

func newShelf() *shelf {
	return &shelf{entries: map[string]*entry{}, hours: map[hour][]*entry{}}
}

// add puts a sample in place of one of the same result.
func (s *shelf) add(e *entry) {
	s.remove(e.id)
	s.entries[e.id] = e
	s.hours[e.hour()] = append(s.hours[e.hour()], e)
	s.bytes += e.bytes
}

func (s *shelf) remove(id string) {
	e := s.entries[id]
	if e == nil {
		return
	}
	delete(s.entries, id)
	s.bytes -= e.bytes
	key := e.hour()
	all := s.hours[key]
	for i := range all {
		if all[i] == e {
			all[i] = all[len(all)-1]
			all = all[:len(all)-1]
			break
		}
	}
	if s.hours[key] = all; len(all) == 0 {
		delete(s.hours, key)
	}
}

// least returns the sample that goes first, or nil.
func (s *shelf) least() *entry {
	var from hour
	for h, all := range s.hours {
		if len(s.hours[from]) == 0 || before(h, len(all), from, len(s.hours[from])) {
			from = h
		}
	}
	return least(s.hours[from])
}

// before says whether an hour with so many samples loses one before another.
func before(a hour, has int, b hour, other int) bool {
	return cmp.Or(cmp.Compare(a.worth, b.worth), cmp.Compare(other, has), cmp.Compare(a.begin, b.begin),
		cmp.Compare(a.station, b.station)) < 0
}

// least returns the one of an hour that goes first, or nil.
func least(all []*entry) *entry {
	var worst *entry
	for _, e := range all {
		if worst == nil || cmp.Or(cmp.Compare(worst.margin, e.margin), e.at.Compare(worst.at),
			cmp.Compare(e.id, worst.id)) < 0 {
			worst = e
		}
	}
	return worst
}

// wants says whether a sample would be kept, as far as that is known before it has a size.
func (s *shelf) wants(e *entry, perHour int) bool {
	all := s.hours[e.hour()]
	crowded := len(all) >= perHour || s.crowd > 0 && len(all) >= s.crowd
	return e.reason == Overridden || !crowded || len(all) > 0 && e.margin < least(all).margin
}

// newest returns the latest sample of a part, or nil.
func (s *shelf) newest(station, part string) *entry {
	var last *entry
	for _, e := range s.entries {
		if e.station == station && e.part == part && (last == nil || e.at.After(last.at)) {
			last = e
		}
	}
	return last
}
