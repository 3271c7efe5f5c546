package camera

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// shotsInUse: one in the mailbox, one on either side of it, one to spare.
const shotsInUse = 4

// shot is what became of one exposure: a frame or an error.
type shot struct {
	f        *frame.Frame
	surelyNs int64 // CLOCK_MONOTONIC: it was not exposed before; 0: unknown
	// err is ErrStale or wraps ErrBadFrame.
	err error
}

// Next returns one frame, which the caller releases.
//
// Of a paced camera it is the newest one exposed at or after notBeforeNs, else the first that comes; of a
// stepped one the next in order. Both times are CLOCK_MONOTONIC; deadlineNs 0 is none. With a deadline, a
// camera that has failed answers ErrNoFrame at once; without one, Next waits for its return. The frame of a
// stepped source that comes after its call's deadline is displaced, so that each call has its own picture.
// One caller at a time; no allocation unless something is wrong.
func (c *Camera) Next(ctx context.Context, notBeforeNs, deadlineNs int64) (*frame.Frame, error) {
	expired, ok := c.arm(deadlineNs)
	if !ok {
		return nil, c.missed(0)
	}
	defer c.timer.Stop()
	for early := 0; ; {
		// before the mailbox: the last frame is put there before the state says that it was the last
		s := c.State()
		f, old, err := c.take(notBeforeNs)
		if f != nil || err != nil {
			return f, err
		}
		if old {
			early++
		}
		if err := s.trouble(deadlineNs != 0); err != nil {
			return nil, err
		}
		c.ask()
		select {
		case <-c.box.Ready():
		case <-c.change:
		case <-expired:
			return nil, c.missed(early)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// arm sets Next's timer, and reports false when the deadline has passed.
func (c *Camera) arm(deadlineNs int64) (<-chan time.Time, bool) {
	if deadlineNs == 0 {
		return nil, true
	}
	left := deadlineNs - c.opt.now()
	if left <= 0 {
		return nil, false
	}
	c.timer.Reset(time.Duration(left))
	return c.timer.C, true
}

// take empties the mailbox and returns what was in it, unless that is too old.
func (c *Camera) take(notBeforeNs int64) (f *frame.Frame, old bool, err error) {
	c.mu.Lock()
	s := c.box.TryTake()
	if s == nil {
		c.mu.Unlock()
		return nil, false, nil
	}
	got := *s
	*s = shot{}
	c.steps.wanted = false
	early := c.spec.paced() && got.surelyNs < notBeforeNs
	c.countTaken(got.f != nil, early)
	c.mu.Unlock()
	c.shots <- s
	if !early {
		return got.f, false, got.err
	}
	if got.f != nil {
		got.f.Release()
	}
	return nil, true, nil
}

func (c *Camera) countTaken(good, early bool) {
	switch {
	case !good:
	case early:
		c.counts.Waiting--
		c.counts.Displaced++
	default:
		c.counts.Waiting--
		c.counts.Taken++
	}
}

// trouble is the error of a state in which no frame will come, or none in the time of a part.
func (s State) trouble(hurry bool) error {
	switch {
	case s.Phase == Ended:
		return io.EOF
	case s.Phase == Exhausted, s.Phase == Closed, s.Phase == Failed && hurry:
		return fmt.Errorf("%w: %s", ErrNoFrame, s.Reason)
	default:
		return nil
	}
}

// missed is the error of a call whose deadline has passed; early frames came that it could not have.
func (c *Camera) missed(early int) error {
	s := c.State()
	if s.Phase == Ready {
		c.giveUp()
		if early == 0 {
			return ErrDeadline
		}
		err := fmt.Errorf("%w: %d came, but were or may have been exposed before the trigger, since the "+
			"camera's latency is %v", ErrDeadline, early, c.spec.latency)
		c.warn.Warn("part without a frame", "error", err)
		return err
	}
	if err := s.trouble(true); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrNoFrame, s.Reason)
}
