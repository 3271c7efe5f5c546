package broker

import (
	"math/rand/v2"
	"time"
)

const (
	firstDelay    = 100 * time.Millisecond
	lastDelay     = 2 * time.Second
	quickEnd      = 5 * time.Second // a connection that ends sooner is suspicious
	suspectAfter  = 3               // such ends in a row
	firstPenalty  = time.Second
	longestPause  = time.Minute
	jitterPercent = 25
)

// pace decides how long to wait before the next connect. Failed dials back off to two seconds, so that a
// broker that returns is found within five. Connections that come up at once and are ended quickly, again and
// again, are the sign of a second client with our client id, each throwing the other out: then the pauses
// grow to a minute.
type pace struct {
	failures int // dials in a row
	quick    int // quick ends in a row, with no failed dial between
	last     time.Duration
	longest  time.Duration // pause after quick ends
}

func (p *pace) failed() time.Duration {
	p.quick = 0
	p.last = min(firstDelay<<min(p.failures, 10), lastDelay)
	p.failures++
	return jitter(p.last)
}

// ended is told how long the connection lived. A rival's pauses grow like ours, so the life that counts as
// quick grows with our own pause.
func (p *pace) ended(lived time.Duration) (pause time.Duration, takeover bool) {
	p.failures = 0
	if lived > quickEnd+2*p.last {
		p.quick = 0
	} else {
		p.quick++
	}
	if p.quick < suspectAfter {
		p.last = firstDelay
		return jitter(p.last), false
	}
	p.last = min(firstPenalty<<min(p.quick-suspectAfter, 10), p.longest)
	return jitter(p.last), true
}

// jitter spreads the reconnects of many agents, and lets one of two rivals win for longer.
func jitter(d time.Duration) time.Duration {
	spread := int64(d) * jitterPercent / 100
	//nolint:gosec // spreading load needs no secret randomness
	return d - time.Duration(spread) + time.Duration(rand.Int64N(2*spread+1))
}
