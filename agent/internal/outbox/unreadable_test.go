package outbox_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sightline-edge/sightline/agent/internal/outbox"
)

const firstSegment = "00000000000000000001.seg"

// The uplink rewinds before each attempt.
func TestRewindBeforeEachTryDoesNotKeepAnUnreadableSegment(t *testing.T) {
	dir := t.TempDir()
	box := open(t, outbox.Options{Dir: dir, SegmentBytes: 1})
	appendAll(t, box, "one", "two")
	require.NoError(t, os.Remove(segmentFiles(t, dir)[0]))
	for range 4 {
		box.Rewind()
		_, err := box.Next(t.Context(), 1)
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	for range 2 { // given up, it is not waited for again, and not counted
		box.Rewind()
		records, err := box.Next(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, "two", string(records[0].Payload))
		require.Equal(t, uint64(1), box.Stats().Corrupt)
	}
}

// largeRecords fills one segment whose first chunk holds three records, and stores one record more.
func largeRecords(tb testing.TB, fs *faultFS) *outbox.Outbox {
	tb.Helper()
	dir := tb.TempDir()
	box := open(tb, outbox.Options{Dir: dir, FS: fs, SegmentBytes: 2 << 20})
	for range 8 {
		appendAll(tb, box, strings.Repeat("x", outbox.MaxPayloadBytes))
	}
	appendAll(tb, box, "behind")
	require.Len(tb, segmentFiles(tb, dir), 2)
	return box
}

func TestReadableBeginningDoesNotKeepAnUnreadableSegment(t *testing.T) {
	fs := newFaultFS()
	box := largeRecords(t, fs)
	fs.setRead(func(_ string, at int64) error {
		if at > 0 {
			return unix.EIO
		}
		return nil
	})
	for try := range 5 {
		box.Rewind()
		records, err := box.Next(t.Context(), 64)
		require.NoError(t, err)
		require.Len(t, records, 3)
		records, err = box.Next(t.Context(), 64)
		if try < 4 {
			require.ErrorIs(t, err, unix.EIO)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "behind", string(records[0].Payload))
	}
	require.Equal(t, uint64(1), box.Stats().Corrupt)
}

func TestReadsThatFailForAWhileLoseNothing(t *testing.T) {
	fs := newFaultFS()
	box := largeRecords(t, fs)
	for range 3 {
		box.Rewind()
		failures := 4
		fs.setRead(func(_ string, at int64) error {
			if at == 0 || failures == 0 {
				return nil
			}
			failures--
			return unix.EIO
		})
		records, err := box.Next(t.Context(), 64)
		require.NoError(t, err)
		require.Len(t, records, 3)
		for range 4 {
			_, err = box.Next(t.Context(), 64)
			require.ErrorIs(t, err, unix.EIO)
		}
		require.Len(t, drain(t, box), 6)
	}
	require.Zero(t, box.Stats().Corrupt)
}

func TestUnreadableNewestSegmentDoesNotKeepTheOutboxClosed(t *testing.T) {
	dir, _ := makeSegment(t, numbers(3))
	fs := newFaultFS()
	fs.setRead(func(name string, _ int64) error {
		if name == firstSegment {
			return unix.EIO
		}
		return nil
	})
	box := open(t, outbox.Options{Dir: dir, FS: fs})
	appendAll(t, box, "after")
	for range 4 {
		_, err := box.Next(t.Context(), 1)
		require.ErrorIs(t, err, unix.EIO)
	}
	records, err := box.Next(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, "after", string(records[0].Payload))
	require.Greater(t, records[0].Sequence, uint64(3), "numbers are given once")
	box.Ack(records[0].Sequence)
	require.Zero(t, box.Stats().Backlog)
}

// fillWithPassed stores records of passed parts until the outbox is full.
func fillWithPassed(tb testing.TB, o outbox.Options) *outbox.Outbox {
	tb.Helper()
	o.MaxBytes, o.SegmentBytes = 110<<10, 10<<10
	box := open(tb, o)
	for range 200 {
		err := box.Append(tb.Context(), entry(outbox.Normal, strings.Repeat("x", 960)))
		if err != nil {
			require.ErrorIs(tb, err, outbox.ErrFull)
			return box
		}
	}
	require.Fail(tb, "the outbox never filled")
	return nil
}

func TestUnreadableSegmentsDoNotKeepRejectsOut(t *testing.T) {
	dir := t.TempDir()
	box := fillWithPassed(t, outbox.Options{Dir: dir})
	files := segmentFiles(t, dir)
	require.NoError(t, os.Remove(files[0]))
	require.NoError(t, os.Remove(files[1]))
	for range 20 { // more than one segment holds
		appendAll(t, box, "reject "+strings.Repeat("x", 950))
	}
	require.Zero(t, box.Stats().Dropped[outbox.High])
}

func TestDamagedRecordsAreReportedWhenRoomIsMade(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	box := fillWithPassed(t, outbox.Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	oldest := segmentFiles(t, dir)[0]
	content, err := os.ReadFile(oldest)
	require.NoError(t, err)
	size := len(content) / 11
	require.Zero(t, len(content)%11)
	content[size/2] ^= 1            // the first record's body
	content[len(content)-size] ^= 1 // the last one's header
	require.NoError(t, os.WriteFile(oldest, content, 0o600))
	before := box.Stats().Dropped[outbox.Normal]
	appendAll(t, box, "reject "+strings.Repeat("x", 950))
	require.Equal(t, uint64(2), box.Stats().Corrupt)
	require.Equal(t, uint64(11-2), box.Stats().Dropped[outbox.Normal]-before)
	require.NoError(t, box.Close())
	require.Equal(t, 1, strings.Count(log.String(), "stored records are damaged and lost"))
	require.Contains(t, log.String(), "damaged=2")
}
