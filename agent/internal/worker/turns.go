package worker

import (
	"slices"
	"sync"
)

// turns send a station's answers in the order of its frames, whichever track is done first: a track that is
// ahead leaves its answer here and goes on. Safe for concurrent use.
type turns struct {
	mu    sync.Mutex
	given uint64  // to frames so far
	past  uint64  // answered
	early []*slot // done before their turn
}

// next gives a frame its turn.
func (t *turns) next() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.given++
	return t.given
}

// done sends the slot's answer, and those that waited for it, as soon as all before them are sent.
func (t *turns) done(job *slot) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.early = append(t.early, job)
	for {
		i := slices.IndexFunc(t.early, func(s *slot) bool { return s.turn == t.past+1 })
		if i < 0 {
			return nil
		}
		next := t.early[i]
		t.early = slices.Delete(t.early, i, i+1)
		t.past++
		if err := next.station.reply(next); err != nil {
			return err
		}
	}
}
