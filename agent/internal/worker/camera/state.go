package camera

// Phase is where a camera is in its life.
type Phase int

// The phases. Ended and Exhausted are final.
const (
	Opening   Phase = iota // for the first time
	Ready                  // frames come
	Failed                 // no frames come; it is being tried again
	Ended                  // the file or folder has no more frames
	Exhausted              // too many captures hang: only a new process can open the camera
	Closed
)

// String returns the word that logs use.
func (p Phase) String() string {
	switch p {
	case Opening:
		return "opening"
	case Ready:
		return "ready"
	case Failed:
		return "failed"
	case Ended:
		return "ended"
	case Exhausted:
		return "exhausted"
	default:
		return "closed"
	}
}

// State is what the operator is told of a camera.
type State struct {
	Phase      Phase
	Reason     string // one sentence, when not Ready
	Paced      bool   // runs by its own clock; else each Next takes the next frame
	Simulated  bool   // boards that were drawn
	Stale      bool   // repeats the same picture
	Reconnects int64
}

// enter changes the phase. Only the camera's own goroutine calls it, so that OnState sees the changes in
// order.
func (c *Camera) enter(p Phase, reason string) {
	c.mu.Lock()
	s := c.state
	c.mu.Unlock()
	s.Phase, s.Reason = p, reason
	c.announce(s)
}

// opened marks the first frame of a capture.
func (c *Camera) opened(again bool) {
	c.mu.Lock()
	if again {
		c.counts.Reconnects++
	}
	s := c.state
	s.Phase, s.Reason, s.Reconnects = Ready, "", int64(c.counts.Reconnects)
	c.mu.Unlock()
	c.announce(s)
}

func (c *Camera) setStale(stale bool) {
	c.mu.Lock()
	s := c.state
	c.mu.Unlock()
	s.Stale = stale
	c.announce(s)
}

func (c *Camera) announce(s State) {
	c.mu.Lock()
	same := s == c.state
	c.state = s
	c.mu.Unlock()
	if same {
		return
	}
	select {
	case c.change <- struct{}{}:
	default:
	}
	say := c.log.Info
	if s.Phase == Failed || s.Phase == Exhausted || s.Stale {
		say = c.log.Warn
	}
	say("camera state", "phase", s.Phase.String(), "reason", s.Reason, "stale", s.Stale, "reconnects",
		s.Reconnects)
	if c.opt.OnState != nil {
		c.opt.OnState(s)
	}
}
