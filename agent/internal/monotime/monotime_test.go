package monotime_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

func kernel(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts))
	return ts.Nano()
}

// Two processes compare their readings, so that each has to be the kernel's.
func TestItIsTheKernelsClock(t *testing.T) {
	const slack = int64(time.Millisecond)
	for range 100 {
		before := kernel(t)
		now := monotime.Now()
		after := kernel(t)
		require.GreaterOrEqual(t, now, before-slack)
		require.LessOrEqual(t, now, after+slack)
	}
}

func TestItNeverGoesBack(t *testing.T) {
	last := monotime.Now()
	for range 10000 {
		now := monotime.Now()
		require.GreaterOrEqual(t, now, last)
		last = now
	}
	require.GreaterOrEqual(t, monotime.Since(last), time.Duration(0))
}
