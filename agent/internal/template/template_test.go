package template_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/template"
)

func TestVersionsCountUpAndStay(t *testing.T) {
	dir := t.TempDir()
	info := template.Info{
		Captured: time.Unix(1700000000, 0).UTC(), Camera: "sim:", Boards: 5, Width: 64, Height: 48,
	}
	first, err := template.Save(dir, "board-a", []byte("one"), info)
	require.NoError(t, err)
	second, err := template.Save(dir, "board-a", []byte("two"), info)
	require.NoError(t, err)
	require.Equal(t, "board-a@1", first.Name())
	require.Equal(t, "board-a@2", second.Name())
	require.NotEqual(t, first.Digest, second.Digest)

	newest, err := template.Find("board-a", dir)
	require.NoError(t, err)
	require.Equal(t, second, newest)
	pinned, err := template.Find("board-a@1", dir)
	require.NoError(t, err)
	require.Equal(t, first, pinned)
	require.Equal(t, info, pinned.Info)

	all, err := template.List(dir)
	require.NoError(t, err)
	require.Equal(t, []*template.Template{first, second}, all)
	entries, err := os.ReadDir(filepath.Join(dir, "board-a"))
	require.NoError(t, err)
	require.Len(t, entries, 2, "nothing partial stays")
}

func TestAPictureByItsPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "golden.png")
	require.NoError(t, os.WriteFile(path, []byte("picture"), 0o600))
	found, err := template.Find(path, "")
	require.NoError(t, err)
	require.Equal(t, path, found.Name())
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", found.Digest)
}

func TestWhatIsNotThereIsExplained(t *testing.T) {
	dir := t.TempDir()
	_, failed := template.Save(dir, "board-a", []byte("one"), template.Info{})
	require.NoError(t, failed)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "broken", "1"), 0o750))
	for name, says := range map[string]string{
		"board-b":               "has none in " + dir + ": capture one",
		"board-a@7":             "has versions [1], and no 7",
		"board-a@x":             "has versions [1], and no x",
		"../board-a":            "read picture",
		"a b":                   "letters, digits",
		"":                      "letters, digits",
		"./nothing.png":         "read picture",
		filepath.Dir(dir) + "/": "no plain file",
		"broken":                "read broken@1",
	} {
		_, err := template.Find(name, dir)
		require.ErrorIs(t, err, template.ErrTemplate, name)
		require.ErrorContains(t, err, says, name)
	}
	_, err := template.Save(dir, "../escape", []byte("x"), template.Info{})
	require.ErrorIs(t, err, template.ErrTemplate)
	none, err := template.List(filepath.Join(dir, "nowhere"))
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestWhatAKilledCaptureLeftIsRemoved(t *testing.T) {
	dir := t.TempDir()
	killed := filepath.Join(dir, "board-a", ".partial-1")
	underWay := filepath.Join(dir, "board-a", ".partial-2")
	for _, folder := range []string{killed, underWay} {
		require.NoError(t, os.MkdirAll(folder, 0o750))
		require.NoError(t, os.WriteFile(filepath.Join(folder, template.ImageFile), []byte("half"), 0o600))
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	require.NoError(t, os.Chtimes(killed, yesterday, yesterday))
	_, err := template.Save(dir, "board-a", []byte("one"), template.Info{})
	require.NoError(t, err)
	require.NoDirExists(t, killed)
	require.FileExists(t, filepath.Join(underWay, template.ImageFile))
}

func TestAVersionThatCannotBeSavedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "board-a"), 0o750))
	// no folder, so no version
	require.NoError(t, os.WriteFile(filepath.Join(dir, "board-a", "1"), nil, 0o600))
	_, err := template.Save(dir, "board-a", []byte("one"), template.Info{})
	require.ErrorContains(t, err, "save board-a@1")
	entries, err := os.ReadDir(filepath.Join(dir, "board-a"))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	all, err := template.List(dir)
	require.NoError(t, err)
	require.Empty(t, all)
}

func TestAPictureOfTooManyBytesIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "golden.png")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, 512<<20+1))
	_, err := template.Find(path, "")
	require.ErrorContains(t, err, "more than 536870912 bytes")
}
