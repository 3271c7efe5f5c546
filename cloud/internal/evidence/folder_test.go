package evidence_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/internal/evidence"
	"github.com/sightline-edge/sightline/cloud/internal/record"
)

func picture(jpeg string) *record.Picture {
	return &record.Picture{
		Station: topic.Station{
			Enterprise: "acme", Site: "dongguan", Area: "smt", Line: "line3",
			Name: "aoi-1",
		},
		ResultID: "result-1", N: 2, JPEG: []byte(jpeg),
	}
}

func open(t *testing.T, dir string) *evidence.Folder {
	t.Helper()
	f, err := evidence.OpenFolder(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

func TestAPictureStandsUnderItsStationAndResult(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	f := open(t, dir)
	require.NoError(t, f.Put(t.Context(), picture("first")))
	require.NoError(t, f.Put(t.Context(), picture("again")))
	at := filepath.Join(dir, picture("").Station.Path(), "result-1")
	got, err := os.ReadFile(filepath.Join(at, "2.jpg"))
	require.NoError(t, err)
	require.Equal(t, "again", string(got))
	left, err := os.ReadDir(at)
	require.NoError(t, err)
	require.Len(t, left, 1, "no partial file stays")
}

func TestTheSamePictureFromTwoDeliveriesAtOnce(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	var both errgroup.Group
	for range 8 {
		both.Go(func() error { return f.Put(t.Context(), picture("same")) })
	}
	require.NoError(t, both.Wait())
	got, err := os.ReadFile(filepath.Join(dir, picture("").Station.Path(), "result-1", "2.jpg"))
	require.NoError(t, err)
	require.Equal(t, "same", string(got))
}

func TestASymbolicLinkLeadsNowhereOutside(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "acme")))
	require.Error(t, open(t, dir).Put(t.Context(), picture("x")))
	left, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAFolderThatCannotBeMadeIsAClearError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := evidence.OpenFolder(filepath.Join(file, "dir"))
	require.ErrorContains(t, err, "make evidence folder")
}

func TestOldLeftoversOfACrashAreRemovedAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	require.NoError(t, f.Put(t.Context(), picture("kept")))
	at := filepath.Join(dir, picture("").Station.Path(), "result-1")
	const id = ".0b7c5d1e-5d0f-4c59-9a55-0d6f5a1c2b3d"
	leave := func(name string, age time.Duration) string {
		path := filepath.Join(at, name)
		require.NoError(t, os.WriteFile(path, []byte("half"), 0o600))
		require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(-age)))
		return path
	}
	old := leave("2.jpg"+id+".part", 2*time.Hour)
	kept := []string{
		filepath.Join(at, "2.jpg"),
		leave("3.jpg"+id+".part", time.Minute), // being written
		leave("3.jpg", 2*time.Hour),
		leave("notes.part", 2*time.Hour),
		leave("x.jpg"+id+".part", 2*time.Hour),
		leave("4.jpg.half.part", 2*time.Hour),
		leave("4.jpg"+id, 2*time.Hour),
	}
	require.NoError(t, os.Mkdir(filepath.Join(at, "5.jpg"+id+".part"), 0o700))
	removed, err := f.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, removed)
	require.NoFileExists(t, old)
	for _, path := range kept {
		require.FileExists(t, path)
	}
	require.DirExists(t, filepath.Join(at, "5.jpg"+id+".part"))
}

func TestASweepEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := open(t, t.TempDir()).Sweep(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
