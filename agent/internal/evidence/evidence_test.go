package evidence_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/internal/evidence"
	"github.com/sightline-edge/sightline/agent/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var place = topic.Station{Enterprise: "a", Site: "b", Area: "c", Line: "line3", Name: "aoi-1"}

func open(tb testing.TB, o evidence.Options) *evidence.Store {
	tb.Helper()
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	o.Now = func() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }
	s, err := evidence.Open(o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

func files(tb testing.TB, dir string) []string {
	tb.Helper()
	var all []string
	require.NoError(tb, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			all = append(all, name)
		}
		return err
	}))
	return all
}

func TestPicturesLieByDayStationAndResult(t *testing.T) {
	dir := t.TempDir()
	s := open(t, evidence.Options{Dir: dir})
	require.NoError(t, s.Put(place, "r-1", 0, []byte("frame")))
	require.NoError(t, s.Put(place, "r-1", 2, []byte("crop")))
	require.NoError(t, s.Put(place, "r-1", 2, []byte("again")))
	require.NoError(t, s.Close())
	require.Equal(t, []string{
		"2026-03-04/line3-aoi-1/r-1-0.jpg", "2026-03-04/line3-aoi-1/r-1-2.jpg",
	}, files(t, dir))
	b, err := os.ReadFile(filepath.Join(dir, "2026-03-04", "line3-aoi-1", "r-1-2.jpg"))
	require.NoError(t, err)
	require.Equal(t, "crop", string(b))
	require.Equal(t, evidence.Stats{Stored: 2, Files: 2, Bytes: 9}, s.Stats())
	require.ErrorIs(t, s.Put(place, "r-2", 0, []byte("late")), evidence.ErrClosed)
}

// Fault 30 at this layer.
func TestNamesThatLeaveTheFolderAreRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, evidence.Options{Dir: filepath.Join(dir, "evidence")})
	evil := []string{
		"..", "../x", "/etc/passwd", "a/b", "a\x00b", "", ".hidden", "$(reboot)", strings.Repeat("x", 300),
	}
	for _, e := range evil {
		require.Error(t, s.Put(place, e, 0, []byte("x")), e)
		require.Error(t, s.Put(topic.Station{Line: e, Name: "s"}, "r", 0, []byte("x")), e)
		require.Error(t, s.Put(topic.Station{Line: "l", Name: e}, "r", 0, []byte("x")), e)
	}
	require.Error(t, s.Put(place, "r", -1, []byte("x")))
	require.Error(t, s.Put(place, "r", 0, nil))
	require.Error(t, s.Put(place, "r", 0, make([]byte, 17<<20)))
	require.NoError(t, s.Close())
	require.Empty(t, files(t, dir))
}

func TestLinkOutOfTheFolderIsNotFollowed(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "2026-03-04")))
	s := open(t, evidence.Options{Dir: dir})
	require.NoError(t, s.Put(place, "r", 0, []byte("x")))
	require.NoError(t, s.Close())
	require.Empty(t, files(t, outside))
	require.Equal(t, uint64(1), s.Stats().Dropped)
}

func TestOldestGoFirstAlsoThoseFromBefore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, evidence.Options{Dir: dir})
	jpeg := bytes.Repeat([]byte("x"), 1000)
	for _, id := range []string{"r1", "r2", "r3"} {
		require.NoError(t, s.Put(place, id, 0, jpeg))
	}
	require.NoError(t, s.Close())
	day := filepath.Join(dir, "2026-03-04", "line3-aoi-1")
	for i, name := range []string{"r2", "r3", "r1"} { // r2 is the oldest now
		at := time.Unix(int64(1e9+i), 0)
		require.NoError(t, os.Chtimes(filepath.Join(day, name+"-0.jpg"), at, at))
	}
	require.NoError(t, os.WriteFile(filepath.Join(day, "r9-0.jpg.tmp"), jpeg, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(day, "r8-0.jpg"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README"), []byte("not ours"), 0o600))
	s = open(t, evidence.Options{Dir: dir, MaxBytes: 3500})
	require.NoError(t, s.Put(place, "r4", 0, jpeg))
	require.NoError(t, s.Put(place, "r5", 0, jpeg))
	require.NoError(t, s.Close())
	require.Equal(t, []string{
		"2026-03-04/line3-aoi-1/r1-0.jpg", "2026-03-04/line3-aoi-1/r4-0.jpg",
		"2026-03-04/line3-aoi-1/r5-0.jpg", "README",
	}, files(t, dir))
	require.Equal(t, uint64(2), s.Stats().Evicted)
	require.Equal(t, int64(3000), s.Stats().Bytes)
}

// The clock is set back a day under the running agent: its ids go on within the millisecond that they had
// reached, while days and times of the files begin anew. Then the agent starts again.
func TestAClockThatWasSetBackDoesNotMakeTheNewestPicturesTheOldest(t *testing.T) {
	dir := t.TempDir()
	before := time.UnixMilli(0x019b_2c3d_4e5f)
	write := func(id string, at time.Time) string {
		name := filepath.Join(at.UTC().Format(time.DateOnly), "line3-aoi-1", id+"-0.jpg")
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o750))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
		require.NoError(t, os.Chtimes(filepath.Join(dir, name), at, at))
		return name
	}
	older := []string{
		write("019b2c3d-4e50-7000-8000-000000000000", before.Add(-15*time.Millisecond)),
		write("019b2c3d-4e5f-7001-8000-000000000000", before),
	}
	back := before.AddDate(0, 0, -1)
	newer := []string{
		write("019b2c3d-4e5f-7002-8000-000000000000", back),
		write("019b2c3d-4e5f-7003-8000-000000000000", back.Add(time.Second)),
	}
	foreign := write("r-1", before.Add(time.Hour)) // no such id: by the file's own time
	s := open(t, evidence.Options{Dir: dir, MaxFiles: 3})
	require.NoError(t, s.Close())
	require.ElementsMatch(t, append(newer, foreign), files(t, dir), "not %s", older)

	s = open(t, evidence.Options{Dir: dir, MaxFiles: 2})
	require.NoError(t, s.Close())
	require.ElementsMatch(t, []string{newer[1], foreign}, files(t, dir))
}

func TestPicturesOfALaterTimeThanNowAreFromBeforeTheClockWasSetBack(t *testing.T) {
	dir := t.TempDir()
	day := filepath.Join(dir, "2026-03-04", "line3-aoi-1")
	require.NoError(t, os.MkdirAll(day, 0o750))
	for _, id := range []string{ // the store's clock stands at 2026-03-04
		"019cb72e-0000-7000-8000-000000000000", // minutes before that
		"01a9999a-0000-7000-8000-000000000000", // in 2027
	} {
		require.NoError(t, os.WriteFile(filepath.Join(day, id+"-0.jpg"), []byte("x"), 0o600))
	}
	s := open(t, evidence.Options{Dir: dir, MaxFiles: 1})
	require.NoError(t, s.Close())
	require.Equal(t, []string{"2026-03-04/line3-aoi-1/019cb72e-0000-7000-8000-000000000000-0.jpg"},
		files(t, dir))
}

func TestManySmallPicturesAreBoundedByTheirNumber(t *testing.T) {
	dir := t.TempDir()
	s := open(t, evidence.Options{Dir: dir, MaxFiles: 3})
	for _, id := range []string{"r1", "r2", "r3", "r4", "r5"} {
		require.NoError(t, s.Put(place, id, 0, []byte("x")))
	}
	require.NoError(t, s.Close())
	require.Equal(t, []string{
		"2026-03-04/line3-aoi-1/r3-0.jpg", "2026-03-04/line3-aoi-1/r4-0.jpg",
		"2026-03-04/line3-aoi-1/r5-0.jpg",
	}, files(t, dir))
	require.Equal(t, evidence.Stats{Stored: 5, Evicted: 2, Files: 3, Bytes: 3}, s.Stats())

	s = open(t, evidence.Options{Dir: dir, MaxFiles: 2}) // also what lies there from before
	require.NoError(t, s.Close())
	require.Equal(t, 2, s.Stats().Files)
	require.Len(t, files(t, dir), 2)
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	s := open(t, evidence.Options{QueueDepth: 1000})
	jpeg := make([]byte, 15<<20)
	var refused uint64
	for i := range 20 { // 300 MiB at once, of which 64 may wait
		if err := s.Put(place, "r"+string(rune('a'+i)), 0, jpeg); err != nil {
			require.ErrorIs(t, err, evidence.ErrFull)
			refused++
		}
	}
	require.NoError(t, s.Close())
	require.Positive(t, refused)
	require.Equal(t, refused, s.Stats().Dropped)
	require.Equal(t, 20-refused, s.Stats().Stored)
}

func TestEvidenceIsFoundByItsResult(t *testing.T) {
	const id = "019cb79c-2c17-7000-8000-000000000001" // of 2026-03-04T06:49:46Z
	s := open(t, evidence.Options{})
	require.NoError(t, s.Put(place, id, 0, []byte("frame")))
	require.NoError(t, s.Put(place, id, 1, []byte("crop")))
	require.Eventually(t, func() bool { return s.Stats().Stored == 2 }, 10*time.Second, time.Millisecond)
	got, err := s.Find(place, id)
	require.NoError(t, err)
	require.Equal(t, "frame", string(got))
	for _, other := range []string{
		"019cb79c-2c17-7000-8000-000000000002", "019db79c-2c17-7000-8000-000000000001", "r-1",
	} {
		_, err = s.Find(place, other)
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	_, err = s.Find(place, "../"+id)
	require.Error(t, err)
}
