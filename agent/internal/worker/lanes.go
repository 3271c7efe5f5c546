package worker

import (
	"slices"
	"sync"
)

// laneKey is what stations share a lane by. Zero: one that is not shared.
type laneKey struct {
	digest, policy string
	batches        bool // several images may come at once
}

// lanes are those that run. Safe for concurrent use.
type lanes struct {
	mu  sync.Mutex
	all []owned
}

// owned is a lane and how many have it.
type owned struct {
	lane   *lane
	owners int
}

// find returns the lane of a key for one more owner, or nil.
func (l *lanes) find(key laneKey) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.all {
		if o := &l.all[i]; o.lane.key == key && key != (laneKey{}) {
			o.owners++
			return o.lane
		}
	}
	return nil
}

// add takes a lane that has one owner.
func (l *lanes) add(one *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, owned{one, 1})
}

// drop takes an owner away, and says whether that was the last.
func (l *lanes) drop(one *lane) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.all, func(o owned) bool { return o.lane == one })
	l.all[i].owners--
	if l.all[i].owners > 0 {
		return false
	}
	l.all = slices.Delete(l.all, i, i+1)
	return true
}

// hangs returns a lane with a run that does not come back, or nil.
func (l *lanes) hangs(nowNs int64) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.all {
		if o.lane.hangs(nowNs) {
			return o.lane
		}
	}
	return nil
}
