package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

func TestBoardsAreWrittenInTheLayoutOfTheDataSet(t *testing.T) {
	dir := t.TempDir()
	var progress bytes.Buffer
	require.NoError(t, run([]string{"-out", dir, "-boards", "3", "-seed", "4", "-clean", "0"}, &progress))
	require.Contains(t, progress.String(), "3 of 3 boards")
	line := sim.Options{Width: 640, Height: 640, Seed: 4, Defects: 3, Exact: true}
	r, err := sim.NewRenderer(line)
	require.NoError(t, err)
	pix := make([]byte, 640*640)
	for k := range uint64(3) {
		base := fmt.Sprintf("sim4-%06d", k)
		truth := r.Render(k, pix, nil)
		requireNear(t, pix, decode(t, filepath.Join(dir, "images", base+"_test.jpg")))
		requireLabels(t, truth, filepath.Join(dir, "labels", base+".txt"))
		r.Template(k, pix)
		requireNear(t, pix, decode(t, filepath.Join(dir, "images", base+"_temp.jpg")))
	}
}

func decode(t *testing.T, path string) *image.Gray {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	img, err := jpeg.Decode(f)
	require.NoError(t, err)
	gray, ok := img.(*image.Gray)
	require.True(t, ok, "%s is %T", path, img)
	return gray
}

// requireNear allows what JPEG does to a binary picture: no pixel in a thousand changes sides.
func requireNear(t *testing.T, want []byte, got *image.Gray) {
	t.Helper()
	require.Len(t, got.Pix, len(want))
	wrong := 0
	for i, v := range want {
		if v>>7 != got.Pix[i]>>7 {
			wrong++
		}
	}
	require.Less(t, wrong, len(want)/1000)
}

func requireLabels(t *testing.T, truth []sim.Truth, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, len(truth), strings.Count(string(text), "\n"))
	for i, row := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var x1, y1, x2, y2, class int
		_, err := fmt.Sscan(row, &x1, &y1, &x2, &y2, &class)
		require.NoError(t, err, row)
		require.Equal(t, truth[i].Class+1, class)
		require.Equal(t, truth[i].Box, [4]float32{float32(x1), float32(y1), float32(x2 + 1), float32(y2 + 1)})
	}
}

func TestCleanBoardsHaveAnEmptyLabelFile(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, run([]string{"-out", dir, "-boards", "1", "-clean", "1"}, &bytes.Buffer{}))
	text, err := os.ReadFile(filepath.Join(dir, "labels", "sim1-000000.txt"))
	require.NoError(t, err)
	require.Empty(t, text)
}

func TestWrongFlagsSayWhatToDo(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	cases := map[string][]string{
		"-out is missing":     {"-boards", "1"},
		"unexpected argument": {"-out", "x", "surplus"},
		"qualities are 0 and": {"-out", "x", "-quality", "0"},
		"width is 10":         {"-out", "x", "-width", "10"},
		"not defined":         {"-nonsense"},
		"make folder":         {"-out", f.Name()},
	}
	for want, args := range cases {
		t.Run(want, func(t *testing.T) {
			require.ErrorContains(t, run(args, &bytes.Buffer{}), want)
		})
	}
}
