package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/broker/stopwatch"
)

// A reader that takes its time must not hold up the clock.
func TestTheStopwatchPrintsNothingBetweenTheFirstMessageAndTheLast(t *testing.T) {
	const count = 3
	var out bytes.Buffer
	seen := 0
	next := func() (stopwatch.Lap, error) {
		require.Equal(t, "{}\n", out.String(), "before message %d", seen)
		seen++
		return stopwatch.Lap{At: time.Unix(0, int64(seen)), Payload: []byte(`"m"`)}, nil
	}
	require.NoError(t, printLaps(&out, next, count))
	require.Equal(t, strings.Join([]string{
		`{}`, `{"at_ns":1,"payload":"m"}`, `{"at_ns":2,"payload":"m"}`, `{"at_ns":3,"payload":"m"}`, ``,
	}, "\n"), out.String())
}

func TestTheStopwatchEndsWithItsConnection(t *testing.T) {
	var out bytes.Buffer
	gone := errors.New("gone")
	err := printLaps(&out, func() (stopwatch.Lap, error) { return stopwatch.Lap{}, gone }, 2)
	require.ErrorIs(t, err, gone)
	require.Equal(t, "{}\n", out.String())
}
