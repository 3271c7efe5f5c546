package samples_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/fsutil"
	"github.com/sightline-edge/sightline/agent/internal/samples"
	"github.com/sightline-edge/sightline/agent/topic"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func place() topic.Station {
	return topic.Station{Enterprise: "acme", Site: "hz", Area: "smt", Line: "line3", Name: "aoi-1"}
}

func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

// resultID is that of a result at a time, which it tells.
func resultID(at time.Time, n int) string {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[:], uint64(at.UnixMilli())<<16)
	u[6] = 0x70
	binary.BigEndian.PutUint64(u[8:], uint64(n))
	u[8] = 0x80
	return u.String()
}

func record(at time.Time, n int, reason samples.Reason, margin float32) *samples.Record {
	return &samples.Record{
		ResultID: resultID(at, n), Station: place().Path(), PartID: fmt.Sprintf("PCB-%d", n), Time: at,
		Reason: reason, Margin: margin, Verdict: event.Fail, Classes: []string{"open", "short"},
		Detections: []samples.Detection{
			{Class: "short", Score: 0.55, Box: [4]float32{2, 4, 10, 8}, Counted: true},
			{Class: "open", Score: 0.45, Box: [4]float32{1, 1, 3, 3}},
		},
	}
}

func picture(tb testing.TB, width, height int) []byte {
	tb.Helper()
	var b bytes.Buffer
	require.NoError(tb, png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))))
	return b.Bytes()
}

func open(tb testing.TB, o samples.Options) *samples.Store {
	tb.Helper()
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	s, err := samples.Open(o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

func put(tb testing.TB, s *samples.Store, r *samples.Record, picture []byte) {
	tb.Helper()
	before := s.Stats()
	s.Note(r)
	require.NoError(tb, s.Sampled(r.ResultID, samples.Chunks{picture}))
	if r.Reason == "" {
		return
	}
	require.Eventually(tb, func() bool {
		now := s.Stats()
		return now.Stored+now.Declined+now.Dropped > before.Stored+before.Declined+before.Dropped
	}, 10*time.Second, time.Millisecond)
}

func override(tb testing.TB, s *samples.Store, o samples.Order) samples.Answer {
	tb.Helper()
	answers := make(chan samples.Answer, 1)
	o.Place = place()
	require.NoError(tb, s.Override(o, func(a samples.Answer) { answers <- a }))
	select {
	case a := <-answers:
		return a
	case <-time.After(10 * time.Second):
		require.Fail(tb, "no answer to an override")
		return samples.Answer{}
	}
}

func list(tb testing.TB, dir string) []*samples.Record {
	tb.Helper()
	l, err := samples.List(tb.Context(), dir, samples.Filter{})
	require.NoError(tb, err)
	require.Empty(tb, l.Unread)
	return l.Samples
}

func files(tb testing.TB, dir string) []string {
	tb.Helper()
	var all []string
	require.NoError(tb, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			all = append(all, name)
		}
		return err
	}))
	return all
}

func TestASampleIsAPictureAndItsRecord(t *testing.T) {
	dir := t.TempDir()
	s := open(t, samples.Options{Dir: dir})
	r := record(noon(), 7, samples.Uncertain, 0.05)
	put(t, s, r, picture(t, 16, 12))
	require.Equal(t, []string{
		"line3-aoi-1/2026-03-04/" + r.ResultID + ".json", "line3-aoi-1/2026-03-04/" + r.ResultID + ".png",
	}, files(t, dir))
	got := list(t, dir)
	require.Len(t, got, 1)
	require.Equal(t, 16, got[0].Picture.Width)
	require.Equal(t, 12, got[0].Picture.Height)
	require.Equal(t, "PCB-7", got[0].PartID)
	require.Equal(t, r.Detections, got[0].Detections)
	require.Nil(t, r.Picture, "a noted record is never changed")
	stats := s.Stats()
	require.Equal(t, 1, stats.Count)
	require.Equal(t, onDisk(t, dir), stats.Bytes)
}

func onDisk(tb testing.TB, dir string) (sum int64) {
	tb.Helper()
	for _, name := range files(tb, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(tb, err)
		sum += info.Size()
	}
	return sum
}

func TestOfAnHourTheClosestToTheirThresholdStay(t *testing.T) {
	dir := t.TempDir()
	s := open(t, samples.Options{Dir: dir, PerHour: 3})
	for n, margin := range []float32{0.05, 0.09, 0.01, 0.02, 0.07, 0.03} {
		at := noon().Add(time.Duration(n) * time.Minute)
		if n == 4 {
			require.False(t, s.Wants(place(), samples.Uncertain, margin, at), "it would go at once")
			require.True(t, s.Wants(place(), samples.Uncertain, 0.001, at))
			require.True(t, s.Wants(place(), samples.Uncertain, margin, at.Add(time.Hour)), "another hour")
		}
		put(t, s, record(at, n, samples.Uncertain, margin), picture(t, 8, 8))
	}
	var margins []float32
	for _, r := range list(t, dir) {
		margins = append(margins, r.Margin)
	}
	require.Equal(t, []float32{0.01, 0.02, 0.03}, margins)
	require.Equal(t, uint64(1), s.Stats().Declined)
	require.Len(t, files(t, dir), 6)
}

func TestOneBadHourDoesNotDriveOutAMonth(t *testing.T) {
	dir := t.TempDir()
	s := open(t, samples.Options{Dir: dir, MaxCount: 40})
	for day := range 30 {
		at := noon().AddDate(0, 0, day)
		put(t, s, record(at, day, samples.Uncertain, 0.08), picture(t, 8, 8))
	}
	bad := noon().AddDate(0, 0, 30)
	for n := range 50 {
		at := bad.Add(time.Duration(n) * time.Second)
		put(t, s, record(at, 100+n, samples.Uncertain, 0.01), picture(t, 8, 8))
	}
	all := list(t, dir)
	require.Len(t, all, 40)
	days := map[string]int{}
	for _, r := range all {
		days[r.Time.Format(time.DateOnly)]++
	}
	require.Len(t, days, 31, "each day of the month is still there")
	require.Equal(t, 10, days[bad.Format(time.DateOnly)])
	require.False(t, s.Wants(place(), samples.Uncertain, 0.05, bad), "the hour is crowded")
}

func TestOverridesAreKeptLongestThenDisagreements(t *testing.T) {
	dir := t.TempDir()
	s := open(t, samples.Options{Dir: dir, MaxCount: 2})
	put(t, s, record(noon(), 1, samples.Uncertain, 0), picture(t, 8, 8))
	put(t, s, record(noon(), 2, samples.Disagreement, 0), picture(t, 8, 8))
	put(t, s, record(noon().Add(time.Hour), 3, samples.Disagreement, 0), picture(t, 8, 8))
	put(t, s, record(noon().Add(time.Hour), 4, samples.Uncertain, 0), picture(t, 8, 8))
	for _, r := range list(t, dir) {
		require.Equal(t, samples.Disagreement, r.Reason)
	}
	require.Equal(t, 2, s.Stats().Count)
}

// The part was a sample when its shadow spoke.
func TestADisagreementRaisesTheWorthOfASample(t *testing.T) {
	dir := t.TempDir()
	s := open(t, samples.Options{Dir: dir})
	for _, reason := range []samples.Reason{samples.Uncertain, samples.Disagreement, samples.Uncertain} {
		s.Note(record(noon(), 1, reason, 0))
		require.NoError(t, s.Sampled(resultID(noon(), 1), samples.Chunks{picture(t, 8, 8)}))
	}
	require.NoError(t, s.Close())
	all := list(t, dir)
	require.Len(t, all, 1)
	require.Equal(t, samples.Disagreement, all[0].Reason)
	require.Len(t, files(t, dir), 2)
	require.Equal(t, onDisk(t, dir), s.Stats().Bytes)
}

func TestOverridesOutliveWhatIsWorthLess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, samples.Options{Dir: dir, MaxCount: 2})
	put(t, s, record(noon(), 1, samples.Unsure, 0), picture(t, 8, 8))
	for n := range 3 {
		r := record(noon().Add(time.Duration(n)*time.Hour), 2+n, "", 0)
		put(t, s, r, picture(t, 8, 8))
		require.NoError(t, override(t, s, samples.Order{
			ResultID: r.ResultID, Override: samples.Override{Verdict: event.Pass},
		}).Err)
		put(t, s, record(r.Time, 12+n, samples.Uncertain, 0), picture(t, 8, 8))
	}
	var parts []string
	for _, r := range list(t, dir) {
		require.Equal(t, samples.Overridden, r.Reason)
		parts = append(parts, r.PartID)
	}
	require.Equal(t, []string{"PCB-3", "PCB-4"}, parts, "the oldest went only for another")
}

func TestTheBudgetOfBytesHoldsAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	big := append(picture(t, 8, 8), make([]byte, 10_000)...) // decoders pass over what follows a PNG
	s := open(t, samples.Options{Dir: dir})
	for n := range 20 {
		put(t, s, record(noon().Add(time.Duration(n)*time.Hour), n, samples.Uncertain, 0.01), big)
	}
	require.NoError(t, s.Close())
	s = open(t, samples.Options{Dir: dir, MaxBytes: 60_000})
	require.Eventually(t, func() bool { return s.Stats().Evicted > 0 && s.Stats().Count > 0 },
		10*time.Second, time.Millisecond)
	require.NoError(t, s.Close())
	require.LessOrEqual(t, onDisk(t, dir), int64(60_000))
	require.Equal(t, onDisk(t, dir), s.Stats().Bytes)
	all := list(t, dir)
	require.NotEmpty(t, all)
	require.Equal(t, noon().Add(19*time.Hour), all[len(all)-1].Time, "of equals the oldest went")
}

func TestWhatACrashLeavesIsNoSample(t *testing.T) {
	dir := t.TempDir()
	s := open(t, samples.Options{Dir: dir})
	whole, torn, alone := record(noon(), 1, samples.Uncertain, 0), record(noon(), 2, samples.Uncertain, 0),
		record(noon(), 3, samples.Uncertain, 0)
	for _, r := range []*samples.Record{whole, torn, alone} {
		put(t, s, r, picture(t, 8, 8))
	}
	require.NoError(t, s.Close())
	in := filepath.Join(dir, "line3-aoi-1", "2026-03-04")
	require.NoError(t, os.Remove(filepath.Join(in, torn.ResultID+".json")), "the picture came first")
	require.NoError(t, os.Remove(filepath.Join(in, alone.ResultID+".png")))
	for name, content := range map[string]string{
		resultID(noon(), 4) + ".png.tmp": "half", resultID(noon(), 5) + ".json": `{"version":1,"resu`,
		resultID(noon(), 6) + ".json": `{"version":9}`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(in, name), []byte(content), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.png"), []byte("mine"), 0o600))
	mine := []string{
		"board.jpg", "board.json", "board.png.tmp", strings.ToUpper(resultID(noon(), 0xabc)) + ".jpg",
	}
	for _, name := range mine {
		require.NoError(t, os.WriteFile(filepath.Join(in, name), []byte("mine"), 0o600))
	}
	s = open(t, samples.Options{Dir: dir})
	require.Eventually(t, func() bool { return s.Stats().Count == 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Close())
	const day = "line3-aoi-1/2026-03-04/"
	require.ElementsMatch(t, []string{
		day + whole.ResultID + ".json", day + whole.ResultID + ".png", day + resultID(noon(), 6) + ".json",
		"notes.png", day + mine[0], day + mine[1], day + mine[2], day + mine[3],
	}, files(t, dir), "what another version wrote and what others put there stays")
}

// fullDisk refuses to write until enough was deleted.
type fullDisk struct {
	fsutil.OS

	deleted int
}

func (d *fullDisk) OpenFile(name string, flag int, perm os.FileMode) (fsutil.File, error) {
	if d.deleted == 0 && strings.Contains(name, "-000000000002.") {
		return nil, syscall.ENOSPC
	}
	return d.OS.OpenFile(name, flag, perm)
}

func (d *fullDisk) Remove(name string) error {
	err := d.OS.Remove(name)
	if err == nil {
		d.deleted++
	}
	return err
}

func TestAFullDiskCostsTheLeastValuable(t *testing.T) {
	dir := t.TempDir()
	s := open(t, samples.Options{Dir: dir, FS: &fullDisk{}})
	put(t, s, record(noon(), 1, samples.Uncertain, 0.09), picture(t, 8, 8))
	put(t, s, record(noon(), 2, samples.Uncertain, 0.01), picture(t, 8, 8))
	all := list(t, dir)
	require.Len(t, all, 1)
	require.Equal(t, "PCB-2", all[0].PartID)
	require.Equal(t, onDisk(t, dir), s.Stats().Bytes)
}

// badDisk refuses to write what its name has in it.
type badDisk struct {
	fsutil.OS

	err  error
	name string
}

func (d *badDisk) OpenFile(name string, flag int, perm os.FileMode) (fsutil.File, error) {
	if strings.Contains(name, d.name) {
		return nil, d.err
	}
	return d.OS.OpenFile(name, flag, perm)
}

func TestOnlyAFullDiskCostsAnotherSample(t *testing.T) {
	for _, err := range []error{syscall.EIO, syscall.EROFS, syscall.EMFILE} {
		dir := t.TempDir()
		s := open(t, samples.Options{Dir: dir, FS: &badDisk{err: err, name: "-000000000002."}})
		put(t, s, record(noon(), 1, samples.Uncertain, 0.09), picture(t, 8, 8))
		put(t, s, record(noon(), 2, samples.Uncertain, 0.01), picture(t, 8, 8))
		all := list(t, dir)
		require.Len(t, all, 1)
		require.Equal(t, "PCB-1", all[0].PartID)
		require.Equal(t, samples.Stats{
			Stored: 1, Dropped: 1, Count: 1, Bytes: onDisk(t, dir),
		}, s.Stats())
	}
}

// What an operator said is on disk; the frame that follows finds no room.
func TestAnOverrideOutlivesItsFrame(t *testing.T) {
	pass := samples.Override{Verdict: event.Pass}
	big := append(picture(t, 8, 8), make([]byte, 10_000)...)
	for name, o := range map[string]samples.Options{
		"the disk is full":         {FS: &badDisk{err: syscall.ENOSPC, name: ".png"}},
		"the record cannot follow": {FS: &badDisk{err: syscall.EIO, name: ".never"}},
		"larger than the budget":   {MaxBytes: 9_000},
		"worth less than others":   {MaxBytes: 12_000},
	} {
		t.Run(name, func(t *testing.T) {
			o.Dir = t.TempDir()
			s := open(t, o)
			for n := range 5 {
				s.Note(record(noon().Add(time.Duration(n)*time.Hour), n, "", 0))
				a := override(t, s, samples.Order{PartID: fmt.Sprintf("PCB-%d", n), Override: pass})
				require.NoError(t, a.Err)
			}
			if disk, ok := o.FS.(*badDisk); ok && disk.name == ".never" {
				disk.name = ".json"
			}
			put(t, s, record(noon(), 9, samples.Uncertain, 0), picture(t, 8, 8))
			before := s.Stats()
			require.NoError(t, s.Sampled(resultID(noon(), 0), samples.Chunks{big[:9], {}, big[9:]}))
			require.NoError(t, s.Close())
			overridden := slices.DeleteFunc(list(t, o.Dir), func(r *samples.Record) bool {
				return r.Reason != samples.Overridden
			})
			require.Len(t, overridden, 5)
			frame := filepath.Join("line3-aoi-1", "2026-03-04", resultID(noon(), 0)+".png")
			require.NotContains(t, files(t, o.Dir), frame)
			require.True(t, s.Wants(place(), samples.Uncertain, 0.05, noon()), "there is room for others")
			after := s.Stats()
			require.Equal(t, onDisk(t, o.Dir), after.Bytes)
			require.Equal(t, before.Bytes, after.Bytes)
			require.Equal(t, before.Declined+before.Dropped+1, after.Declined+after.Dropped)
			require.Zero(t, after.Evicted)
		})
	}
}

// A frame takes the place of the evidence under its name, and then the record cannot be written.
func TestBytesAreThoseOnDiskWhenARecordCannotFollowItsFrame(t *testing.T) {
	disk := &badDisk{err: syscall.EIO, name: ".never"}
	o := samples.Options{
		Dir: t.TempDir(), FS: disk,
		Evidence: func(topic.Station, string) ([]byte, error) { return picture(t, 20, 20), nil },
	}
	s := open(t, o)
	r := record(noon(), 1, "", 0)
	s.Note(r)
	a := override(t, s, samples.Order{PartID: "PCB-1", Override: samples.Override{Verdict: event.Pass}})
	require.Equal(t, samples.WithEvidence, a.With)
	disk.name = ".json"
	larger := append(picture(t, 8, 8), make([]byte, 500)...)
	require.NoError(t, s.Sampled(r.ResultID, samples.Chunks{larger}))
	require.NoError(t, s.Close())
	require.Len(t, files(t, o.Dir), 2)
	require.Equal(t, onDisk(t, o.Dir), s.Stats().Bytes)
	s = open(t, samples.Options{Dir: o.Dir})
	require.NoError(t, s.Close())
	require.Equal(t, onDisk(t, o.Dir), s.Stats().Bytes, "also after a restart")
	require.Equal(t, samples.Overridden, list(t, o.Dir)[0].Reason)
}

func TestWhatIsLargerThanTheBudgetCostsNothingAndIsToldOf(t *testing.T) {
	dir := t.TempDir()
	s := open(t, samples.Options{Dir: dir, MaxBytes: 5_000})
	put(t, s, record(noon(), 1, samples.Uncertain, 0), picture(t, 8, 8))
	put(t, s, record(noon(), 2, "", 0), append(picture(t, 8, 8), make([]byte, 10_000)...))
	a := override(t, s, samples.Order{PartID: "PCB-2", Override: samples.Override{Verdict: event.Pass}})
	require.ErrorIs(t, a.Err, samples.ErrDeclined)
	put(t, s, record(noon(), 3, samples.Uncertain, 0), append(picture(t, 8, 8), make([]byte, 10_000)...))
	require.True(t, s.Wants(place(), samples.Uncertain, 0.05, noon()), "there is room for others")
	all := list(t, dir)
	require.Len(t, all, 1)
	require.Equal(t, "PCB-1", all[0].PartID)
	require.Equal(t, samples.Stats{Stored: 1, Declined: 2, Count: 1, Bytes: onDisk(t, dir)}, s.Stats())
}

func TestNamesThatLeaveTheFolderAreRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, samples.Options{Dir: filepath.Join(dir, "in")})
	for _, evil := range []string{"..", "../x", "/etc/passwd", "a/b", "", ".hidden", "a\x00b"} {
		r := record(noon(), 1, samples.Uncertain, 0)
		r.ResultID = evil
		put(t, s, r, picture(t, 8, 8))
		r = record(noon(), 1, samples.Uncertain, 0)
		r.Station = "a/b/c/" + evil + "/s"
		put(t, s, r, picture(t, 8, 8))
	}
	require.ErrorIs(t, s.Sampled(resultID(noon(), 9), samples.Chunks{picture(t, 8, 8)}), samples.ErrUnknown)
	require.ErrorIs(t, s.Sampled("x", nil), samples.ErrRecord)
	put(t, s, record(noon(), 2, samples.Uncertain, 0), []byte("no picture at all"))
	require.NoError(t, s.Close())
	require.Empty(t, files(t, dir))
	require.ErrorIs(t, s.Sampled(resultID(noon(), 2), samples.Chunks{picture(t, 8, 8)}), samples.ErrClosed)
}

func TestAnOverrideFindsTheFrameThatIsHeld(t *testing.T) {
	dir := t.TempDir()
	s := open(t, samples.Options{Dir: dir})
	put(t, s, record(noon(), 1, "", 0), picture(t, 8, 8))
	put(t, s, record(noon().Add(time.Second), 1, "", 0), picture(t, 9, 8))
	require.Empty(t, files(t, dir), "nothing is written before somebody speaks")
	said := samples.Override{
		Verdict: event.Rework, Operator: "mei", Time: noon(),
		Labels: []samples.Label{{Class: "open", Box: [4]float32{1, 2, 3, 4}}},
	}
	a := override(t, s, samples.Order{PartID: "PCB-1", Override: said})
	require.NoError(t, a.Err)
	require.Equal(t, samples.WithFrame, a.With)
	require.Equal(t, resultID(noon().Add(time.Second), 1), a.ResultID, "the newest of that name")
	all := list(t, dir)
	require.Len(t, all, 1)
	require.Equal(t, 9, all[0].Picture.Width)
	require.Equal(t, &said, all[0].Override)

	said.Verdict = event.Pass // they think again
	a = override(t, s, samples.Order{ResultID: a.ResultID, Override: said})
	require.NoError(t, a.Err)
	require.Equal(t, samples.WithFrame, a.With)
	all = list(t, dir)
	require.Len(t, all, 1)
	require.Equal(t, event.Pass, all[0].Override.Verdict)
	require.Equal(t, uint64(2), s.Stats().Overridden)

	for _, nobody := range []samples.Order{{PartID: "PCB-9", Override: said}, {ResultID: "../x"}} {
		require.ErrorIs(t, override(t, s, nobody).Err, samples.ErrUnknown)
	}
}

func TestAnOverrideThatIsFasterThanThePictureGetsIt(t *testing.T) {
	for _, reason := range []samples.Reason{"", samples.Uncertain} {
		dir := t.TempDir()
		s := open(t, samples.Options{Dir: dir})
		r := record(noon(), 1, reason, 0)
		s.Note(r)
		a := override(t, s, samples.Order{PartID: "PCB-1", Override: samples.Override{Verdict: event.Pass}})
		require.NoError(t, a.Err)
		require.Equal(t, samples.WithNothing, a.With)
		require.NoError(t, s.Sampled(r.ResultID, samples.Chunks{picture(t, 8, 8)}))
		require.NoError(t, s.Close())
		all := list(t, dir)
		require.Len(t, all, 1)
		require.Equal(t, samples.Overridden, all[0].Reason)
		require.NotNil(t, all[0].Picture)
		require.Equal(t, onDisk(t, dir), s.Stats().Bytes)
	}
}

func TestAnOverrideOfAFrameThatHasGoneKeepsTheEvidence(t *testing.T) {
	dir := t.TempDir()
	drawn := resultID(noon(), 77)
	s := open(t, samples.Options{
		Dir: dir, HoldBytes: 1,
		Evidence: func(_ topic.Station, id string) ([]byte, error) {
			if id == drawn {
				return picture(t, 20, 20), nil
			}
			return nil, fs.ErrNotExist
		},
	})
	pass := samples.Override{Verdict: event.Pass}
	put(t, s, record(noon(), 1, "", 0), picture(t, 8, 8))
	require.Equal(t, samples.WithNothing, override(t, s, samples.Order{PartID: "PCB-1", Override: pass}).With)
	a := override(t, s, samples.Order{ResultID: drawn, Override: pass})
	require.NoError(t, a.Err, "nothing else is known of it")
	require.Equal(t, samples.WithEvidence, a.With)
	require.ErrorIs(t, override(t, s, samples.Order{ResultID: resultID(noon(), 78), Override: pass}).Err,
		samples.ErrUnknown)
	all := list(t, dir)
	require.Len(t, all, 2)
	require.Nil(t, all[0].Picture)
	require.True(t, all[1].Picture.Annotated)
	require.Equal(t, noon(), all[1].Time)
}

func TestHeldPicturesAndNotedPartsAreBounded(t *testing.T) {
	one := picture(t, 8, 8)
	s := open(t, samples.Options{HoldBytes: int64(2*len(one) + 1)})
	for n := range 3 {
		put(t, s, record(noon(), n, "", 0), one)
	}
	pass := samples.Override{Verdict: event.Pass}
	require.Equal(t, samples.WithNothing, override(t, s, samples.Order{PartID: "PCB-0", Override: pass}).With)
	require.Equal(t, samples.WithFrame, override(t, s, samples.Order{PartID: "PCB-1", Override: pass}).With)
	for n := range 1100 {
		s.Note(record(noon(), 1000+n, "", 0))
	}
	require.ErrorIs(t, override(t, s, samples.Order{PartID: "PCB-1000", Override: pass}).Err,
		samples.ErrUnknown)
	require.Equal(t, samples.WithFrame, override(t, s, samples.Order{PartID: "PCB-2", Override: pass}).With,
		"its picture is still held")
	for n := range 2 {
		put(t, s, record(noon(), 2100+n, "", 0), one)
	}
	require.NoError(t, s.Sampled(resultID(noon(), 2099), samples.Chunks{one}))
	forgotten := record(noon(), 2, "", 0).ResultID
	require.ErrorIs(t, s.Sampled(forgotten, samples.Chunks{one}), samples.ErrUnknown,
		"with its picture went what was known of it")
}

func FuzzRecord(f *testing.F) {
	b, err := json.Marshal(record(noon(), 1, samples.Uncertain, 0.1))
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte(`{"version":1,"picture":{"file":"../../x.png"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		in := filepath.Join(dir, "line3-aoi-1", "2026-03-04")
		require.NoError(t, os.MkdirAll(in, 0o750))
		require.NoError(t, os.WriteFile(filepath.Join(in, resultID(noon(), 1)+".json"), b, 0o600))
		l, err := samples.List(t.Context(), dir, samples.Filter{})
		require.NoError(t, err)
		require.Equal(t, 1, len(l.Samples)+len(l.Unread))
	})
}
