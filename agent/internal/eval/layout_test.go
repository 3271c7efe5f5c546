package eval_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/eval"
)

func dataset(t *testing.T, labels string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"images/7_test.jpg": "", "images/7_temp.jpg": "", "labels/7.txt": labels,
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir
}

func TestLabelsAreInclusivePixels(t *testing.T) {
	set, err := eval.Load(dataset(t, "0 10 639 20 6\n\n"), eval.LayoutDeepPCB, 6)
	require.NoError(t, err)
	require.Equal(t, []string{"7_test.jpg"}, set.Files)
	require.Equal(
		t,
		[]eval.Box{{Class: 5, Score: 1, Corners: [4]float32{0, 10, 640, 21}}},
		set.Labels["7_test.jpg"],
	)
}

// The folder's name is no pattern: its neighbour is not searched, too.
func TestFoldersOfAnyNameAreRead(t *testing.T) {
	root := t.TempDir()
	for _, folder := range []string{"what?", "whatx", "a[b"} {
		require.NoError(t, os.Rename(dataset(t, "1 2 3 4 1\n"), filepath.Join(root, folder)))
	}
	for _, folder := range []string{"what?", "a[b"} {
		set, err := eval.Load(filepath.Join(root, folder), eval.LayoutDeepPCB, 6)
		require.NoError(t, err)
		require.Equal(t, []string{"7_test.jpg"}, set.Files)
	}
}

func TestBrokenLabelsNameFileLineAndReason(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"class beyond the model": {"1 2 3 4 7\n", "line 1: class 7, but the bundle has classes 1 to 6"},
		"too few":                {"1 2 3 4 1\n1 2 3\n", "line 2: not five numbers"},
		"not a number":           {"1 2 3 x 1\n", `line 1: "x" is not a pixel`},
		"inside out":             {"9 2 3 4 1\n", "line 1: the box is inside out"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := eval.Load(dataset(t, c.in), eval.LayoutDeepPCB, 6)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "7.txt")
		})
	}
}

func TestForeignFoldersAreExplained(t *testing.T) {
	_, err := eval.Load(t.TempDir(), eval.LayoutDeepPCB, 6)
	require.ErrorContains(t, err, "is --data the folder that holds images/ and labels/?")
	_, err = eval.Load(t.TempDir(), "voc", 6)
	require.ErrorContains(t, err, `layout "voc" is not known`)
}
