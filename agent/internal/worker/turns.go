package worker

import "sync"

// turns keep a station's answers in the order of its frames, whichever track is done first. Safe for
// concurrent use; made by newTurns.
type turns struct {
	mu      sync.Mutex
	changed sync.Cond
	given   uint64 // to frames so far
	past    uint64 // answered
}

func newTurns() *turns {
	t := &turns{}
	t.changed.L = &t.mu
	return t
}

// next gives a frame its turn.
func (t *turns) next() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.given++
	return t.given
}

// await returns once all turns before this one are done.
func (t *turns) await(turn uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.past+1 != turn {
		t.changed.Wait()
	}
}

// done ends the turn under way.
func (t *turns) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.past++
	t.changed.Broadcast()
}
