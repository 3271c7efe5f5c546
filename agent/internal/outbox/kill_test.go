package outbox_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/outbox"
)

const (
	childDir  = "SIGHTLINE_OUTBOX_CHILD" // makes the test binary the process that is killed
	killCount = "SIGHTLINE_OUTBOX_KILLS" // how often
)

// child appends numbered records and prints each number once it is acknowledged.

func child(dir string) {
	box, err := outbox.Open(outbox.Options{Dir: dir, SegmentBytes: 4 << 10})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	begin, err := strconv.Atoi(os.Getenv("SIGHTLINE_OUTBOX_BEGIN"))
	if err != nil {
		panic(err)
	}
	for i := begin; ; i++ {
		e := outbox.Entry{Topic: "t", Payload: fmt.Append(nil, i)}
		if err := box.Append(ctx, e); err != nil {
			panic(err)
		}
		if _, err := fmt.Println(i); err != nil { //nolint:forbidigo // speaks to its parent
			return
		}
	}
}

// Fault 1: 200 kills, 20 with -short; SIGHTLINE_OUTBOX_KILLS=10000 is the long run.
func TestKilledAtRandomPointsLosesNothingAcknowledged(t *testing.T) {
	kills := 200
	if testing.Short() {
		kills = 20
	}
	if text := os.Getenv(killCount); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	dir := t.TempDir()
	next := 0 // first number that no earlier round has verified
	for range kills {
		acknowledged := killOnce(t, dir, next)
		next = verify(t, dir, next, acknowledged)
	}
	t.Logf("%d kills, %d records verified", kills, next)
}

// killOnce returns the last number that the child had acknowledged.
func killOnce(tb testing.TB, dir string, begin int) int {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, "SIGHTLINE_OUTBOX_BEGIN="+strconv.Itoa(begin))
	out, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	last := begin - 1
	lines := bufio.NewScanner(out)
	var killer *time.Timer
	for lines.Scan() {
		if killer == nil {
			soon := time.Duration(rand.IntN(20_000)) * time.Microsecond
			killer = time.AfterFunc(soon, func() { _ = cmd.Process.Kill() })
		}
		n, err := strconv.Atoi(lines.Text())
		if err == nil { // the last line may be cut
			last = max(last, n)
		}
	}
	require.Error(tb, cmd.Wait(), "killed")
	require.NotNil(tb, killer, "the child never acknowledged anything")
	return last
}

// verify reads everything, which must be the numbers from begin on without a gap, at least to the
// acknowledged one; it acknowledges all of it and returns the next number.
func verify(tb testing.TB, dir string, begin, acknowledged int) int {
	tb.Helper()
	box, err := outbox.Open(outbox.Options{Dir: dir, SegmentBytes: 4 << 10})
	require.NoError(tb, err)
	require.Less(tb, box.Stats().OpenDuration, time.Second)
	for box.Stats().Backlog > 0 {
		records, err := box.Next(tb.Context(), 64)
		require.NoError(tb, err)
		for _, r := range records {
			require.Equal(tb, strconv.Itoa(begin), string(r.Payload))
			begin++
		}
		box.Ack(records[len(records)-1].Sequence)
	}
	require.Greater(tb, begin, acknowledged)
	require.Zero(tb, box.Stats().Corrupt)
	require.NoError(tb, box.Close())
	return begin
}
