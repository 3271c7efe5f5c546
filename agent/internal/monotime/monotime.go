// Package monotime reads the clock by which a node orders and times everything.
package monotime

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now returns CLOCK_MONOTONIC in nanoseconds. Unlike time.Time's hidden reading it can be sent to another
// process of the same machine and compared there. It never jumps with the wall clock.
func Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("monotime: CLOCK_MONOTONIC is missing: " + err.Error()) // the kernel always has it
	}
	return ts.Nano()
}

// Since returns the time passed after an earlier reading of Now.
func Since(earlier int64) time.Duration {
	return time.Duration(Now() - earlier)
}
