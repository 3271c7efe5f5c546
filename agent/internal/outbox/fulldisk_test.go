package outbox_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/outbox"
)

// storedOnAFullDisk stores records, fills the disk and opens the outbox again.
func storedOnAFullDisk(
	tb testing.TB, o outbox.Options, payloads []string, reserve bool,
) (*outbox.Outbox, *quotaFS) {
	tb.Helper()
	fs := newQuotaFS(1 << 20)
	o.FS = fs
	box, err := outbox.Open(o)
	require.NoError(tb, err)
	appendAll(tb, box, payloads...)
	require.NoError(tb, box.Close())
	if !reserve {
		require.NoError(tb, fs.Remove(filepath.Join(o.Dir, "reserve")))
	}
	fs.leave(0)
	return open(tb, o), fs
}

// Fault 4.
func TestFullDiskDoesNotKeepTheOutboxClosed(t *testing.T) {
	fs := newQuotaFS(1 << 20)
	o := outbox.Options{Dir: t.TempDir(), FS: fs, SegmentBytes: 1000}
	box := open(t, o)
	want := numbers(60)
	appendAll(t, box, want...)
	records, err := box.Next(t.Context(), 40)
	require.NoError(t, err)
	box.Ack(records[len(records)-1].Sequence)
	require.NoError(t, box.Close())
	fs.leave(0)
	box = open(t, o)
	require.Equal(t, 1, fs.missedOf("cursor.tmp"))
	require.Equal(t, want[len(records):], drain(t, box))
}

// Fault 4: the cursor needs room before anything is freed by it.
func TestAcknowledgedRecordsAreFreedOnAFullDisk(t *testing.T) {
	cases := []struct {
		name    string
		segment int64
		reserve bool
	}{
		{"several segments and no reserve", 1000, false},
		{"one segment and the reserve", 10_000, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := outbox.Options{Dir: t.TempDir(), SegmentBytes: c.segment}
			box, fs := storedOnAFullDisk(t, o, numbers(60), c.reserve)
			require.Len(t, drain(t, box), 60)
			box.Ack(60)
			free := func() bool { return len(segmentFiles(t, o.Dir)) == 0 }
			require.Eventually(t, free, patience, time.Millisecond)
			require.NoError(t, box.Close())
			o.FS = fs
			box = open(t, o)
			require.Empty(t, drain(t, box))
			appendAll(t, box, "after")
			records, err := box.Next(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, uint64(61), records[0].Sequence)
		})
	}
}

// A crash between the freeing and the cursor costs duplicates, and no number is given twice.
func TestNewestSegmentStaysUntilTheCursorIsDurable(t *testing.T) {
	o := outbox.Options{Dir: t.TempDir(), SegmentBytes: 1000}
	box, fs := storedOnAFullDisk(t, o, numbers(10), false)
	require.Len(t, segmentFiles(t, o.Dir), 1)
	require.Len(t, drain(t, box), 10)
	box.Ack(10)
	before := fs.missedOf("cursor.tmp")
	tried := func() bool { return fs.missedOf("cursor.tmp") >= before+3 } // a tick tries twice
	require.Eventually(t, tried, patience, time.Millisecond)
	require.Len(t, segmentFiles(t, o.Dir), 1)
	fs.leave(1 << 20) // nobody acknowledges anything any more
	free := func() bool { return len(segmentFiles(t, o.Dir)) == 0 }
	require.Eventually(t, free, patience, time.Millisecond)
}
