// Package monotime reads the clock by which a node orders and times everything.
package monotime

import (
	"time"

	"golang.org/x/sys/unix"
)

// The time package reads the same clock without a system call, but only from a start of its own. It is placed
// on the clock once, from the reading that took the least time.
var began, beganNs = place()

// Now returns CLOCK_MONOTONIC in nanoseconds. Unlike time.Time's hidden reading it can be sent to another
// process of the same machine and compared there, to a few microseconds. It never jumps with the wall clock.
func Now() int64 { return beganNs + int64(time.Since(began)) }

// Since returns the time passed after an earlier reading of Now.
func Since(earlier int64) time.Duration { return time.Duration(Now() - earlier) }

func place() (at time.Time, ns int64) {
	const tries = 8
	least := time.Hour
	for range tries {
		before := time.Now()
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			panic("monotime: CLOCK_MONOTONIC is missing: " + err.Error()) // the kernel always has it
		}
		if took := time.Since(before); took < least {
			least, at, ns = took, before.Add(took/2), ts.Nano()
		}
	}
	return at, ns
}
