package decode_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

const prototypes = 2

// masked is one column of an output: centre, size, a score for each class, coefficients.
type masked [4 + classes + prototypes]float32

// seg reads prototypes of side×side over an input of 640×640.
func seg(tb testing.TB, cells, side int) *decode.Decoder {
	tb.Helper()
	m := manifest()
	m.Decoder.Family = bundle.FamilyYOLOv8Seg
	d, err := decode.New(m, segPorts(cells, prototypes, side))
	require.NoError(tb, err)
	return d
}

func segPorts(cells, count, side int) []decode.Port {
	return []decode.Port{
		{Name: "output0", Dims: []int64{1, int64(4 + classes + count), int64(cells)}},
		{Name: "output1", Dims: []int64{1, int64(count), int64(side), int64(side)}},
	}
}

func maskedOutput(cells ...masked) []float32 {
	var out []float32
	for row := range len(masked{}) {
		for _, c := range cells {
			out = append(out, c[row])
		}
	}
	return out
}

// drawn are prototypes as pictures: the first is ±1, the second 0 throughout.
func drawn(picture string) []float32 {
	rows := strings.Fields(picture)
	values := make([]float32, prototypes*len(rows)*len(rows[0]))
	for y, row := range rows {
		for x, c := range row {
			values[y*len(row)+x] = -1
			if c == '#' {
				values[y*len(row)+x] = 1
			}
		}
	}
	return values
}

// On a grid of 8×8 over 640×640 a pixel of the mask is 80×80 of the frame.
func TestMasksOfPrototypes(t *testing.T) {
	square := drawn("........ ..##.... ..##.... ........ ........ ......#. ........ ........")
	whole := masked{320, 320, 640, 640, 0.9, 0, 1, 0}
	for name, c := range map[string]struct {
		cell     masked
		protos   []float32
		geometry tensor.Geometry
		want     detect.Detection
	}{
		"between the pixels where the sign changes": {
			whole, square, same(),
			detect.Detection{
				Box: [4]float32{0, 0, 640, 640}, Area: 5 * 6400, Outline: [][2]float32{
					{160, 120},
					{160, 200},
					{200, 240},
					{280, 240},
					{320, 200},
					{320, 120},
					{280, 80},
					{200, 80},
				},
			},
		},
		"as far as the box goes": { // over the middles of the left half's pixels
			masked{160, 200, 160, 140, 0.9, 0, 1, 0},
			square, same(),
			detect.Detection{
				Box: [4]float32{80, 130, 240, 270}, Area: 6400,
				Outline: [][2]float32{{160, 200}, {200, 240}, {240, 200}, {200, 160}},
			},
		},
		"the other sign": {
			masked{520, 440, 80, 80, 0, 0.8, -1, 0},
			square, same(),
			detect.Detection{
				Class: 1, Box: [4]float32{480, 400, 560, 480},
			},
		},
		"no mask at all": {
			masked{320, 320, 640, 640, 0.9, 0, 0, 1},
			square, same(),
			detect.Detection{Box: [4]float32{0, 0, 640, 640}},
		},
		"a box between two middles": {
			masked{320, 120, 20, 20, 0.9, 0, 1, 0},
			square, same(),
			detect.Detection{Box: [4]float32{310, 110, 330, 130}},
		},
		"only what the frame covers": { // rows 3 and 4 of 8
			masked{320, 320, 640, 640, 0.9, 0, 0, 1},
			append(make([]float32, 64), drawn(strings.Repeat("######## ", 8))[:64]...),
			tensor.Geometry{FrameWidth: 1280, FrameHeight: 320, Top: 240, Width: 640, Height: 160},
			detect.Detection{
				Box: [4]float32{0, 0, 1280, 320}, Area: 1280 * 320,
				Outline: [][2]float32{
					{0, 80}, {0, 240}, {80, 320}, {1200, 320}, {1280, 240}, {1280, 80}, {1200, 0}, {80, 0},
				},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := seg(t, 1, 8).Decode([][]float32{maskedOutput(c.cell), c.protos}, c.geometry)
			require.NoError(t, err)
			require.Len(t, got, 1)
			require.Equal(t, c.want.Class, got[0].Class)
			require.InDeltaSlice(t, c.want.Box[:], got[0].Box[:], 1e-3)
			require.InDelta(t, c.want.Area, got[0].Area, 1e-2)
			require.Len(t, got[0].Outline, len(c.want.Outline), "%v", got[0].Outline)
			for _, p := range c.want.Outline {
				require.Contains(t, got[0].Outline, p)
			}
		})
	}
}

func TestEachFindingHasItsOwnMask(t *testing.T) {
	d := seg(t, 3, 8)
	protos := drawn("........ .##..... .##..... ........ ........ ....#### ....#### ........")
	got, err := d.Decode([][]float32{maskedOutput(
		masked{200, 200, 240, 240, 0.9, 0, 1, 0}, masked{480, 480, 400, 240, 0.8, 0, 2, 0},
		masked{800, 480, 100, 100, 0.7, 0, 1, 0}, // beside the frame
	), protos}, same())
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.InDelta(t, 4*6400, got[0].Area, 1)
	require.InDelta(t, 8*6400, got[1].Area, 1)
	for _, p := range got[0].Outline {
		require.True(t, p[0] <= 240 && p[1] <= 240, p)
	}
	for _, p := range got[1].Outline {
		require.True(t, p[0] >= 320 && p[1] >= 400, p)
	}
}

func TestMasksThatNoModelGives(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	whole := masked{320, 320, 640, 640, 0.9, 0, 1, 0}
	for name, spoil := range map[string]func(c *masked, protos []float32) []float32{
		"NaN prototype":        func(_ *masked, p []float32) []float32 { p[17] = nan; return p },
		"infinite prototype":   func(_ *masked, p []float32) []float32 { p[17] = -inf; return p },
		"NaN coefficient":      func(c *masked, p []float32) []float32 { c[6] = nan; return p },
		"infinite coefficient": func(c *masked, p []float32) []float32 { c[7] = inf; return p },
		"overflow":             func(c *masked, p []float32) []float32 { c[6], p[3] = 3e38, 3e38; return p },
		"NaN score":            func(c *masked, p []float32) []float32 { c[5] = nan; return p },
		"huge box":             func(c *masked, p []float32) []float32 { c[2] = 1e6; return p },
		"too few prototypes":   func(_ *masked, p []float32) []float32 { return p[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			c := whole
			protos := spoil(&c, make([]float32, prototypes*64))
			_, err := seg(t, 1, 8).Decode([][]float32{maskedOutput(c), protos}, same())
			require.ErrorIs(t, err, decode.ErrOutput)
		})
	}
	_, err := seg(t, 2, 8).Decode([][]float32{maskedOutput(whole), make([]float32, prototypes*64)}, same())
	require.ErrorIs(t, err, decode.ErrOutput)
}

// A mask that is refused in its middle leaves nothing behind for the next frame.
func TestAMaskAfterOneThatIsRefusedIsTheSame(t *testing.T) {
	whole := maskedOutput(masked{320, 320, 640, 640, 0.9, 0, 1, 0})
	spoiled := drawn("######## ######## ######## ######## ######## ######## ######## ########")
	spoiled[5*8+3] = float32(math.NaN())
	good := drawn(".##..... .##..... ........ ........ ........ ........ ........ ........")
	want, err := seg(t, 1, 8).Decode([][]float32{whole, good}, same())
	require.NoError(t, err)
	d := seg(t, 1, 8)
	_, err = d.Decode([][]float32{whole, spoiled}, same())
	require.ErrorIs(t, err, decode.ErrOutput)
	got, err := d.Decode([][]float32{whole, good}, same())
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestPortsThatMasksDoNotComeFrom(t *testing.T) {
	m := manifest()
	m.Decoder.Family = bundle.FamilyYOLOv8Seg
	for says, change := range map[string]func(p []decode.Port){
		"reads predictions":   func(p []decode.Port) { p[0].Dims = []int64{1, 8} },
		"its prototypes are":  func(p []decode.Port) { p[1].Dims = []int64{1, 2, 8} },
		"which means 3 class": func(p []decode.Port) { p[0].Dims[1]++ },
		"which means 1 class": func(p []decode.Port) { p[1].Dims[1]++ },
		"masks of at most":    func(p []decode.Port) { p[1].Dims = []int64{1, 2, 1 << 33, 1 << 33} },
		"pixels together":     func(p []decode.Port) { p[1].Dims = []int64{1, 33, 512, 512} },
		"is [1 0 8 8]":        func(p []decode.Port) { p[1].Dims[1] = 0 },
		"cells, over":         func(p []decode.Port) { p[0].Dims[2] = 1 << 21 },
		"fixed sizes":         func(p []decode.Port) { p[1].Dims[3] = onnxfile.Dynamic },
	} {
		ports := segPorts(10, prototypes, 8)
		change(ports)
		_, err := decode.New(m, ports)
		require.ErrorContains(t, err, says)
	}
}

// Objectness times score is what counts, and the coefficients stand behind the scores of their own row.
func TestMasksBesideObjectness(t *testing.T) {
	m := manifest()
	m.Decoder.Family = bundle.FamilyYOLOv5Seg
	protos := drawn("........ .##..... .##..... ........ ........ ....#### ....#### ........")
	ports := segPorts(3, prototypes, 8)
	ports[0].Dims = []int64{1, 3, 5 + classes + prototypes}
	d, err := decode.New(m, ports)
	require.NoError(t, err)
	rows := []float32{
		520, 200, 240, 240, 0.9, 0, 0.9, 1, 0, // nothing of a mask is there
		200, 200, 240, 240, 0.5, 0.5, 0.1, 1, 0,
		480, 480, 400, 240, 1, 0, 0.4, 2, 0,
	}
	got, err := d.Decode([][]float32{rows, protos}, same())
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.InDelta(t, 0.81, got[0].Score, 1e-6)
	require.Zero(t, got[0].Area)
	require.InDelta(t, 0.4, got[1].Score, 1e-6)
	require.InDelta(t, 8*6400, got[1].Area, 1)
	require.InDelta(t, 0.25, got[2].Score, 1e-6)
	require.InDelta(t, 4*6400, got[2].Area, 1)
	for name, spoil := range map[string]float32{"NaN": float32(math.NaN()), "a logit": 3} {
		rows[9+4] = spoil
		_, err = d.Decode([][]float32{rows, protos}, same())
		require.ErrorIs(t, err, decode.ErrOutput, name)
	}
	for says, dims := range map[string][]int64{
		"which means 3 classes": {1, 3, 6 + classes + prototypes},
		"reads predictions [1 ": {1, 3},
		"cells, over":           {1, 1 << 21, 5 + classes + prototypes},
	} {
		ports[0].Dims = dims
		_, err = decode.New(m, ports)
		require.ErrorContains(t, err, says)
	}
}

// blobs are twenty findings of round masks: prototype 0 is a bump in the middle of each 128×128 of the input.
func blobs(cells, side int) [][]float32 {
	out, protos := make([]float32, cells*len(masked{})), make([]float32, prototypes*side*side)
	for y := range side {
		for x := range side {
			u, v := float64(x%(side/5))/float64(side/5)-0.5, float64(y%(side/5))/float64(side/5)-0.5
			protos[y*side+x] = float32(0.1 - u*u - v*v)
		}
	}
	for i := range 200 {
		c := masked{64 + float32(i%5)*128, 64 + float32(i/5%4)*128, 120, 120, 0.5 + float32(i)/1000, 0, 1, 1}
		for row, v := range c {
			out[row*cells+i] = v
		}
	}
	return [][]float32{out, protos}
}

func TestMasksAllocateNothing(t *testing.T) {
	d, outputs := seg(t, 8400, 160), blobs(8400, 160)
	require.Zero(t, alloctest.Least(20, func() {
		if got, err := d.Decode(outputs, same()); err != nil || len(got) != 5 || len(got[4].Outline) < 12 {
			t.Error(got, err)
		}
	}))
	require.Equal(t, 15, d.Cut().Count)
}

// Twenty findings, masks of 32 prototypes at 160×160.
func BenchmarkMasks(b *testing.B) {
	const most, side, cells = 32, 160, 8400
	m := manifest()
	m.Decoder.Family, m.Decoder.MaxDetections = bundle.FamilyYOLOv8Seg, 100
	d, err := decode.New(m, segPorts(cells, most, side))
	require.NoError(b, err)
	two := blobs(cells, side)
	outputs := [][]float32{make([]float32, (4+classes+most)*cells), make([]float32, most*side*side)}
	copy(outputs[0], two[0])
	copy(outputs[1], two[1])
	for b.Loop() {
		if got, err := d.Decode(outputs, same()); err != nil || len(got) != 20 {
			b.Fatal(len(got), err)
		}
	}
}

func FuzzMasks(f *testing.F) {
	square := drawn("........ ..##.... ..##.... ...#.... ........ ......#. ........ ........")
	f.Add(bytesOf(maskedOutput(masked{320, 320, 640, 640, 0.9, 0, 1, 0})), bytesOf(square))
	f.Add(bytesOf(maskedOutput(masked{100, 90, 200, 300, 0.9, 0.7, -1, 3})), bytesOf(square))
	f.Fuzz(func(t *testing.T, raw, more []byte) {
		values, protos := floats(raw), make([]float32, prototypes*64)
		copy(protos, floats(more))
		g := tensor.Geometry{FrameWidth: 1920, FrameHeight: 1080, Top: 140, Width: 640, Height: 360}
		found, err := seg(t, len(values)/len(masked{}), 8).Decode([][]float32{values, protos}, g)
		sound(t, found, err, g)
	})
}
