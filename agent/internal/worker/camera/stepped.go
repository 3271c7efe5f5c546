package camera

// steps is what a stepped source has to read. Camera.mu guards it.
type steps struct {
	wanted bool // a call of Next waits for the next picture
	owed   int  // pictures of calls that missed their deadline: they are read, and displaced
}

// ask requests one frame of a stepped source. A request may be repeated.
func (c *Camera) ask() {
	if c.spec.paced() {
		return
	}
	c.mu.Lock()
	c.steps.wanted = true
	c.mu.Unlock()
	c.wakeReader()
}

// giveUp displaces the picture of a call that missed its deadline, at once or when it comes.
func (c *Camera) giveUp() {
	if c.spec.paced() {
		return
	}
	c.mu.Lock()
	c.steps.wanted = false
	if s := c.box.TryTake(); s != nil { // it came at the last moment
		c.displace(s)
	} else {
		c.steps.owed++
	}
	c.mu.Unlock()
	c.wakeReader()
}

func (c *Camera) wakeReader() {
	select {
	case c.want <- struct{}{}:
	default:
	}
}

// wanted says whether a stepped source has to read a picture now.
func (c *Camera) wanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steps.owed > 0 || c.steps.wanted && !c.box.Waiting()
}

// late says whether the picture that has come belongs to a call that is over. The caller holds mu.
func (c *Camera) late() bool {
	if c.steps.owed == 0 {
		return false
	}
	c.steps.owed--
	return true
}

// restart forgets what a capture that is gone still owed: a new one begins at its own first picture.
func (c *Camera) restart() {
	c.mu.Lock()
	c.steps.owed = 0
	c.mu.Unlock()
}
