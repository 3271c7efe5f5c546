package align_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/worker/align"
	"github.com/sightline-edge/sightline/agent/internal/worker/align/boardtest"
	"github.com/sightline-edge/sightline/agent/internal/worker/align/plane"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

// template is a simulated board without defects, gray.
func template(tb testing.TB, width, height int) []byte {
	tb.Helper()
	o := sim.DefaultOptions()
	o.Width, o.Height = width, height
	r, err := sim.NewRenderer(o)
	require.NoError(tb, err)
	pixels := make([]byte, width*height)
	r.Template(3, pixels)
	return pixels
}

// shifted shows at (x, y) what lies at (x+dx, y+dy), each a function of the place: the nearest pixel.
func shifted(pixels []byte, width, height int, move func(x, y int) (dx, dy float64)) []byte {
	out := make([]byte, len(pixels))
	for y := range height {
		for x := range width {
			dx, dy := move(x, y)
			fromX := min(max(int(math.Round(float64(x)+dx)), 0), width-1)
			fromY := min(max(int(math.Round(float64(y)+dy)), 0), height-1)
			out[y*width+x] = pixels[fromY*width+fromX]
		}
	}
	return out
}

func by(dx, dy float64) func(x, y int) (float64, float64) {
	return func(int, int) (float64, float64) { return dx, dy }
}

func fit(tb testing.TB, template, board []byte, width, height int) (align.Fit, []byte) {
	tb.Helper()
	g, err := align.NewGolden(template, width, height)
	require.NoError(tb, err)
	dst := make([]byte, len(board))
	return align.New(g).Align(dst, board), dst
}

func TestABoardLikeItsTemplateStaysAsItIs(t *testing.T) {
	for _, s := range [][2]int{{64, 64}, {65, 130}, {129, 64}, {320, 321}, {640, 640}, {700, 500}} {
		t.Run(fmt.Sprintf("%dx%d", s[0], s[1]), func(t *testing.T) {
			gray := template(t, s[0], s[1])
			board := boardtest.Binary(gray)
			f, dst := fit(t, gray, board, s[0], s[1])
			require.Equal(t, board, dst)
			require.Zero(t, f.Residual)
			require.InDelta(t, 0, math.Hypot(f.ShiftX, f.ShiftY), 0.13)
			require.True(t, f.Aligned())
		})
	}
}

func TestShiftsAndStretchAreFound(t *testing.T) {
	const side = 640
	gray := template(t, side, side)
	for name, move := range map[string]func(x, y int) (float64, float64){
		"one pixel":    by(1, 0),
		"ten pixels":   by(-10, 7),
		"nearly reach": by(23, -23),
		"stretched":    func(x, _ int) (float64, float64) { return float64(x-side/2) / 107, 2 },
		"turned": func(x, y int) (float64, float64) {
			return float64(y-side/2) / 100, float64(side/2-x) / 100
		},
	} {
		t.Run(name, func(t *testing.T) {
			board := boardtest.Binary(shifted(gray, side, side, move))
			f, dst := fit(t, gray, board, side, side)
			dx, dy := move(side/2, side/2)
			require.InDelta(t, dx, f.ShiftX, 0.3)
			require.InDelta(t, dy, f.ShiftY, 0.3)
			require.True(t, f.Aligned())
			require.Less(t, f.Residual, 0.008)
			differ := 0
			for i := range dst {
				if dst[i] != board[i] {
					differ++
				}
			}
			require.InDelta(t, f.Residual*(1-f.Unseen), float64(differ)/side/side, 1e-9)
			require.InDelta(t, (side-math.Abs(dx))*(side-math.Abs(dy)), (1-f.Unseen)*side*side, 4000)
		})
	}
}

// Where the template does not reach nothing differs, whatever lies there.
func TestABoardThatItsTemplateLeavesUncoveredIsTold(t *testing.T) {
	const side = 640
	gray := template(t, side, side)
	for _, c := range []struct {
		dx, dy  float64
		covered bool
	}{
		{0, 0, true},
		{18, 0, true},
		{0, -18, true},
		{9, 9, true},
		{22, 0, false},
		{0, -22, false},
		{-13, 13, false},
	} {
		f, _ := fit(t, gray, boardtest.Binary(shifted(gray, side, side, by(c.dx, c.dy))), side, side)
		require.True(t, f.Aligned(), "%+v", f)
		require.Equal(t, c.covered, f.Unseen <= align.MaxUnseen(side, side), "%v: %+v", c, f)
	}
}

func TestBoardsThatDoNotBelongAreNotAligned(t *testing.T) {
	const side = 640
	gray := template(t, side, side)
	board := boardtest.Binary(gray)
	white := make([]byte, len(board))
	for i := range white {
		white[i] = 255
	}
	turned := turn(board, side)
	for name, b := range map[string][]byte{
		"turned by 90 degrees":  turned,
		"turned by 180 degrees": turn(turned, side),
		"no copper":             white,
		"all copper":            make([]byte, len(board)),
		"out of reach":          shifted(board, side, side, by(30, 0)),
		"far out of reach":      shifted(board, side, side, by(-90, 140)),
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := fit(t, gray, b, side, side)
			require.False(t, f.Aligned(), "%+v", f)
		})
	}
	t.Run("on a blank template", func(t *testing.T) {
		f, _ := fit(t, white, board, side, side)
		require.False(t, f.Aligned(), "%+v", f)
	})
	t.Run("but a bare board on its own blank template is", func(t *testing.T) {
		spot := bytes.Clone(white)
		for y := range 30 {
			clear(spot[y*side+100:][:30])
		}
		f, _ := fit(t, white, spot, side, side)
		require.True(t, f.Aligned(), "%+v", f)
	})
}

func TestTemplatesWithoutUsableSizeAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ bytes, width, height int }{
		"too narrow":          {63 * 64, 63, 64},
		"too low":             {63 * 64, 64, 63},
		"too wide":            {64 * 16385, 16385, 64},
		"negative":            {64 * 64, -64, -64},
		"fewer bytes":         {64*64 - 1, 64, 64},
		"more bytes":          {64*64 + 1, 64, 64},
		"a size that is huge": {0, 1 << 40, 1 << 40},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := align.NewGolden(make([]byte, c.bytes), c.width, c.height)
			require.ErrorIs(t, err, align.ErrSize)
		})
	}
}

func TestAlignersShareAGolden(t *testing.T) {
	const side = 320
	gray := template(t, side, side)
	board := boardtest.Binary(shifted(gray, side, side, by(3, -4)))
	g, err := align.NewGolden(gray, side, side)
	require.NoError(t, err)
	want, wanted := fit(t, gray, board, side, side)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			a, dst := align.New(g), make([]byte, len(board))
			for range 3 {
				if f := a.Align(dst, board); f != want || !bytes.Equal(dst, wanted) {
					t.Errorf("%+v instead of %+v", f, want)
				}
			}
		})
	}
	all.Wait()
}

func TestAlignAllocatesNothing(t *testing.T) {
	const side = 320
	gray := template(t, side, side)
	g, err := align.NewGolden(gray, side, side)
	require.NoError(t, err)
	a, board, dst := align.New(g), boardtest.Binary(gray), make([]byte, side*side)
	require.Zero(t, alloctest.Least(20, func() { a.Align(dst, board) }))
}

// turn is a quarter turn of a square image.
func turn(pixels []byte, side int) []byte {
	out := make([]byte, len(pixels))
	for y := range side {
		for x := range side {
			out[x*side+side-1-y] = pixels[y*side+x]
		}
	}
	return out
}

// slid shows at (x, y) what lies at (x+dx, y+dy) of a square image, by whole rows; dx is not negative.
func slid(pixels []byte, side, dx, dy int) []byte {
	out := make([]byte, 0, len(pixels))
	for y := range side {
		row := pixels[min(max(y+dy, 0), side-1)*side:][:side]
		out = append(out, row[dx:]...)
		out = append(out, bytes.Repeat(row[side-1:], dx)...)
	}
	return out
}

// On every third pair the tool that the models are trained with, models/training/align.py, leaves 0.0071 of
// the pixels outside of defects different, 0.0144 being so before.
func TestRealBoardsAreAlignedAsWellAsInTraining(t *testing.T) {
	dir := boardtest.Dataset(t)
	var before, after, residual float64
	list := boardtest.IDs(t, dir, every(t))
	for _, id := range list {
		b := boardtest.Load(t, dir, id)
		f, dst := fit(t, b.Template, b.Test, b.Width, b.Height)
		require.True(t, f.Aligned() && f.Unseen <= align.MaxUnseen(b.Width, b.Height), "%s: %+v", id, f)
		before += b.Outside(b.Test, boardtest.Binary(b.Template)) / float64(len(list))
		after += b.Outside(b.Test, dst) / float64(len(list))
		residual = max(residual, f.Mismatch)
	}
	t.Logf("%d boards: %.5f of the pixels outside of defects differ before, %.5f after; mismatch up to %.3f",
		len(list), before, after, residual)
	require.Less(t, after, 0.0076)
}

func TestWrongTemplatesAreToldFromRealBoardsWithDefects(t *testing.T) {
	dir := boardtest.Dataset(t)
	list := boardtest.IDs(t, dir, 2*every(t))
	wrong, missed, near := 0, 0, []float64{}
	check := func(f align.Fit, what, id string) {
		wrong++
		if max(math.Abs(f.ShiftX), math.Abs(f.ShiftY)) <= align.MaxShift {
			near = append(near, f.Mismatch)
		}
		if f.Aligned() {
			missed++
			t.Logf("%s passes as %s: %+v", what, id, f)
		}
	}
	boards := make([]boardtest.Board, len(list))
	for i, id := range list {
		boards[i] = boardtest.Load(t, dir, id)
	}
	for i, b := range boards {
		g, err := align.NewGolden(b.Template, b.Width, b.Height)
		require.NoError(t, err)
		a, dst := align.New(g), make([]byte, len(b.Test))
		turned := turn(b.Test, b.Width)
		check(a.Align(dst, turned), "a quarter turn", b.ID)
		check(a.Align(dst, turn(turned, b.Width)), "a half turn", b.ID)
		for _, k := range []int{1, 2, len(boards) / 2} {
			other := boards[(i+k)%len(boards)]
			check(a.Align(dst, other.Test), other.ID, b.ID)
		}
		check(a.Align(dst, slid(b.Test, b.Width, 30, 0)), "30 px to the left", b.ID)
		check(a.Align(dst, slid(b.Test, b.Width, 0, -50)), "50 px down", b.ID)
		check(a.Align(dst, slid(b.Test, b.Width, 80, 90)), "120 px off", b.ID)
	}
	slices.Sort(near)
	t.Logf("%d of %d wrong pairs pass as aligned; the %d within MaxShift have mismatches of %.3f … %.3f",
		missed, wrong, len(near), near[:5], near[len(near)/2])
	require.LessOrEqual(t, missed, wrong/200)
}

// every says of how many boards one is tested.
func every(tb testing.TB) int {
	tb.Helper()
	if !boardtest.Whole() {
		return 30
	}
	return 3
}

// A sheet's tiles have their template cut out of the whole one each.
func BenchmarkCut(b *testing.B) {
	const side = 640
	whole := plane.New(2*side, 2*side)
	whole.Pack(template(b, 2*side, 2*side))
	whole.Extend()
	g, err := align.NewCut(side, side, 0.3)
	require.NoError(b, err)
	for b.Loop() {
		g.Cut(whole, 101, 53)
	}
}

func BenchmarkAlign(b *testing.B) {
	const side = 640
	gray := template(b, side, side)
	g, err := align.NewGolden(gray, side, side)
	require.NoError(b, err)
	a, dst := align.New(g), make([]byte, side*side)
	board := boardtest.Binary(shifted(gray, side, side, by(3, -4)))
	var f align.Fit
	for b.Loop() {
		f = a.Align(dst, board)
	}
	require.True(b, f.Aligned())
}
