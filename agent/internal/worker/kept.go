package worker

import (
	"sync"
	"sync/atomic"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
)

// maxKept parts may be answered and not settled, besides one on each track.
const maxKept = 8

// shot is a frame, what it was inspected with, and where its tiles were found in its golden template: nil
// where there is nothing to say.
type shot struct {
	frame *frame.Frame
	rig   *rig
	trail *trail
	heat  *evidence.Heat // of an anomaly; nil where nothing is unusual
}

// kept holds the frames of parts whose verdict is not settled yet, oldest out first, and the settlements
// that came before their frame. Safe for concurrent use; made by newKept.
type kept struct {
	mu      sync.Mutex
	entries []entry
	added   uint64
	dropped *atomic.Uint64 // frames given up before their part was settled
}

func newKept(places int, dropped *atomic.Uint64) *kept {
	return &kept{entries: make([]entry, places), dropped: dropped}
}

// entry has a frame or, settled first, none.
type entry struct {
	shot

	job     uint64
	age     uint64 // counts up from 1; 0: the place is free
	settled bool
	wanted  *wire.Settle
}

// put stores a frame. It says whether the part was settled before: then the frame stays the caller's. The
// evicted frame, if any, is the caller's, too.
func (k *kept) put(job uint64, s shot) (evicted *frame.Frame, wanted *wire.Settle, settled bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.find(job); e != nil && e.settled {
		wanted = e.wanted
		*e = entry{}
		return nil, wanted, true
	}
	return k.add(entry{job: job, shot: s}), nil, false
}

// take returns the frame of a part. A part that has none yet is remembered as settled.
func (k *kept) take(job uint64, wanted *wire.Settle) (s shot, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.find(job)
	if e == nil {
		if old := k.add(entry{job: job, settled: true, wanted: wanted}); old != nil {
			old.Release()
		}
		return shot{}, false
	}
	if e.settled { // told twice
		return shot{}, false
	}
	s = e.shot
	*e = entry{}
	return s, true
}

// drop returns the frame of a part, if there is one.
func (k *kept) drop(job uint64) (s shot, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.find(job)
	if e == nil {
		return shot{}, false
	}
	s = e.shot
	*e = entry{}
	return s, true
}

func (k *kept) find(job uint64) *entry {
	for i := range k.entries {
		if k.entries[i].age != 0 && k.entries[i].job == job {
			return &k.entries[i]
		}
	}
	return nil
}

// add takes a free place, else that of the oldest settlement without a frame, else that of the oldest frame.
func (k *kept) add(e entry) (evicted *frame.Frame) {
	at := 0
	for i := range k.entries {
		if k.entries[i].dearness() < k.entries[at].dearness() {
			at = i
		}
	}
	k.added++
	e.age = k.added
	if evicted = k.entries[at].frame; evicted != nil {
		k.dropped.Add(1)
	}
	k.entries[at] = e
	return evicted
}

// dearness orders what is given up first.
func (e *entry) dearness() uint64 {
	if e.frame != nil {
		return e.age + 1<<63
	}
	return e.age
}

// clear releases all.
func (k *kept) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.entries {
		if f := k.entries[i].frame; f != nil {
			f.Release()
		}
		k.entries[i] = entry{}
	}
}
