package compare_test

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/worker/align/boardtest"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/agent/internal/worker/compare"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
)

const (
	copper = 0
	bare   = 255
)

// picture is a binary image.
type picture struct {
	width, height int
	pixels        []byte
}

func blank(width, height int) picture {
	return picture{width, height, bytes.Repeat([]byte{bare}, width*height)}
}

func (p picture) with(value byte, rectangles ...image.Rectangle) picture {
	p.pixels = bytes.Clone(p.pixels)
	for _, r := range rectangles {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			copy(p.pixels[y*p.width+r.Min.X:], bytes.Repeat([]byte{value}, r.Dx()))
		}
	}
	return p
}

// traces are 20 px wide and as far apart, from top to bottom.
func traces(width, height int) picture {
	p := blank(width, height)
	for x := 20; x+30 <= width; x += 40 {
		p = p.with(copper, image.Rect(x, 0, x+20, height))
	}
	return p
}

func find(tb testing.TB, board, template picture, o compare.Options) []detect.Detection {
	tb.Helper()
	c, err := compare.New(board.width, board.height, o)
	require.NoError(tb, err)
	return c.Compare(board.pixels, template.pixels)
}

func boxes(found []detect.Detection) (all [][4]float32) {
	for _, f := range found {
		all = append(all, f.Box)
	}
	return all
}

func TestDefectsAreBoxed(t *testing.T) {
	template := traces(640, 200)
	for name, c := range map[string]struct {
		board picture
		want  [][4]float32
	}{
		"nothing": {board: template},
		"open":    {template.with(bare, image.Rect(100, 50, 120, 60)), [][4]float32{{100, 50, 120, 60}}},
		"short":   {template.with(copper, image.Rect(80, 90, 100, 98)), [][4]float32{{80, 90, 100, 98}}},
		"hairline open of 3 px": {
			template.with(bare, image.Rect(100, 50, 120, 53)), [][4]float32{{100, 50, 120, 53}},
		},
		"hairline short of 3 px": {
			template.with(copper, image.Rect(80, 90, 100, 93)), [][4]float32{{80, 90, 100, 93}},
		},
		"pin-hole": {
			template.with(bare, image.Rect(106, 50, 114, 58)), [][4]float32{{106, 50, 114, 58}},
		},
		"spot across a word": {
			template.with(copper, image.Rect(124, 9, 136, 19)), [][4]float32{{124, 9, 136, 19}},
		},
		"spot in the last corner": {
			template.with(copper, image.Rect(630, 190, 640, 200)), [][4]float32{{630, 190, 640, 200}},
		},
		"spot in the first": {
			template.with(copper, image.Rect(0, 0, 9, 9)), [][4]float32{{0, 0, 9, 9}},
		},
		"pieces 4 px apart are one": {
			template.with(copper, image.Rect(3, 40, 9, 50), image.Rect(13, 40, 18, 50)),
			[][4]float32{{3, 40, 18, 50}},
		},
		"6 px apart are two": {
			template.with(copper, image.Rect(0, 40, 6, 50), image.Rect(12, 40, 18, 50)),
			[][4]float32{{0, 40, 6, 50}, {12, 40, 18, 50}},
		},
		"extra and missing beside each other are two": {
			template.with(copper, image.Rect(0, 40, 20, 50)).with(bare, image.Rect(20, 40, 40, 50)),
			[][4]float32{{0, 40, 20, 50}, {20, 40, 40, 50}},
		},
		"a shape that closes below": {
			template.with(bare, image.Rect(180, 20, 200, 60)).with(copper, image.Rect(186, 20, 194, 54)),
			[][4]float32{{180, 20, 200, 60}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			found := find(t, c.board, template, compare.Options{Margin: -1})
			require.ElementsMatch(t, c.want, boxes(found))
			for _, f := range found {
				require.Zero(t, f.Class)
				require.Greater(t, f.Score, float32(0.2))
				require.LessOrEqual(t, f.Score, float32(1))
			}
		})
	}
}

func TestTheMarginEndsAtTheBorder(t *testing.T) {
	template := blank(100, 70)
	board := template.with(copper, image.Rect(2, 40, 20, 66))
	require.Equal(t, [][4]float32{{0, 30, 30, 70}}, boxes(find(t, board, template, compare.Options{})))
}

func TestEdgesMayWanderWithinTolerance(t *testing.T) {
	template := traces(640, 200)
	wider := blank(640, 200)
	for x := 20; x+30 <= 640; x += 40 {
		wider = wider.with(copper, image.Rect(x-2, 0, x+22, 200))
	}
	require.Empty(t, find(t, wider, template, compare.Options{}))
	require.Empty(t, find(t, template, wider, compare.Options{}))
	require.NotEmpty(t, find(t, wider, template, compare.Options{Tolerance: 1, MinScore: 1e-9}))
}

// A line of the template that both edges' wandering closes may vanish. A wider one may not, and neither may a
// slit, which is a short then; nor may any line come.
func TestWhatIsThinInTheTemplateMayVanish(t *testing.T) {
	for name, c := range map[string]struct {
		ground, value byte
		width         int
		found         bool
	}{
		"line of 4": {bare, copper, 4, false}, "line of 5": {bare, copper, 5, true},
		"slit of 4": {copper, bare, 4, true}, "slit of 3": {copper, bare, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			empty := blank(640, 200).with(c.ground, image.Rect(0, 0, 640, 200))
			line := empty.with(c.value, image.Rect(100, 50, 100+c.width, 150))
			require.Equal(t, c.found, len(find(t, empty, line, compare.Options{})) == 1, "vanished")
			require.Len(t, find(t, line, empty, compare.Options{}), 1, "come")
		})
	}
}

func TestTheMoreAndTheMoreSolidTheMoreCertain(t *testing.T) {
	template := blank(640, 200)
	board := template.with(copper, image.Rect(20, 20, 24, 44), image.Rect(100, 20, 107, 27),
		image.Rect(200, 20, 212, 32), image.Rect(300, 20, 340, 60))
	found := find(t, board, template, compare.Options{MinScore: 1e-3, Margin: -1})
	require.Equal(t, [][4]float32{
		{300, 20, 340, 60}, {200, 20, 212, 32}, {100, 20, 107, 27}, {20, 20, 24, 44},
	}, boxes(found))
	require.Greater(t, found[0].Score, float32(0.99))
	for i := range found[1:] {
		require.Greater(t, found[i].Score, found[i+1].Score)
	}
}

func TestWhatIsBelowTheLimitsIsNoFinding(t *testing.T) {
	template := blank(128, 128)
	board := template.with(copper, image.Rect(50, 50, 60, 60))
	require.Len(t, find(t, board, template, compare.Options{MinArea: 100}), 1)
	require.Empty(t, find(t, board, template, compare.Options{MinArea: 101}))
	require.Empty(t, find(t, board, template, compare.Options{MinScore: 1}))
}

func TestNoiseIsBounded(t *testing.T) {
	const side = 640
	r := rand.New(rand.NewPCG(5, 6))
	board, template := blank(side, side), blank(side, side)
	for i := range board.pixels {
		board.pixels[i] = byte(-int8(r.Uint32() & 1))
	}
	require.NotEmpty(t, find(t, board, template, compare.Options{}))
	for y := 2; y+8 < side; y += 12 { // 2,809 spots
		for x := 2; x+8 < side; x += 12 {
			template = template.with(copper, image.Rect(x, y, x+6, y+6))
		}
	}
	c, err := compare.New(side, side, compare.Options{})
	require.NoError(t, err)
	found := c.Compare(template.pixels, blank(side, side).pixels)
	require.Len(t, found, 1000)
	require.Equal(t, detect.Cut{Count: 2809 - 1000, Score: found[999].Score}, c.Cut(), "all are alike")
	c.Compare(template.pixels, template.pixels)
	require.Zero(t, c.Cut(), "of the last board only")
}

// As many pieces as there is no room for: none is lost, the last region covers what remains.
func TestMorePiecesThanRoomAreOneFinding(t *testing.T) {
	const side = 64
	template, board := blank(side, side), blank(side, side)
	for y := 0; y+2 <= side; y += 7 { // 81 pieces, room for 65
		for x := 0; x+2 <= side; x += 7 {
			board = board.with(copper, image.Rect(x, y, x+2, y+2))
		}
	}
	found := find(t, board, template, compare.Options{Margin: -1})
	require.Len(t, found, 1)
	require.Equal(t, float32(1), found[0].Score)
	require.Equal(t, float32(58), found[0].Box[3])
}

// The definition, pixel by pixel: what differs beyond tolerance somewhere, and in squares of 2×2 pixels.
func TestFindingsAreThoseOfTheDefinition(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		width, height := 64+r.IntN(140), 64+r.IntN(40)
		template := blank(width, height)
		for range 12 {
			x, y := r.IntN(width-20), r.IntN(height-20)
			template = template.with(copper, image.Rect(x, y, x+1+r.IntN(19), y+1+r.IntN(19)))
		}
		board := template
		for i := range 12 {
			x, y := r.IntN(width-9), r.IntN(height-9)
			board = board.with(byte(i%2*255), image.Rect(x, y, x+1+r.IntN(8), y+1+r.IntN(8)))
		}
		tolerance := 1 + r.IntN(3)
		o := compare.Options{Margin: -1, MinScore: 1e-12, MinArea: 1, Tolerance: tolerance}
		want := append(slow(board, template, board, tolerance),
			slow(template, board, wide(template, 2*tolerance), tolerance)...)
		require.ElementsMatch(t, want, boxes(find(t, board, template, o)), "seed %d", seed)
	}
}

// has tells a pixel; outside of the image there is none of either kind.
func has(p picture, x, y int, value byte) bool {
	return x >= 0 && y >= 0 && x < p.width && y < p.height && p.pixels[y*p.width+x] == value
}

// wide is p without the copper that no square wider than thin covers, however much of it lies outside.
func wide(p picture, thin int) picture {
	out := blank(p.width, p.height)
	for y := -thin; y < p.height; y++ {
		for x := -thin; x < p.width; x++ {
			square := image.Rect(x, y, x+thin+1, y+thin+1).Intersect(image.Rect(0, 0, p.width, p.height))
			if centre := image.Pt(x+thin/2, y+thin/2); centre.In(image.Rect(0, 0, p.width, p.height)) &&
				covered(p, square) {
				out = out.with(copper, square)
			}
		}
	}
	return out
}

func covered(p picture, r image.Rectangle) bool {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if !has(p, x, y, copper) {
				return false
			}
		}
	}
	return true
}

// slow finds where a has copper and b has none, with the default Join. Copper that is gone counts where solid
// has it.
func slow(a, b, solid picture, tolerance int) (found [][4]float32) {
	near := func(p picture, x, y int, value byte) bool {
		for dy := -tolerance; dy <= tolerance; dy++ {
			for dx := -tolerance; dx <= tolerance; dx++ {
				if has(p, x+dx, y+dy, value) {
					return true
				}
			}
		}
		return false
	}
	differs := func(x, y int) bool { return has(a, x, y, copper) && has(b, x, y, bare) }
	square := func(x, y int) bool {
		return differs(x, y) && differs(x+1, y) && differs(x, y+1) && differs(x+1, y+1)
	}
	core := func(x, y int) bool {
		return has(solid, x, y, copper) && !near(b, x, y, copper) ||
			has(b, x, y, bare) && !near(a, x, y, bare)
	}
	var pieces []image.Rectangle
	var cores []bool
	for y := range a.height {
		for x := range a.width {
			c := core(x, y)
			if c || square(x, y) || square(x-1, y) || square(x, y-1) || square(x-1, y-1) {
				pieces, cores = append(pieces, image.Rect(x, y, x+1, y+1)), append(cores, c)
			}
		}
	}
	for _, group := range together(pieces) {
		var box image.Rectangle
		certain := false
		for _, i := range group {
			box, certain = box.Union(pieces[i]), certain || cores[i]
		}
		if certain {
			found = append(found, [4]float32{
				float32(box.Min.X), float32(box.Min.Y), float32(box.Max.X), float32(box.Max.Y),
			})
		}
	}
	return found
}

// together groups pixels of which each has another at most five columns and rows away.
func together(pixels []image.Rectangle) (groups [][]int) {
	seen := make([]bool, len(pixels))
	for i := range pixels {
		if seen[i] {
			continue
		}
		seen[i] = true
		group := []int{i}
		for k := 0; k < len(group); k++ {
			around := pixels[group[k]].Inset(-5)
			for j := range pixels {
				if !seen[j] && pixels[j].Overlaps(around) {
					seen[j] = true
					group = append(group, j)
				}
			}
		}
		groups = append(groups, group)
	}
	return groups
}

func TestSimulatedDefectsAreFoundAndCleanBoardsPass(t *testing.T) {
	boards := uint64(200)
	if !boardtest.Whole() {
		boards = 40
	}
	o := sim.DefaultOptions()
	r, err := sim.NewRenderer(o)
	require.NoError(t, err)
	var truth []sim.Truth
	var sum tally
	clean, alarmed := 0, 0
	for i := range boards {
		pixels, template := make([]byte, o.Width*o.Height), make([]byte, o.Width*o.Height)
		truth = r.Render(i, pixels, truth[:0])
		r.Template(i, template)
		b := boardtest.Board{
			ID: strconv.FormatUint(i, 10), Width: o.Width, Height: o.Height,
			Test: boardtest.Binary(pixels), Template: template,
		}
		for _, d := range truth {
			b.Defects = append(b.Defects,
				image.Rect(int(d.Box[0]), int(d.Box[1]), int(d.Box[2]), int(d.Box[3])))
		}
		found := inspect(t, &b, compare.Options{})
		sum.add(found, &b)
		if len(truth) == 0 {
			clean++
			alarmed += min(len(found), 1)
		}
	}
	t.Logf("%d defects: recall %.4f, precision %.4f; %d of %d clean boards alarmed",
		sum.defects, sum.recall(), sum.precision(), alarmed, clean)
	require.GreaterOrEqual(t, sum.recall(), 0.99)
	// What is left are rings of copper that are all but broken, and so are in one of two exposures.
	require.LessOrEqual(t, alarmed, clean/50)
}

func TestCompareAllocatesNothing(t *testing.T) {
	template := traces(640, 200)
	board := template.with(bare, image.Rect(100, 50, 120, 60)).with(copper, image.Rect(80, 90, 100, 98))
	c, err := compare.New(640, 200, compare.Options{})
	require.NoError(t, err)
	require.Zero(t, alloctest.Least(50, func() { c.Compare(board.pixels, template.pixels) }))
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	for i, o := range []compare.Options{
		{Tolerance: -1},
		{Tolerance: 17},
		{Join: -1},
		{Join: 17},
		{MinArea: -1},
		{Margin: 257},
		{MinScore: -0.1},
		{MinScore: 1.1},
		{MinScore: math.NaN()},
	} {
		_, err := compare.New(640, 640, o)
		require.ErrorIs(t, err, compare.ErrOptions, "%d: %+v", i, o)
	}
	for _, s := range [][2]int{{63, 64}, {64, 63}, {16385, 64}, {64, 1 << 40}, {-64, -64}} {
		_, err := compare.New(s[0], s[1], compare.Options{})
		require.ErrorIs(t, err, compare.ErrOptions, fmt.Sprint(s))
	}
}
