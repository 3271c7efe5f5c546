package align_test

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
)

// dataset finds the DeepPCB images: $SIGHTLINE_DEEPPCB, else shared/data/deeppcb beside the checkout.
func dataset(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("SIGHTLINE_DEEPPCB")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "..", "shared", "data", "deeppcb")
	}
	if _, err := os.Stat(filepath.Join(dir, "images")); err != nil {
		tb.Skip("set SIGHTLINE_DEEPPCB to the folder of the DeepPCB data set")
	}
	return dir
}

// ids of every n-th board.
func ids(tb testing.TB, dir string, n int) []string {
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

func binary(pixels []byte) []byte {
	out := make([]byte, len(pixels))
	for i, v := range pixels {
		if v > 127 {
			out[i] = 255
		}
	}
	return out
}

// board is one pair of the data set: binary board, gray template, outlines of its defects.
type board struct {
	id             string
	width, height  int
	test, template []byte
	defects        []image.Rectangle
}

func load(tb testing.TB, dir, id string) board {
	tb.Helper()
	test := gray(tb, filepath.Join(dir, "images", id+"_test.jpg"))
	template := gray(tb, filepath.Join(dir, "images", id+"_temp.jpg"))
	b := board{
		id: id, width: test.Rect.Dx(), height: test.Rect.Dy(),
		test: binary(test.Pix), template: template.Pix,
	}
	f, err := os.Open(filepath.Join(dir, "labels", id+".txt"))
	require.NoError(tb, err)
	defer func() { require.NoError(tb, f.Close()) }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var x1, y1, x2, y2, class int
		if _, err := fmt.Sscan(lines.Text(), &x1, &y1, &x2, &y2, &class); err == nil {
			b.defects = append(b.defects, image.Rect(x1, y1, x2+1, y2+1))
		}
	}
	return b
}

// outside is the share of pixels outside of the defects in which two binary images differ.
func (b *board) outside(a, c []byte) float64 {
	covered := make([]bool, len(a))
	for _, r := range b.defects {
		for y := max(r.Min.Y, 0); y < min(r.Max.Y, b.height); y++ {
			for x := max(r.Min.X, 0); x < min(r.Max.X, b.width); x++ {
				covered[y*b.width+x] = true
			}
		}
	}
	differ, all := 0, 0
	for i := range a {
		if covered[i] {
			continue
		}
		all++
		if a[i] != c[i] {
			differ++
		}
	}
	return float64(differ) / float64(all)
}
