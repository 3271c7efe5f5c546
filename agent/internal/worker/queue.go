package worker

import (
	"math"
	"sync"
)

// queue holds the frames that wait for a track, of all stations of a lane: the one whose part is due first
// comes first, and of those without a deadline the one that waits longest. It has a place for each slot, so
// that nobody waits to add one. Safe for concurrent use.
type queue struct {
	ready chan struct{} // one for each that waits

	mu      sync.Mutex
	waiting []*slot // a heap
	arrived uint64  // so far
}

func newQueue(places int) *queue {
	return &queue{ready: make(chan struct{}, places), waiting: make([]*slot, 0, places)}
}

// add puts a frame into the queue.
func (q *queue) add(job *slot) {
	q.mu.Lock()
	q.arrived++
	job.arrival = q.arrived
	q.waiting = append(q.waiting, job)
	q.rise(len(q.waiting) - 1)
	q.mu.Unlock()
	q.ready <- struct{}{} // never blocks: there are as many places as slots
}

// take returns the first, and is due once for each time that ready was received from.
func (q *queue) take() *slot {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.first()
}

// fill appends those that come next to jobs that one run is to take, up to as many as it takes, and waits for
// none. A frame that is seen in tiles has runs of its own.
func (q *queue) fill(jobs []*slot, most int) []*slot {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(jobs) < most && len(q.waiting) > 0 && q.waiting[0].sheet == nil {
		select {
		case <-q.ready:
			jobs = append(jobs, q.first())
		default: // another track is about to take it
			return jobs
		}
	}
	return jobs
}

// len is how many wait.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// first takes the top off the heap.
func (q *queue) first() *slot {
	top, last := q.waiting[0], len(q.waiting)-1
	q.waiting[0], q.waiting[last] = q.waiting[last], nil
	q.waiting = q.waiting[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return top
		}
		if child+1 < last && sooner(q.waiting[child+1], q.waiting[child]) {
			child++
		}
		if !sooner(q.waiting[child], q.waiting[i]) {
			return top
		}
		q.waiting[i], q.waiting[child] = q.waiting[child], q.waiting[i]
		i = child
	}
}

func (q *queue) rise(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !sooner(q.waiting[i], q.waiting[parent]) {
			return
		}
		q.waiting[i], q.waiting[parent] = q.waiting[parent], q.waiting[i]
		i = parent
	}
}

func sooner(a, b *slot) bool {
	if da, db := a.due(), b.due(); da != db {
		return da < db
	}
	return a.arrival < b.arrival
}

// due is when nobody waits for the answer any more.
func (o *order) due() int64 {
	if o.deadlineNs == 0 {
		return math.MaxInt64
	}
	return o.deadlineNs
}
