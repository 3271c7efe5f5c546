package deeppcbtest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/deeppcbtest"
)

// folder writes files whose content is their own name, or what is said.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if content == "" {
			content = filepath.Base(name)
		}
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return dir
}

func clone(t *testing.T) string {
	t.Helper()
	return folder(t, map[string]string{
		"README.md": "", "fig/result/result_test1.jpg": "",
		"PCBData/group1/00001/1_test.jpg": "", "PCBData/group1/00001/1_temp.jpg": "",
		"PCBData/group1/00001_not/1.txt":  "",
		"PCBData/group1/00001/2_test.jpg": "", "PCBData/group1/00001/2_temp.jpg": "",
		"PCBData/group1/00001_not/2.txt":  "",
		"PCBData/group2/00002/3_test.jpg": "", "PCBData/group2/00002/3_temp.jpg": "",
		"PCBData/group2/00002_not/3.txt": "",
		"PCBData/trainval.txt": "group1/00001/1.jpg group1/00001_not/1.txt\r\n" +
			"group2/00002/3.jpg group2/00002_not/3.txt\n",
		"PCBData/test.txt": "group1/00001/2.jpg group1/00001_not/2.txt\n",
	})
}

// contents of all files, links followed.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	require.NoError(t, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		name, err := filepath.Rel(dir, file)
		require.NoError(t, err)
		found[name] = string(raw)
	}
	return found
}

func TestThePublishedDataSetBecomesFlat(t *testing.T) {
	dir := clone(t)
	listed := map[string]string{
		"images/1_test.jpg": "1_test.jpg", "images/1_temp.jpg": "1_temp.jpg", "labels/1.txt": "1.txt",
		"images/3_test.jpg": "3_test.jpg", "images/3_temp.jpg": "3_temp.jpg", "labels/3.txt": "3.txt",
	}
	for _, below := range []string{".", "PCBData"} {
		flat, err := deeppcbtest.Flat(filepath.Join(dir, below), t.TempDir())
		require.NoError(t, err)
		require.Equal(t, listed, contents(t, flat))
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "PCBData", "trainval.txt")))
	flat, err := deeppcbtest.Flat(dir, t.TempDir())
	require.NoError(t, err)
	require.Len(t, contents(t, flat), 9, "without a list all three boards")
}

func TestAFlatDataSetIsTakenAsItIs(t *testing.T) {
	dir := folder(t, map[string]string{"images/7_test.jpg": "", "labels/7.txt": ""})
	flat, err := deeppcbtest.Flat(dir, t.TempDir())
	require.NoError(t, err)
	require.Equal(t, dir, flat)
}

func TestWhatIsNoDataSetOrNotWholeIsTold(t *testing.T) {
	for _, dir := range []string{t.TempDir(), "/nonexistent/deeppcb"} {
		_, err := deeppcbtest.Flat(dir, t.TempDir())
		require.ErrorIs(t, err, deeppcbtest.ErrNone)
		require.ErrorContains(t, err, dir)
	}
	for _, lost := range []string{"group2/00002/3_temp.jpg", "group2/00002_not/3.txt"} {
		dir := clone(t)
		require.NoError(t, os.Remove(filepath.Join(dir, "PCBData", lost)))
		_, err := deeppcbtest.Flat(dir, t.TempDir())
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, lost)
	}
}

func TestTheVariableSaysWhereTheDataSetIs(t *testing.T) {
	dir := clone(t)
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	fromRoot, err := filepath.Rel(root, dir)
	require.NoError(t, err)
	for _, said := range []string{dir, fromRoot} {
		t.Setenv(deeppcbtest.Variable, said)
		require.Len(t, contents(t, deeppcbtest.Find(t)), 6)
	}
}
