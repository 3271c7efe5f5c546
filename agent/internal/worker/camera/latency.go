package camera

import (
	"fmt"
	"time"
)

const (
	maxLatency = 10 * time.Second
	// networkLatency is assumed of an encoder whose latency is not declared: they need up to a second.
	networkLatency = time.Second
	// stages of a free-running camera, each of at most one period, else it could not keep its rate: one
	// picture is exposed while the one before it is read out and transferred.
	stages = 2
)

// latency is the time from the beginning of an exposure to the frame's arrival. The zero value is a camera
// that exposes on demand.
type latency struct {
	declared time.Duration
	// assumed: nothing is declared, and the camera may run freely. A frame then has the time stamp of its
	// arrival, but a triggered part gets it only when it was exposed after the trigger for certain.
	assumed bool
	least   time.Duration // of what is assumed
}

// String says what triggered parts are measured with.
func (l latency) String() string {
	switch {
	case !l.assumed:
		return l.declared.String()
	case l.least > 0:
		return fmt.Sprintf("not declared and taken for %v", l.least)
	default:
		return fmt.Sprintf("not declared and taken for %d frame periods", stages)
	}
}

// flight tells of each frame of one capture when it was exposed. Not safe for concurrent use.
type flight struct {
	latency

	lastNs   int64
	periodNs int64 // the longest of late, which falls by an eighth with each frame
}

// times returns the time stamp of the frame that arrived at atNs, and a time before which it was certainly
// not exposed: 0 while nothing is known. Both are CLOCK_MONOTONIC.
func (l *flight) times(atNs int64) (exposedNs, surelyNs int64) {
	if !l.assumed {
		exposedNs = atNs - int64(l.declared)
		return exposedNs, exposedNs
	}
	first := l.lastNs == 0
	since := atNs - l.lastNs
	l.lastNs = atNs
	if first {
		return atNs, 0
	}
	l.periodNs = max(since, l.periodNs-l.periodNs/8)
	return atNs, atNs - max(stages*l.periodNs, int64(l.least))
}
