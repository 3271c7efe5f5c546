package eval

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// maskCases are those of testdata/masks.json, which models/vectors/evaluation_masks.py writes.
type maskCase struct {
	Classes int
	Images  []struct {
		Size   [2]int
		Labels []struct {
			Class, Crowd int
			Shape        json.RawMessage
			Area         uint64
		}
		Detected []struct {
			Class   int
			Score   float32
			Outline []float32
			Area    uint64
		}
	}
	Want struct {
		AP50   []*float64 `json:"ap50"`
		AP5095 []*float64 `json:"ap50_95"`
	}
}

func TestMasksAgreeWithPycocotools(t *testing.T) {
	raw, err := os.ReadFile("testdata/masks.json")
	require.NoError(t, err)
	var cases []maskCase
	require.NoError(t, json.Unmarshal(raw, &cases))
	require.NotEmpty(t, cases)
	for _, c := range cases {
		images := c.images(t)
		for class := range c.Classes {
			if c.Want.AP50[class] == nil {
				continue
			}
			ap50, ap5095, err := maskPrecision(images, class)
			require.NoError(t, err)
			require.InDelta(t, *c.Want.AP50[class], ap50, near)
			require.InDelta(t, *c.Want.AP5095[class], ap5095, near)
		}
	}
}

func room() *int {
	turns := maxTurns
	return &turns
}

// images checks the pixels of each outline, too.
func (c *maskCase) images(t *testing.T) []Image {
	t.Helper()
	images := make([]Image, 0, len(c.Images))
	for _, im := range c.Images {
		one := Image{width: im.Size[0], height: im.Size[1]}
		add := func(to *[]Box, b Box, area uint64) {
			drawn, err := b.shape.draw(one.width, one.height, room())
			require.NoError(t, err)
			require.Equal(t, area, drawn.area())
			*to = append(*to, b)
		}
		for _, l := range im.Labels {
			s, numbers, err := cocoShape(l.Shape)
			require.NoError(t, err)
			require.Positive(t, numbers)
			add(&one.Labels, Box{Class: l.Class, Score: 1, Ignored: l.Crowd == 1, shape: s}, l.Area)
		}
		for _, d := range im.Detected {
			shape := outlined(d.Outline, [4]float32{})
			add(&one.Detected, Box{Class: d.Class, Score: d.Score, shape: shape}, d.Area)
		}
		images = append(images, one)
	}
	return images
}

func TestBrokenSegmentationsAreRefused(t *testing.T) {
	for in, want := range map[string]string{
		`[[1, 2, 3, 4]]`:                                   "a polygon of 4 numbers",
		`[[1, 2, 3, 4, 5, 6, 7]]`:                          "a polygon of 7 numbers",
		`[[1, 2, 3, 4, 5, 1e9]]`:                           "1e+09, which is over",
		`[["1"]]`:                                          "cannot unmarshal",
		`{"size": [2], "counts": [4]}`:                     "has the size [2]",
		`{"size": [100000, 100000], "counts": []}`:         "has the size [100000 100000]",
		`{"size": [-1, 3], "counts": []}`:                  "has the size [-1 3]",
		`{"size": [2, 2], "counts": [1, 2]}`:               "runs of 3 pixels in all, its size is 2×2",
		`{"size": [2, 2], "counts": [-1, 5]}`:              "cannot unmarshal",
		`{"size": [2, 2], "counts": "4é"}`:                 "no text of COCO's runs",
		`{"size": [2, 2], "counts": "PPPPPPPPPPPPPPPPPP"}`: "no text of COCO's runs",
		`{"size": [2, 2], "counts": "P"}`:                  "no text of COCO's runs",
		`{"size": [2, 2]}`:                                 "unexpected end",
	} {
		_, _, err := cocoShape(json.RawMessage(in))
		require.ErrorContains(t, err, want, in)
	}
	for _, none := range []string{"", "null", "[]", " [ ] "} {
		s, numbers, err := cocoShape(json.RawMessage(none))
		require.NoError(t, err)
		require.Nil(t, s)
		require.Zero(t, numbers)
	}
	s, _, err := cocoShape(json.RawMessage(`{"size": [4, 3], "counts": [2, 3, 7]}`))
	require.NoError(t, err)
	_, err = s.draw(4, 3, room())
	require.ErrorContains(t, err, "of 3×4 pixels, its image of 4×3")
	drawn, err := s.draw(3, 4, room())
	require.NoError(t, err)
	require.Equal(t, raster{2, 5}, drawn)
}

func TestAFindingWithoutAnOutlineIsItsBox(t *testing.T) {
	drawn, err := outlined(nil, [4]float32{1, 2, 4, 7}).draw(10, 10, room())
	require.NoError(t, err)
	require.EqualValues(t, 3*5, drawn.area())
	none, err := outlined([]float32{1, 1, 1, 1, 1, 1}, [4]float32{}).draw(10, 10, room())
	require.NoError(t, err)
	require.Zero(t, none.area())
}

func TestOutlinesAreReadOnlyWhereTheyAreWanted(t *testing.T) {
	text := `{"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "x"}],
		"annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1],
			"segmentation": [[0, 0, 1, 1, 2]]}]}`
	_, _, err := decodeCOCO(strings.NewReader(text), false)
	require.NoError(t, err)
	_, _, err = decodeCOCO(strings.NewReader(text), true)
	require.ErrorContains(t, err, "a polygon of 5 numbers")
}

func BenchmarkOutline(b *testing.B) {
	s := outlined([]float32{100, 100, 900, 130, 1000, 800, 150, 900}, [4]float32{})
	for b.Loop() {
		drawn, err := s.draw(1920, 1080, room())
		if err != nil || drawn.area() < 100_000 {
			b.Fatal(err)
		}
	}
}

// zigzag goes from one side to the other so many times, and further by so much.
func zigzag(times int, left, right float64) []float64 {
	var corners []float64
	for i := range times {
		corners = append(corners, left, float64(i%97), right, float64(i%89))
	}
	return corners
}

func TestOutlinesAreBounded(t *testing.T) {
	raw, err := json.Marshal([][]float64{zigzag(maxCorners/2+1, 0, 4096)})
	require.NoError(t, err)
	_, _, err = cocoShape(raw)
	require.ErrorContains(t, err, "over 1048576 corners: draw it with fewer")

	const columns = 4096
	left := room()
	many := &shape{polygons: [][]float64{zigzag(maxTurns/columns, 0, columns)}} // twice as many turns
	_, err = many.draw(columns, 100, left)
	require.ErrorIs(t, err, ErrLabels)
	require.ErrorContains(t, err, "cross its columns over 16777216 times")

	const times = 4
	half := &shape{polygons: [][]float64{zigzag(times, 0, columns)}}
	*left = 2 * 2 * times * columns
	for range 2 { // of one image
		drawn, bad := half.draw(columns, 100, left)
		require.NoError(t, bad)
		require.LessOrEqual(t, drawn.area(), uint64(columns*100))
	}
	_, err = half.draw(columns, 100, left)
	require.ErrorIs(t, err, ErrLabels)

	_, err = outlined(nil, [4]float32{0, 0, 9, 9}).draw(1<<17, 1<<16, room())
	require.ErrorContains(t, err, "too large for outlines")
}

// Of a border that goes far beyond an image only what is in it is drawn: all of it would take days.
func TestOutlinesBeyondAnImageCostNothing(t *testing.T) {
	left := room()
	far := &shape{polygons: [][]float64{zigzag(1<<18, -maxSide, maxSide), zigzag(1<<18, 20, maxSide)}}
	drawn, err := far.draw(10, 100, left)
	require.NoError(t, err)
	require.LessOrEqual(t, drawn.area(), uint64(10*100))
	require.GreaterOrEqual(t, *left, maxTurns-10<<19)

	inf := float32(math.Inf(1))
	for _, corners := range [][]float32{
		{0, 0, inf, 0, inf, inf}, {float32(math.NaN()), 0, 3, -inf, 1e30, 5}, {0, -1e30, 0, 1e30, 1e30, 0},
	} {
		drawn, err = outlined(corners, [4]float32{}).draw(10, 10, room())
		require.NoError(t, err)
		require.LessOrEqual(t, drawn.area(), uint64(10*10))
	}
}

// A label of many parts is drawn in time that grows with them, not with their square.
func TestLabelsOfManyPartsAreDrawnAtOnce(t *testing.T) {
	const side, parts = 2048, 512 // of an image, and across and down
	s := &shape{}
	for i := parts*parts - 1; i >= 0; i-- {
		x, y := float64(4*(i/parts)), float64(4*(i%parts))
		s.polygons = append(s.polygons, []float64{x, y, x + 2, y, x + 2, y + 2, x, y + 2})
	}
	drawn, err := s.draw(side, side, room())
	require.NoError(t, err)
	require.EqualValues(t, parts*parts*2*2, drawn.area())
}

// walked are the turns of a polygon whose border is walked from place to place, as pycocotools does it.
func walked(corners []float64, width, height int) []uint32 {
	var turns []uint32
	for i := 0; i < len(corners); i += 2 {
		j := (i + 2) % len(corners)
		walk(int(fine*corners[i]+0.5), int(fine*corners[i+1]+0.5), int(fine*corners[j]+0.5),
			int(fine*corners[j+1]+0.5), func(x, y int) {
				if x -= fine / 2; x >= 0 && x%fine == 0 && x/fine < width {
					row := min(max(above(y-fine/2), 0), height)
					turns = append(turns, uint32(x/fine*height+row))
				}
			})
	}
	slices.Sort(turns)
	if len(turns)%2 == 1 {
		turns = append(turns, uint32(width*height))
	}
	return turns
}

// walk calls step for each step of a line to another column, with the lower x and the lower y of its ends.
func walk(x1, y1, x2, y2 int, step func(x, y int)) {
	dx, dy := x2-x1, y2-y1
	wide, high := max(dx, -dx), max(dy, -dy)
	n := max(wide, high)
	if n == 0 {
		return
	}
	// Places between are counted from the end with the lower coordinate, whichever way the line goes.
	back := wide >= high && dx < 0 || wide < high && dy < 0
	if back {
		x1, y1, x2, y2 = x2, y2, x1, y1
	}
	slope := float64(y2-y1) / float64(wide)
	if wide < high {
		slope = float64(x2-x1) / float64(high)
	}
	var lastX, lastY int
	for d := range n + 1 {
		t := d
		if back {
			t = n - d
		}
		x, y := x1+t, int(float64(y1)+slope*float64(t)+0.5)
		if wide < high {
			x, y = int(float64(x1)+slope*float64(t)+0.5), y1+t
		}
		if d > 0 && x != lastX {
			step(min(x, lastX), min(y, lastY))
		}
		lastX, lastY = x, y
	}
}
