// Package boardtest reads real boards and their templates, for tests of what compares them.
package boardtest

import (
	"bufio"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/deeppcbtest"
)

// Dataset finds the DeepPCB data set. Without any it skips the test.
func Dataset(tb testing.TB) string {
	tb.Helper()
	dir := deeppcbtest.Find(tb)
	if dir == "" {
		tb.Skip(deeppcbtest.Remedy)
	}
	return dir
}

// Whole says that tests look at all boards that their figures are of, as `make test-boards` does, and not
// at a slice of them.
func Whole() bool { return os.Getenv("SIGHTLINE_WHOLE") != "" }

// IDs of every n-th board, sorted.
func IDs(tb testing.TB, dir string, n int) []string {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "labels", "*.txt"))
	require.NoError(tb, err)
	slices.Sort(files)
	var names []string
	for i := 0; i < len(files); i += n {
		names = append(names, strings.TrimSuffix(filepath.Base(files[i]), ".txt"))
	}
	return names
}

func gray(tb testing.TB, path string) *image.Gray {
	tb.Helper()
	f, err := os.Open(path)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, f.Close()) }()
	img, err := jpeg.Decode(f)
	require.NoError(tb, err)
	if g, ok := img.(*image.Gray); ok && g.Stride == g.Rect.Dx() {
		return g
	}
	g := image.NewGray(img.Bounds())
	draw.Draw(g, g.Rect, img, img.Bounds().Min, draw.Src)
	return g
}

// Binary is 0 or 255 for each gray pixel, 255 above 127.
func Binary(pixels []byte) []byte {
	out := make([]byte, len(pixels))
	for i, v := range pixels {
		if v > 127 {
			out[i] = 255
		}
	}
	return out
}

// Board is one pair of the data set: binary board, gray template, outlines of its defects.
type Board struct {
	ID             string
	Width, Height  int
	Test, Template []byte
	Defects        []image.Rectangle
}

// Load reads one pair.
func Load(tb testing.TB, dir, id string) Board {
	tb.Helper()
	test := gray(tb, filepath.Join(dir, "images", id+"_test.jpg"))
	template := gray(tb, filepath.Join(dir, "images", id+"_temp.jpg"))
	b := Board{
		ID: id, Width: test.Rect.Dx(), Height: test.Rect.Dy(),
		Test: Binary(test.Pix), Template: template.Pix,
	}
	f, err := os.Open(filepath.Join(dir, "labels", id+".txt"))
	require.NoError(tb, err)
	defer func() { require.NoError(tb, f.Close()) }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(strings.ReplaceAll(lines.Text(), ",", " "))
		if line == "" {
			continue
		}
		var x1, y1, x2, y2, class int
		_, err := fmt.Sscan(line, &x1, &y1, &x2, &y2, &class)
		require.NoError(tb, err, "%s: %s", f.Name(), line)
		b.Defects = append(b.Defects, image.Rect(x1, y1, x2+1, y2+1))
	}
	return b
}

// Outside is the share of pixels outside of the defects in which two binary images differ.
func (b *Board) Outside(one, other []byte) float64 {
	covered := make([]bool, len(one))
	for _, r := range b.Defects {
		for y := max(r.Min.Y, 0); y < min(r.Max.Y, b.Height); y++ {
			for x := max(r.Min.X, 0); x < min(r.Max.X, b.Width); x++ {
				covered[y*b.Width+x] = true
			}
		}
	}
	differ, all := 0, 0
	for i := range one {
		if covered[i] {
			continue
		}
		all++
		if one[i] != other[i] {
			differ++
		}
	}
	return float64(differ) / float64(all)
}
