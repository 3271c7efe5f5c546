package worker

import (
	"context"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

// margin is what the guess of a run's end may be wrong by, beside an eighth of the run.
const margin = 500 * time.Microsecond

// pace lets a capture loop take its frames as late as still keeps the lane busy. A frame that is taken while
// another is inferred only grows old.
type pace struct {
	timer  *time.Timer
	leadNs int64 // what it takes of late from the wish for a frame to its place in the lane
}

func newPace() pace {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return pace{timer: timer}
}

// wait returns when it is time to take a frame.
func (p *pace) wait(ctx context.Context, l *lane) {
	now := monotime.Now()
	left := p.until(l.freeAt(now)) - now
	if left <= 0 {
		return
	}
	p.timer.Reset(time.Duration(left))
	defer p.timer.Stop()
	select {
	case <-p.timer.C:
	case <-ctx.Done():
	}
}

// until is when to take a frame for a track that is free at a time, where runs take so long.
func (p *pace) until(freeNs, usualNs int64) int64 {
	return freeNs - min(p.leadNs, usualNs/2) - usualNs/8 - int64(margin)
}

// took notes how long a frame needed.
func (p *pace) took(ns int64) { p.leadNs = smooth(p.leadNs, max(ns, 0)) }
