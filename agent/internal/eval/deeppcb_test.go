package eval_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/eval"
)

// folder writes files into a new folder, by path.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		write(t, dir, name, content)
	}
	return dir
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}

func boards() []string { return []string{"open", "short", "mousebite", "spur", "copper", "pin-hole"} }

func flat(t *testing.T, labels string) string {
	t.Helper()
	return folder(t, map[string]string{
		"images/7_test.jpg": "", "images/7_temp.jpg": "", "labels/7.txt": labels,
	})
}

func deeppcb(dir string) eval.Source {
	return eval.Source{Dir: dir, Layout: eval.LayoutDeepPCB, Classes: boards()}
}

func names(set *eval.Dataset) []string {
	all := make([]string, 0, len(set.Samples))
	for _, s := range set.Samples {
		all = append(all, s.Name)
	}
	return all
}

func TestDeepPCBLabelsAreInclusivePixels(t *testing.T) {
	for _, line := range []string{"0 10 639 20 6\n\n", "0,10,639,20,6\r\n", "0, 10, 639, 20\t6"} {
		dir := flat(t, line)
		set, err := eval.Load(deeppcb(dir))
		require.NoError(t, err)
		require.Equal(t, []eval.Sample{{
			Name:   "images/7_test.jpg",
			Path:   filepath.Join(dir, "images", "7_test.jpg"),
			Labels: []eval.Box{{Class: 5, Score: 1, Corners: [4]float32{0, 10, 640, 21}}},
		}}, set.Samples)
	}
}

// The folder's name is no pattern: its neighbour is not searched, too.
func TestFoldersOfAnyNameAreRead(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"what?", "whatx", "a[b"} {
		require.NoError(t, os.Rename(flat(t, "1 2 3 4 1\n"), filepath.Join(root, name)))
	}
	for _, name := range []string{"what?", "a[b"} {
		set, err := eval.Load(deeppcb(filepath.Join(root, name)))
		require.NoError(t, err)
		require.Equal(t, []string{"images/7_test.jpg"}, names(set))
	}
}

func TestDeepPCBIsReadAsItIsPublished(t *testing.T) {
	dir := folder(t, map[string]string{
		"PCBData/group1/00001/1_test.jpg": "", "PCBData/group1/00001/1_temp.jpg": "",
		"PCBData/group1/00001_not/1.txt":  "1 2 3 4 1\n",
		"PCBData/group1/00001/2_test.jpg": "",
		"PCBData/group1/00001_not/2.txt":  "1,2,3,4,2\n",
		"PCBData/group2/00002/3_test.jpg": "", "PCBData/group2/00002/3_temp.jpg": "",
		"PCBData/group2/00002_not/3.txt": "",
		"PCBData/test.txt":               "group1/00001/2.jpg group1/00001_not/2.txt\n",
	})
	for _, c := range []struct {
		below, split string
		want         []string
	}{
		{".", "", []string{"group1/00001/1_test.jpg", "group1/00001/2_test.jpg", "group2/00002/3_test.jpg"}},
		{"PCBData", "test", []string{"group1/00001/2_test.jpg"}},
		{"PCBData/group2", "", []string{"00002/3_test.jpg"}},
	} {
		source := deeppcb(filepath.Join(dir, c.below))
		source.Split = c.split
		set, err := eval.Load(source)
		require.NoError(t, err)
		require.Equal(t, c.want, names(set))
	}
	set, err := eval.Load(deeppcb(dir))
	require.NoError(t, err)
	require.Equal(t, 1, set.Samples[1].Labels[0].Class)
	require.Zero(t, set.Unlabelled, "a file without a line is a label, too")
}

func TestBrokenDeepPCBLabelsNameFileLineAndReason(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"class 0":                {"1 2 3 4 0\n", "class 0, but classes count from 1"},
		"class beyond the model": {"1 2 3 4 7\n", "class 7, but the bundle has classes 1 to 6"},
		"too few":                {"1 2 3 4 1\n1 2 3\n", "line 2: not five numbers"},
		"not a number":           {"1 2 3 x 1\n", `line 1: "x" is not a pixel`},
		"inside out":             {"9 2 3 4 1\n", "line 1: the box is inside out"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := eval.Load(deeppcb(flat(t, c.in)))
			require.ErrorIs(t, err, eval.ErrLabels)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "7.txt, line")
		})
	}
}

func TestAMissingDeepPCBLabelFileIsAnError(t *testing.T) {
	_, err := eval.Load(deeppcb(folder(t, map[string]string{"images/7_test.jpg": "", "labels/8.txt": ""})))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "labels/7.txt")
}
