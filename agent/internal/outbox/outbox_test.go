package outbox_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sightline-edge/sightline/agent/internal/outbox"
)

const patience = 10 * time.Second

func open(tb testing.TB, o outbox.Options) *outbox.Outbox {
	tb.Helper()
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	box, err := outbox.Open(o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, box.Close()) })
	return box
}

func entry(priority outbox.Priority, payload string) outbox.Entry {
	return outbox.Entry{Priority: priority, Topic: "a/b/inspection", Payload: []byte(payload)}
}

func appendAll(tb testing.TB, box *outbox.Outbox, payloads ...string) {
	tb.Helper()
	for _, p := range payloads {
		require.NoError(tb, box.Append(tb.Context(), entry(outbox.High, p)))
	}
}

// drain returns the payloads that can be read at once: Next reads before it looks at the context.
func drain(tb testing.TB, box *outbox.Outbox) []string {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	var all []string
	for {
		records, err := box.Next(ctx, 64)
		if err != nil {
			require.ErrorIs(tb, err, context.Canceled)
			return all
		}
		for _, r := range records {
			all = append(all, string(r.Payload))
		}
	}
}

func numbers(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("payload-%06d", i))
	}
	return all
}

func segmentFiles(tb testing.TB, dir string) []string {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(tb, err)
	return files
}

func TestRecordsAreReadInOrderAcrossSegmentsAndRestarts(t *testing.T) {
	dir := t.TempDir()
	box := open(t, outbox.Options{Dir: dir, SegmentBytes: 1000})
	want := numbers(100)
	appendAll(t, box, want[:50]...)
	require.Equal(t, want[:50], drain(t, box))
	require.NoError(t, box.Close())
	require.Greater(t, len(segmentFiles(t, dir)), 2)
	box = open(t, outbox.Options{Dir: dir, SegmentBytes: 1000})
	appendAll(t, box, want[50:]...)
	require.Equal(t, want, drain(t, box))
	require.Zero(t, box.Stats().Corrupt)
}

func TestAcknowledgedRecordsAreForgottenAlsoAfterRestart(t *testing.T) {
	dir := t.TempDir()
	box := open(t, outbox.Options{Dir: dir, SegmentBytes: 1000})
	want := numbers(60)
	appendAll(t, box, want...)
	records, err := box.Next(t.Context(), 40)
	require.NoError(t, err)
	box.Ack(records[len(records)-1].Sequence)
	left := want[len(records):]
	require.NoError(t, box.Close())
	box = open(t, outbox.Options{Dir: dir, SegmentBytes: 1000})
	require.Equal(t, left, drain(t, box))
	require.Equal(t, uint64(len(left)), box.Stats().Backlog)
	box.Ack(math.MaxUint64 / 2)
	require.Eventually(t, func() bool { return len(segmentFiles(t, dir)) == 0 }, patience, 5*time.Millisecond)
	require.Zero(t, box.Stats().Backlog)
}

func TestRewindBeginsBehindTheLastAcknowledged(t *testing.T) {
	box := open(t, outbox.Options{})
	want := numbers(10)
	appendAll(t, box, want...)
	records, err := box.Next(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, records, 10)
	box.Ack(records[3].Sequence)
	box.Rewind()
	require.Equal(t, want[4:], drain(t, box))
}

func TestNextWaitsForARecord(t *testing.T) {
	box := open(t, outbox.Options{})
	got := make(chan []outbox.Record, 1)
	go func() {
		records, _ := box.Next(t.Context(), 10)
		got <- records
	}()
	require.NoError(t, box.Offer(entry(outbox.Normal, "late")))
	require.Equal(t, "late", string((<-got)[0].Payload))
}

func TestOfferNeverWaitsForASlowDisk(t *testing.T) {
	fs := newFaultFS()
	entered, release := make(chan struct{}, 100), make(chan struct{})
	box := open(t, outbox.Options{FS: fs, QueueDepth: 8})
	fs.set(nil, func(int) error { entered <- struct{}{}; <-release; return nil })
	require.NoError(t, box.Offer(entry(outbox.Normal, "first")))
	<-entered // the writer hangs in the disk
	for range 8 {
		require.NoError(t, box.Offer(entry(outbox.High, "queued")))
	}
	require.ErrorIs(t, box.Offer(entry(outbox.Normal, "too many")), outbox.ErrFull)
	require.ErrorIs(t, box.Offer(entry(outbox.High, "too many")), outbox.ErrFull)
	require.Equal(t, [2]uint64{1, 1}, box.Stats().Dropped)
	close(release)
	require.Eventually(t, func() bool { return box.Stats().Stored == 9 }, patience, time.Millisecond)
	require.Len(t, drain(t, box), 9)
}

func TestEntriesOutOfBoundsAreRefused(t *testing.T) {
	box := open(t, outbox.Options{})
	for _, bad := range []outbox.Entry{
		{},
		{Topic: strings.Repeat("x", 2000)},
		{Topic: "t", Priority: 9},
		{Topic: "t", Payload: make([]byte, outbox.MaxPayloadBytes+1)},
	} {
		require.Error(t, box.Offer(bad))
		require.Error(t, box.Append(t.Context(), bad))
	}
	largest := outbox.Entry{
		Topic: strings.Repeat("x", outbox.MaxTopicBytes), Payload: make([]byte, outbox.MaxPayloadBytes),
	}
	for range 9 { // several chunks
		require.NoError(t, box.Append(t.Context(), largest))
	}
	require.Len(t, drain(t, box), 9)
}

func TestSecondProcessIsToldWhatToDo(t *testing.T) {
	dir := t.TempDir()
	open(t, outbox.Options{Dir: dir})
	_, err := outbox.Open(outbox.Options{Dir: dir})
	require.ErrorContains(t, err, "stop the other sightline-agent")
}

func TestClosedOutboxSaysSo(t *testing.T) {
	box := open(t, outbox.Options{})
	require.NoError(t, box.Close())
	require.ErrorIs(t, box.Offer(entry(outbox.High, "x")), outbox.ErrClosed)
	require.ErrorIs(t, box.Append(t.Context(), entry(outbox.High, "x")), outbox.ErrClosed)
	_, err := box.Next(t.Context(), 1)
	require.ErrorIs(t, err, outbox.ErrClosed)
}

// makeSegment writes records into one closed segment and returns its bytes.
func makeSegment(tb testing.TB, payloads []string) (dir string, content []byte) {
	tb.Helper()
	dir = tb.TempDir()
	box, err := outbox.Open(outbox.Options{Dir: dir})
	require.NoError(tb, err)
	appendAll(tb, box, payloads...)
	require.NoError(tb, box.Close())
	files := segmentFiles(tb, dir)
	require.Len(tb, files, 1)
	content, err = os.ReadFile(files[0])
	require.NoError(tb, err)
	return dir, content
}

// Fault 2.
func TestTornWriteAtEveryByteKeepsAllBefore(t *testing.T) {
	t.Parallel()
	want := numbers(4)
	dir, content := makeSegment(t, want)
	path := segmentFiles(t, dir)[0]
	size := len(content) / len(want)
	for cut := range len(content) {
		require.NoError(t, os.WriteFile(path, content[:cut], 0o600))
		box, err := outbox.Open(outbox.Options{Dir: dir})
		require.NoError(t, err)
		require.Less(t, box.Stats().OpenDuration, time.Second)
		require.Equal(t, int64(cut%size), box.Stats().TornBytes, "cut at %d", cut)
		require.NoError(t, box.Append(t.Context(), entry(outbox.High, "after")))
		require.Equal(t, append(want[:cut/size:cut/size], "after"), drain(t, box), "cut at %d", cut)
		require.Zero(t, box.Stats().Corrupt)
		require.NoError(t, box.Close())
		for _, f := range segmentFiles(t, dir) {
			require.NoError(t, os.Remove(f))
		}
	}
}

// Fault 3.
func TestBitFlipInEveryByteLosesOnlyThatRecordAndIsReported(t *testing.T) {
	t.Parallel()
	want := numbers(4)
	dir, content := makeSegment(t, want)
	size := len(content) / len(want)
	for _, newest := range []bool{false, true} {
		for at := range content {
			flipped := bytes.Clone(content)
			flipped[at] ^= 1 << (at % 8)
			got, stats := readFlipped(t, dir, flipped, newest)
			lost := at / size
			rest := append(append([]string{}, want[:lost]...), want[lost+1:]...)
			require.Equal(t, rest, got, "byte %d, newest %t", at, newest)
			require.True(t, stats.Corrupt > 0 || stats.TornBytes > 0, "byte %d, newest %t", at, newest)
		}
	}
}

// readFlipped reads a damaged segment, either the newest or one with another behind it.
func readFlipped(tb testing.TB, dir string, content []byte, newest bool) ([]string, outbox.Stats) {
	tb.Helper()
	for _, f := range segmentFiles(tb, dir) {
		require.NoError(tb, os.Remove(f))
	}
	require.NoError(tb, os.WriteFile(filepath.Join(dir, "00000000000000000001.seg"), content, 0o600))
	if !newest {
		require.NoError(tb, os.WriteFile(filepath.Join(dir, "00000000000000000009.seg"), nil, 0o600))
		// An empty newest segment is removed; the damaged one is then read as it would be while running.
	}
	box, err := outbox.Open(outbox.Options{Dir: dir})
	require.NoError(tb, err)
	defer func() { require.NoError(tb, box.Close()) }()
	return drain(tb, box), box.Stats()
}

// Fault 4: the bytes that the outbox may use are used up.
func TestFullOutboxDropsPassedPartsFirstAndRejectsLast(t *testing.T) {
	t.Parallel()
	payload := strings.Repeat("x", 960) // 1,014 bytes as a record
	box := open(t, outbox.Options{MaxBytes: 110 << 10, SegmentBytes: 10 << 10})
	for i := range 101 {
		e := entry(outbox.Normal, payload)
		if i%10 == 0 {
			e = entry(outbox.High, "early reject "+payload[:940])
		}
		require.NoError(t, box.Append(t.Context(), e), i)
	}
	require.ErrorIs(t, box.Append(t.Context(), entry(outbox.Normal, payload)), outbox.ErrFull)
	require.Equal(t, [2]uint64{1, 0}, box.Stats().Dropped)
	rejects := 0
	for ; ; rejects++ {
		err := box.Append(t.Context(), entry(outbox.High, "late reject "+payload[:940]))
		if err != nil {
			require.ErrorIs(t, err, outbox.ErrFull)
			break
		}
		require.LessOrEqual(t, box.Stats().Bytes, int64(100<<10)) // the rest is the reserve
	}
	require.Greater(t, rejects, 85) // every stored Normal made room
	got := strings.Join(drain(t, box), "")
	require.Equal(t, 11, strings.Count(got, "early reject"))
	require.Equal(t, rejects, strings.Count(got, "late reject"))
	require.Equal(t, uint64(1), box.Stats().Dropped[outbox.High])
	require.Equal(t, uint64(101-11+1), box.Stats().Dropped[outbox.Normal])
}

// Fault 4: the disk itself is full.
func TestDiskFullDropsPassedPartsFirstAndRecovers(t *testing.T) {
	fs := newFaultFS()
	box := open(t, outbox.Options{FS: fs})
	appendAll(t, box, "before")
	fs.set(nil, func(int) error { return unix.ENOSPC })
	require.ErrorIs(t, box.Append(t.Context(), entry(outbox.Normal, "x")), unix.ENOSPC)
	require.ErrorIs(t, box.Append(t.Context(), entry(outbox.High, "y")), unix.ENOSPC)
	require.Equal(t, [2]uint64{1, 1}, box.Stats().Dropped)
	fs.set(nil, nil)
	appendAll(t, box, "after")
	require.Equal(t, []string{"before", "after"}, drain(t, box))
	require.Zero(t, box.Stats().Corrupt)
}

// Fault 4: on a disk that is full, making room itself needs room.
func TestDiskFullLetsRejectsDisplacePassedParts(t *testing.T) {
	t.Parallel()
	fs := newQuotaFS(600 << 10)
	box := open(t, outbox.Options{FS: fs, SegmentBytes: 64 << 10})
	payload := strings.Repeat("x", 900)
	stored := map[outbox.Priority]int{}
	for i := range 2000 {
		e := entry(outbox.Normal, payload)
		if i%4 == 0 {
			e = entry(outbox.High, "reject "+payload)
		}
		if err := box.Append(t.Context(), e); err == nil {
			stored[e.Priority]++
		} else {
			require.ErrorIs(t, err, unix.ENOSPC)
		}
	}
	got := drain(t, box)
	rejects := strings.Count(strings.Join(got, ""), "reject")
	require.Equal(t, stored[outbox.High], rejects)
	require.Equal(t, 500-rejects, int(box.Stats().Dropped[outbox.High]))
	require.Equal(t, 1500-(len(got)-rejects), int(box.Stats().Dropped[outbox.Normal]))
	require.Greater(t, rejects, 480)
}

// Fault 5.
func TestFailedSyncIsNotAcknowledgedAndNotTriedAgainOnThatFile(t *testing.T) {
	fs := newFaultFS()
	dir := t.TempDir()
	box := open(t, outbox.Options{FS: fs, Dir: dir})
	appendAll(t, box, "before")
	fs.set(func() error { return unix.EIO }, nil)
	require.ErrorIs(t, box.Append(t.Context(), entry(outbox.High, "x")), unix.EIO)
	require.Equal(t, uint64(1), box.Stats().Dropped[outbox.High])
	failures := 1
	fs.set(func() error {
		failures--
		if failures >= 0 {
			return unix.EIO
		}
		return nil
	}, nil)
	appendAll(t, box, "after one failure, in a new segment")
	require.Len(t, segmentFiles(t, dir), 2)
	require.Equal(t, []string{"before", "after one failure, in a new segment"}, drain(t, box))
	require.Zero(t, box.Stats().Corrupt)
}

// Faults 1 and 5 together: what is acknowledged was synced, and any torn rest is survived.
func TestPowerCutLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	for torn := int64(0); torn < 160; torn += 3 {
		fs := newFaultFS()
		dir := t.TempDir()
		box, err := outbox.Open(outbox.Options{FS: fs, Dir: dir, SegmentBytes: 4 << 10})
		require.NoError(t, err)
		appendAll(t, box, numbers(3)...)
		fs.set(func() error { return unix.EIO }, nil)
		require.Error(t, box.Append(t.Context(), entry(outbox.High, "not acknowledged")))
		require.NoError(t, box.Close())
		require.NoError(t, fs.cutPower(torn))
		box, err = outbox.Open(outbox.Options{Dir: dir, SegmentBytes: 4 << 10})
		require.NoError(t, err)
		require.Equal(t, numbers(3), drain(t, box)[:3])
		require.NoError(t, box.Close())
	}
}

// Fault 11: the outbox decides nothing by the wall clock; its own clock only tells the age.
func TestAgeIsMeasuredOnTheMonotonicClockOfTheBoot(t *testing.T) {
	dir := t.TempDir()
	var now int64 = 1e9
	clock := func() int64 { return now }
	box := open(t, outbox.Options{Dir: dir, Now: clock, Boot: 7})
	appendAll(t, box, "x")
	now += int64(time.Minute)
	records, err := box.Next(t.Context(), 1)
	require.NoError(t, err)
	age, known := box.Age(records[0])
	require.True(t, known)
	require.Equal(t, time.Minute, age)
	require.NoError(t, box.Close())
	box = open(t, outbox.Options{Dir: dir, Now: clock, Boot: 8})
	records, err = box.Next(t.Context(), 1)
	require.NoError(t, err)
	_, known = box.Age(records[0])
	require.False(t, known)
}

func TestManyWritersShareTheSyncs(t *testing.T) {
	fs := newFaultFS()
	var syncs int
	fs.set(func() error { syncs++; return nil }, nil)
	box := open(t, outbox.Options{FS: fs})
	const writers, each = 64, 20
	var group sync.WaitGroup
	begin := time.Now()
	for range writers {
		group.Go(func() {
			for range each {
				if err := box.Append(t.Context(), entry(outbox.Normal, "x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	rate := writers * each / time.Since(begin).Seconds()
	t.Logf("%d durable appends, %d syncs, %.0f/s", writers*each, syncs, rate)
	fs.set(nil, nil)
	require.Less(t, syncs, writers*each/4)
	require.Len(t, drain(t, box), writers*each)
}

func TestDamagedCursorCostsDuplicatesOnly(t *testing.T) {
	dir := t.TempDir()
	box := open(t, outbox.Options{Dir: dir})
	want := numbers(5)
	appendAll(t, box, want...)
	records, err := box.Next(t.Context(), 2)
	require.NoError(t, err)
	box.Ack(records[1].Sequence)
	require.NoError(t, box.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cursor"), []byte("garbage that is no cursor"), 0o600))
	box = open(t, outbox.Options{Dir: dir})
	require.Equal(t, want, drain(t, box))
}

func TestBacklogEndsBehindRecordsThatNobodyCanSend(t *testing.T) {
	dir, content := makeSegment(t, numbers(3))
	content[len(content)-1] ^= 1
	got, stats := readFlipped(t, dir, content, false)
	require.Equal(t, numbers(2), got)
	require.NotZero(t, stats.Backlog)
	box := open(t, outbox.Options{Dir: dir})
	records, err := box.Next(t.Context(), 64)
	require.NoError(t, err)
	box.Ack(records[len(records)-1].Sequence)
	require.Zero(t, box.Stats().Backlog)
	require.Eventually(t, func() bool { return len(segmentFiles(t, dir)) == 0 }, patience, time.Millisecond)
}

func TestUnreadableSegmentIsPassedOverAfterAWhile(t *testing.T) {
	dir := t.TempDir()
	box := open(t, outbox.Options{Dir: dir, SegmentBytes: 1})
	appendAll(t, box, "one", "two")
	require.NoError(t, os.Remove(segmentFiles(t, dir)[0]))
	var err error
	for range 4 {
		_, err = box.Next(t.Context(), 1)
		require.Error(t, err)
	}
	records, err := box.Next(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, "two", string(records[0].Payload))
	require.Equal(t, uint64(1), box.Stats().Corrupt)
}
