package camera

import "github.com/sightline-edge/sightline/agent/internal/frame"

// deliver puts f, exposed at surelyNs or later, into the mailbox and returns an empty frame for the next
// read, or nil when a stepped source has to wait for one. A paced source never waits, else its driver's
// queue would age and an old exposure be taken for a new one: when the caller holds more frames than it
// said, f itself is the one displaced.
func (c *Camera) deliver(f *frame.Frame, surelyNs int64) *frame.Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Captured++
	f.Seq = c.counts.Captured
	if c.late() {
		c.counts.Displaced++
		f.Truth = f.Truth[:0]
		return f
	}
	if old := c.box.TryTake(); old != nil {
		c.displace(old)
	}
	next := c.pool.Get()
	if next == nil && c.spec.paced() {
		c.counts.Displaced++
		f.Truth = f.Truth[:0]
		return f
	}
	s := <-c.shots
	*s = shot{f: f, surelyNs: surelyNs}
	c.counts.Waiting++
	c.box.Put(s)
	return next
}

// deliverError puts the fate of an exposure without a usable frame into the mailbox.
func (c *Camera) deliverError(surelyNs int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == ErrStale { //nolint:errorlint // the camera's own value, never wrapped
		c.counts.StaleFrames++
	} else {
		c.counts.BadFrames++
	}
	if c.late() {
		return
	}
	s := <-c.shots
	*s = shot{surelyNs: surelyNs, err: err}
	if old := c.box.Put(s); old != nil {
		c.displace(old)
	}
}

// displace releases what was in the mailbox. The caller holds mu.
func (c *Camera) displace(s *shot) {
	if s.f != nil {
		c.counts.Waiting--
		c.counts.Displaced++
		s.f.Release()
	}
	*s = shot{}
	c.shots <- s
}
