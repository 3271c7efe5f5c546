package camera

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

// shotsInUse: one in the mailbox, one on either side of it, one to spare.
const shotsInUse = 4

// shot is what became of one exposure: a frame or an error.
type shot struct {
	f  *frame.Frame
	at int64 // CLOCK_MONOTONIC, as Frame.ExposedNs
	// err is ErrStale or wraps ErrBadFrame.
	err error
}

// Next returns one frame, which the caller releases.
//
// Of a paced camera it is the newest one exposed at or after notBeforeNs, else the first that comes; of a
// stepped one the next in order. Both times are CLOCK_MONOTONIC; deadlineNs 0 is none. With a deadline, a
// camera that has failed answers ErrNoFrame at once; without one, Next waits for its return. A stepped
// frame that came too late for one call waits for the next. One caller at a time; no allocation unless
// something is wrong.
func (c *Camera) Next(ctx context.Context, notBeforeNs, deadlineNs int64) (*frame.Frame, error) {
	expired, ok := c.arm(deadlineNs)
	if !ok {
		return nil, c.late(c.State())
	}
	defer c.timer.Stop()
	for {
		// before the mailbox: the last frame is put there before the state says that it was the last
		s := c.State()
		if f, err := c.take(notBeforeNs); f != nil || err != nil {
			return f, err
		}
		if err := s.trouble(deadlineNs != 0); err != nil {
			return nil, err
		}
		c.ask()
		select {
		case <-c.box.Ready():
		case <-c.change:
		case <-expired:
			return nil, c.late(c.State())
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
	left := deadlineNs - monotime.Now()
	if left <= 0 {
		return nil, false
	}
	c.timer.Reset(time.Duration(left))
	return c.timer.C, true
}

// ask requests one frame of a stepped source. A request may be repeated: none is read while one waits.
func (c *Camera) ask() {
	if c.spec.paced() {
		return
	}
	select {
	case c.want <- struct{}{}:
	default:
	}
}

// take empties the mailbox and returns what was in it, unless it is too old.
func (c *Camera) take(notBeforeNs int64) (*frame.Frame, error) {
	c.mu.Lock()
	s := c.box.TryTake()
	if s == nil {
		c.mu.Unlock()
		return nil, nil //nolint:nilnil // nothing there, and nothing wrong
	}
	got := *s
	*s = shot{}
	early := c.spec.paced() && got.at < notBeforeNs
	c.countTaken(got.f != nil, early)
	c.mu.Unlock()
	c.shots <- s
	if !early {
		return got.f, got.err
	}
	if got.f != nil {
		got.f.Release()
	}
	return nil, nil //nolint:nilnil // as above
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

func (c *Camera) late(s State) error {
	if s.Phase == Ready {
		return ErrDeadline
	}
	if err := s.trouble(true); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrNoFrame, s.Reason)
}
