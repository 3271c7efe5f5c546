package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// lively is a line on which each board has several defects.
func lively() Options {
	return Options{Width: 640, Height: 640, Seed: 11, Defects: 6, Exact: true}
}

func renderer(tb testing.TB, o Options) *Renderer {
	tb.Helper()
	r, err := NewRenderer(o)
	require.NoError(tb, err)
	return r
}

func frame(o Options) []byte { return make([]byte, o.Width*o.Height) }

func TestABoardIsTheSameWhateverWasRenderedBefore(t *testing.T) {
	o := lively()
	o.Exact = false
	a, b := renderer(t, o), renderer(t, o)
	first, second := frame(o), frame(o)
	var inOrder [6][sha256.Size]byte
	var truths [6][]Truth
	for k := range inOrder {
		truths[k] = a.Render(uint64(k), first, nil)
		inOrder[k] = sha256.Sum256(first)
	}
	for k := len(inOrder) - 1; k >= 0; k-- {
		b.Template(uint64(k+3), second)
		require.Equal(t, truths[k], b.Render(uint64(k), second, nil))
		require.Equal(t, inOrder[k], sha256.Sum256(second), "board %d", k)
	}
	require.NotEqual(t, inOrder[0], inOrder[1])
}

func TestSeedsMakeDifferentLines(t *testing.T) {
	o := lively()
	one, two := frame(o), frame(o)
	renderer(t, o).Render(0, one, nil)
	o.Seed++
	renderer(t, o).Render(0, two, nil)
	require.NotEqual(t, one, two)
}

// The digests are those of the present rendering. A change of it that is meant changes them too: run the
// test, look at the boards (simboards writes them), and put the new digests here.
func TestRenderingHasNotChangedUnnoticed(t *testing.T) {
	o := lively()
	o.Exact = false
	r, pix := renderer(t, o), frame(o)
	r.Render(7, pix, nil)
	require.Equal(t, goldenBoard, digest(pix))
	r.Template(7, pix)
	require.Equal(t, goldenTemplate, digest(pix))
}

const (
	goldenBoard    = "6490b8485e33919b"
	goldenTemplate = "3ed576b4751a8f4c"
)

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func TestEveryDefectIsVisibleAgainstTheTemplate(t *testing.T) {
	o := lively()
	r, test, template := renderer(t, o), frame(o), frame(o)
	for k := range uint64(15) {
		truth := r.Render(k, test, nil)
		r.Template(k, template)
		for _, d := range truth {
			n := differing(test, template, o.Width, d.Box)
			require.GreaterOrEqual(t, n, leastChange, "board %d: %v", k, d)
		}
	}
}

func differing(a, b []byte, w int, box [4]float32) int {
	n := 0
	for y := int(box[1]); y < int(box[3]); y++ {
		for x := int(box[0]); x < int(box[2]); x++ {
			if a[y*w+x] != b[y*w+x] {
				n++
			}
		}
	}
	return n
}

func TestBoxesLieInTheFrameApartAndTight(t *testing.T) {
	o := lively()
	r, test := renderer(t, o), frame(o)
	clean := o
	clean.Clean = 1
	ideal, without := renderer(t, clean), frame(o)
	for k := range uint64(15) {
		truth := r.Render(k, test, nil)
		require.Empty(t, ideal.Render(k, without, nil))
		for i, d := range truth {
			requireInFrame(t, d.Box, o)
			require.True(t, disjoint(d.Box, truth[:i]), "board %d: box %d overlaps", k, i)
			requireMargin(t, test, without, o, d.Box)
			erase(test, without, o.Width, d.Box)
		}
		require.Equal(t, without, test, "board %d differs outside of its boxes", k)
	}
}

func requireInFrame(t *testing.T, b [4]float32, o Options) {
	t.Helper()
	require.True(t, 0 <= b[0] && b[0] < b[2] && b[2] <= float32(o.Width), "%v", b)
	require.True(t, 0 <= b[1] && b[1] < b[3] && b[3] <= float32(o.Height), "%v", b)
}

// requireMargin checks that what changed fills its box but for the margin, unless the frame's edge cut it.
func requireMargin(t *testing.T, a, b []byte, o Options, box [4]float32) {
	t.Helper()
	c := [4]int{o.Width, o.Height, 0, 0}
	for y := int(box[1]); y < int(box[3]); y++ {
		for x := int(box[0]); x < int(box[2]); x++ {
			if a[y*o.Width+x] != b[y*o.Width+x] {
				c = [4]int{min(c[0], x), min(c[1], y), max(c[2], x+1), max(c[3], y+1)}
			}
		}
	}
	want := [4]float32{
		float32(max(0, c[0]-10)), float32(max(0, c[1]-10)),
		float32(min(o.Width, c[2]+10)), float32(min(o.Height, c[3]+10)),
	}
	require.Equal(t, want, box)
}

func erase(a, b []byte, w int, box [4]float32) {
	for y := int(box[1]); y < int(box[3]); y++ {
		copy(a[y*w+int(box[0]):y*w+int(box[2])], b[y*w+int(box[0]):])
	}
}

func TestRatesAreAsAsked(t *testing.T) {
	o := Options{Width: 320, Height: 320, Seed: 3, Defects: 2.5, Clean: 0.4, Exact: true}
	r, pix := renderer(t, o), frame(o)
	const boards = 200
	clean, defects := 0, 0
	var truth []Truth
	for k := range uint64(boards) {
		truth = r.Render(k, pix, truth[:0])
		defects += len(truth)
		if len(truth) == 0 {
			clean++
		}
	}
	// Four standard deviations, and a little for boards without room for all of theirs.
	share := float64(clean) / boards
	require.InDelta(t, o.Clean, share, 4*math.Sqrt(0.4*0.6/boards)+0.01)
	mean := float64(defects) / float64(boards-clean)
	require.InDelta(t, o.Defects, mean, 4*math.Sqrt(1.5/(boards*0.6))+0.05)
}

func TestEveryClassIsDrawnAboutAsOften(t *testing.T) {
	o := lively()
	r, pix := renderer(t, o), frame(o)
	var count [classCount]int
	total := 0
	for k := range uint64(35) {
		for _, d := range r.Render(k, pix, nil) {
			count[d.Class]++
			total++
		}
	}
	require.Len(t, Classes(), classCount)
	for class, n := range count {
		require.Greater(t, n, total/classCount/2, "%s: %d of %d", Classes()[class], n, total)
		require.Less(t, n, total/classCount*2, "%s: %d of %d", Classes()[class], n, total)
	}
}

func TestNoDefectsWhereNoneAreAsked(t *testing.T) {
	o := Options{Width: 640, Height: 640, Seed: 3}
	r, pix := renderer(t, o), frame(o)
	for k := range uint64(20) {
		require.Empty(t, r.Render(k, pix, nil))
	}
}

func TestFramesOfAnySizeAreFilled(t *testing.T) {
	for _, size := range [][2]int{{64, 64}, {65, 71}, {640, 480}, {1920, 1080}, {1000, 64}, {64, 3000}} {
		o := Options{Width: size[0], Height: size[1], Seed: 2, Defects: 4, Exact: true}
		r, pix := renderer(t, o), frame(o)
		copper := 0
		for k := range uint64(2) {
			for _, d := range r.Render(k, pix, nil) {
				requireInFrame(t, d.Box, o)
			}
			r.Template(k, pix)
			black, white := bytes.Count(pix, []byte{copperValue}), bytes.Count(pix, []byte{boardValue})
			require.Equal(t, len(pix), black+white)
			copper += black
		}
		share := float64(copper) / float64(2*len(pix))
		require.True(t, share > 0.03 && share < 0.97, "%v: %.2f of it is copper", size, share)
	}
}

func TestRenderingDoesNotAllocateInTheSteadyState(t *testing.T) {
	o := lively()
	o.Exact = false
	r, pix := renderer(t, o), frame(o)
	truth := make([]Truth, 0, 64)
	for k := range uint64(12) {
		r.Render(k, pix, truth)
	}
	k := uint64(0)
	require.Zero(t, testing.AllocsPerRun(12, func() {
		truth = r.Render(k%12, pix, truth[:0])
		k++
	}))
}

func TestOptionsOutOfBoundsAreAllNamed(t *testing.T) {
	_, err := NewRenderer(Options{Width: 63, Height: 16385, Defects: math.NaN(), Clean: -1})
	for _, word := range []string{"width is 63", "height is 16385", "defects is NaN", "clean is -1"} {
		require.ErrorContains(t, err, word)
	}
}

func BenchmarkRender(b *testing.B) {
	for name, o := range map[string]Options{
		"640x640":   {Width: 640, Height: 640, Seed: 1, Defects: 3},
		"1920x1080": {Width: 1920, Height: 1080, Seed: 1, Defects: 3},
	} {
		b.Run(name, func(b *testing.B) {
			r, pix := renderer(b, o), frame(o)
			var truth []Truth
			found := 0
			for k := uint64(0); b.Loop(); k++ {
				truth = r.Render(k%256, pix, truth[:0])
				found += len(truth)
			}
			require.NotZero(b, found)
		})
	}
}

func TestBoardsOfOneProductShareTheirLayout(t *testing.T) {
	o := DefaultOptions()
	o.Width, o.Height, o.Clean, o.Product = 256, 256, 1, 3
	differ := func(o Options) float64 {
		r, err := NewRenderer(o)
		require.NoError(t, err)
		first, second := make([]byte, o.Width*o.Height), make([]byte, o.Width*o.Height)
		r.Render(1, first, nil)
		r.Render(2, second, nil)
		n := 0
		for i := range first {
			if (first[i] > 127) != (second[i] > 127) {
				n++
			}
		}
		return float64(n) / float64(len(first))
	}
	require.Less(t, differ(o), 0.1)
	other := o
	other.Product = 0
	require.Greater(t, differ(other), 0.2)
}
