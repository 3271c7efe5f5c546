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

func semanticManifest(count int, activation string, background int) *bundle.Manifest {
	m := manifest()
	m.Classes = make([]bundle.Class, count)
	d := &m.Decoder
	d.Family, d.Activation, d.Background, d.MinArea = bundle.FamilySemantic, activation, &background, 1
	return m
}

func semantic(tb testing.TB, m *bundle.Manifest, dims ...int64) *decode.Decoder {
	tb.Helper()
	d, err := decode.New(m, []decode.Port{{Name: "mask", Dims: dims}})
	require.NoError(tb, err)
	return d
}

// labelled is a picture of class numbers.
func labelled(rows string) []float32 {
	var values []float32
	for row := range strings.FieldsSeq(rows) {
		for _, c := range row {
			values = append(values, float32(c-'0'))
		}
	}
	return values
}

// On a grid of 8×8 over 640×640 a pixel of the mask is 80×80 of the frame.
func TestPartsOfAMaskAreFindings(t *testing.T) {
	type parts []detect.Detection
	for name, c := range map[string]struct {
		rows     string
		most     int
		geometry tensor.Geometry
		want     parts
		cut      int
	}{
		"nothing but background": {
			rows:     "00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000",
			geometry: same(),
		},
		"the larger first": {
			rows:     "00000000 01100220 01100220 00000220 00000000 00000000 00000000 00000000",
			geometry: same(),
			want: parts{
				{Class: 2, Box: [4]float32{400, 80, 560, 320}, Area: 6 * 6400, Outline: [][2]float32{
					{400, 80}, {560, 80}, {560, 320}, {400, 320},
				}},
				{Class: 1, Box: [4]float32{80, 80, 240, 240}, Area: 4 * 6400, Outline: [][2]float32{
					{80, 80}, {240, 80}, {240, 240}, {80, 240},
				}},
			},
		},
		"corners connect, and classes part": {
			rows:     "10000000 01000000 00100000 00020000 00002000 00000000 00000000 00000001",
			geometry: same(),
			want: parts{
				{Class: 1, Box: [4]float32{0, 0, 240, 240}, Area: 3 * 6400},
				{Class: 2, Box: [4]float32{240, 240, 400, 400}, Area: 2 * 6400},
				{Class: 1, Box: [4]float32{560, 560, 640, 640}, Area: 6400},
			},
		},
		"two arms that meet below": {
			rows:     "00000000 11000110 11000110 11000110 11111110 00000000 00000000 00000000",
			geometry: same(),
			want: parts{{
				Class: 1, Box: [4]float32{0, 80, 560, 400}, Area: 19 * 6400,
				Outline: [][2]float32{
					{0, 80}, {160, 80}, {160, 320}, {400, 320}, {400, 80}, {560, 80}, {560, 400}, {0, 400},
				},
			}},
		},
		"a ring around another": {
			rows:     "00000000 01111100 01000100 01020100 01000100 01111100 00000000 00000000",
			geometry: same(),
			want: parts{
				{Class: 1, Box: [4]float32{80, 80, 480, 480}, Area: 16 * 6400, Outline: [][2]float32{
					{80, 80}, {480, 80}, {480, 480}, {80, 480},
				}},
				{Class: 2, Box: [4]float32{240, 240, 320, 320}, Area: 6400},
			},
		},
		"a spiral": {
			rows:     "11111111 00000001 11111101 10000101 10010101 10011101 10000001 11111111",
			geometry: same(),
			want:     parts{{Class: 1, Box: [4]float32{0, 0, 640, 640}, Area: 38 * 6400}},
		},
		"the largest are kept": {
			rows:     "10111010 00000000 11000200 11000000 00000000 00001111 00000000 00000001",
			most:     2,
			geometry: same(),
			want: parts{
				{Class: 1, Box: [4]float32{0, 160, 160, 320}, Area: 4 * 6400},
				{Class: 1, Box: [4]float32{320, 400, 640, 480}, Area: 4 * 6400},
			},
			cut: 5,
		},
		"on the border of a letterbox": { // rows 2 to 5 are the frame
			rows:     "11111111 11111111 01100000 00000002 00000000 00000000 22222222 22222222",
			geometry: tensor.Geometry{FrameWidth: 1280, FrameHeight: 640, Top: 160, Width: 640, Height: 320},
			want: parts{
				{Class: 1, Box: [4]float32{160, 0, 480, 160}, Area: 2 * 160 * 160},
				{Class: 2, Box: [4]float32{1120, 160, 1280, 320}, Area: 160 * 160},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := semanticManifest(3, bundle.ActivationNone, 0)
			if c.most > 0 {
				m.Decoder.MaxDetections = c.most
			}
			for _, dims := range [][]int64{{1, 8, 8}, {1, 1, 8, 8}} {
				d := semantic(t, m, dims...)
				got, err := d.Decode(one(labelled(c.rows)), c.geometry)
				require.NoError(t, err)
				require.Len(t, got, len(c.want))
				require.Equal(t, c.cut, d.Cut().Count)
				for i, want := range c.want {
					require.Equal(t, want.Class, got[i].Class)
					require.Equal(t, float32(1), got[i].Score)
					require.Equal(t, want.Box, got[i].Box)
					require.InDelta(t, want.Area, got[i].Area, 1e-2)
					require.NotEmpty(t, got[i].Outline)
					if want.Outline != nil {
						require.ElementsMatch(t, want.Outline, got[i].Outline)
					}
				}
			}
		})
	}
}

func TestActivationsOfAMask(t *testing.T) {
	for name, c := range map[string]struct {
		activation string
		background int
		planes     [][]float32 // of 4×1 pixels
		want       []detect.Detection
	}{
		"the highest of a softmax": {
			bundle.ActivationSoftmax, 0,
			[][]float32{{5, 0, 0, 5}, {0, 2, 0, 0}, {0, 0, 1, 0}},
			[]detect.Detection{
				{Class: 1, Score: 0.786986, Box: [4]float32{160, 0, 320, 640}}, // e²/(2+e²)
				{Class: 2, Score: float32(math.E / (2 + math.E)), Box: [4]float32{320, 0, 480, 640}},
			},
		},
		"huge logits": {
			bundle.ActivationSoftmax, 0,
			[][]float32{{3e38, -3e38, 0, 0}, {-3e38, 3e38, 0, 0}},
			[]detect.Detection{{Class: 1, Score: 1, Box: [4]float32{160, 0, 320, 640}}},
		},
		"probabilities, and the mean of them": {
			bundle.ActivationNone, 1,
			[][]float32{{0.8, 0.6, 0.1, 0.1}, {0.2, 0.4, 0.9, 0.9}},
			[]detect.Detection{{Class: 0, Score: 0.7, Box: [4]float32{0, 0, 320, 640}}},
		},
		"each for itself": {
			bundle.ActivationSigmoid, -1,
			[][]float32{{1, 1, -1, -1}, {-9, 2, 2, -9}},
			[]detect.Detection{
				{Class: 1, Score: 0.880797, Box: [4]float32{160, 0, 480, 640}},
				{Class: 0, Score: float32(1 / (1 + math.Exp(-1))), Box: [4]float32{0, 0, 320, 640}},
			},
		},
		"each but the background": {
			bundle.ActivationSigmoid, 0,
			[][]float32{{9, 9, 9, 9}, {-9, -9, -9, 2}},
			[]detect.Detection{{Class: 1, Score: 0.880797, Box: [4]float32{480, 0, 640, 640}}},
		},
		"one class of probabilities": {
			bundle.ActivationNone, -1,
			[][]float32{{0.5, 0.6, 0.8, 0}},
			[]detect.Detection{{Score: 0.7, Box: [4]float32{160, 0, 480, 640}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := semanticManifest(len(c.planes), c.activation, c.background)
			var values []float32
			for _, plane := range c.planes {
				values = append(values, plane...)
			}
			got, err := semantic(t, m, 1, int64(len(c.planes)), 1, 4).Decode(one(values), same())
			require.NoError(t, err)
			require.Len(t, got, len(c.want))
			for i, want := range c.want {
				require.Equal(t, want.Class, got[i].Class)
				require.InDelta(t, want.Score, got[i].Score, 1e-6)
				require.Equal(t, want.Box, got[i].Box)
			}
		})
	}
}

// A letterbox may leave so little of a long frame that it lies between two pixels of the mask.
func TestAFrameThatCoversNoPixelOfAMaskIsRefused(t *testing.T) {
	g := tensor.Geometry{FrameWidth: 8192, FrameHeight: 32, Top: 319, Width: 640, Height: 2}
	m := semanticManifest(3, bundle.ActivationNone, 0)
	d := semantic(t, m, 1, 8, 8)
	_, err := d.Decode(one(labelled(strings.Repeat("11111111 ", 8))), g)
	require.ErrorIs(t, err, decode.ErrOutput)
	require.ErrorContains(t, err,
		"a frame of 8192×32 is 640×2 of the input and covers no pixel of its mask of 8×8")
	_, err = anomalyDecoder(t, anomalyManifest(), false).Decode([][]float32{heat(spot{0, 0, 64, 64, 9})}, g)
	require.ErrorIs(t, err, decode.ErrOutput)
}

func TestSmallAndUncertainPartsArePassedOver(t *testing.T) {
	m := semanticManifest(2, bundle.ActivationNone, 0)
	m.Decoder.MinArea, m.Decoder.ScoreFloor = 2*640*160, 0.6
	planes := []float32{ // 4×1 pixels and no background between them
		0.45, 0.9, 0.3, 0.3,
		0.55, 0.1, 0.7, 0.7,
	}
	got, err := semantic(t, m, 1, 2, 1, 4).Decode(one(planes), same())
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, [4]float32{320, 0, 640, 640}, got[0].Box)
	m.Decoder.MinArea++
	d := semantic(t, m, 1, 2, 1, 4)
	got, err = d.Decode(one(planes), same())
	require.NoError(t, err)
	require.Empty(t, got)
	require.Zero(t, d.Cut())
}

func TestSemanticMasksThatNoModelGives(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	planes := func(activation string) *decode.Decoder {
		return semantic(t, semanticManifest(2, activation, 0), 1, 2, 2, 2)
	}
	labels := semantic(t, semanticManifest(2, bundle.ActivationSoftmax, 0), 1, 2, 2)
	for name, c := range map[string]struct {
		d      *decode.Decoder
		values []float32
	}{
		"NaN logit":           {planes(bundle.ActivationSoftmax), []float32{0, 0, 0, 0, 0, nan, 0, 0}},
		"endless logit":       {planes(bundle.ActivationSigmoid), []float32{0, 0, inf, 0, 0, 0, 0, 0}},
		"probability over 1":  {planes(bundle.ActivationNone), []float32{0, 0, 0, 0, 0, 1.1, 0, 0}},
		"probability below 0": {planes(bundle.ActivationNone), []float32{-0.1, 0, 0, 0, 0, 1, 0, 0}},
		"too few":             {planes(bundle.ActivationSoftmax), make([]float32, 7)},
		"a label too high":    {labels, []float32{0, 1, 2, 0}},
		"a label below":       {labels, []float32{0, 1, -1, 0}},
		"half a label":        {labels, []float32{0, 1, 0.5, 0}},
		"NaN label":           {labels, []float32{0, 1, nan, 0}},
		"too few labels":      {labels, []float32{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.d.Decode(one(c.values), same())
			require.ErrorIs(t, err, decode.ErrOutput)
		})
	}
}

func TestPortsThatSemanticMasksDoNotComeFrom(t *testing.T) {
	for says, c := range map[string]struct {
		classes int
		dims    []int64
	}{
		"the decoder semantic reads":         {2, []int64{1, 8}},
		"reads [1 classes h w], or labels [": {2, []int64{1, 2, 3, 4, 5}},
		"which means 3 classes":              {2, []int64{1, 3, 8, 8}},
		"name the background as a class":     {1, []int64{1, 8, 8}},
		"fixed sizes":                        {2, []int64{1, 2, onnxfile.Dynamic, 8}},
		"over 16777216 pixels":               {2, []int64{1, 2, 1 << 33, 1 << 33}},
		"is [1 2 0 8], over":                 {2, []int64{1, 2, 0, 8}},
	} {
		m := semanticManifest(c.classes, bundle.ActivationSigmoid, -1)
		_, err := decode.New(m, []decode.Port{{Name: "mask", Dims: c.dims}})
		require.ErrorContains(t, err, says)
	}
}

// Each second pixel of each second row: as many parts as a mask can have.
func TestAMaskOfNothingButPartsIsBounded(t *testing.T) {
	const side = 512
	values := make([]float32, side*side)
	for y := 0; y < side; y += 2 {
		for x := 0; x < side; x += 2 {
			values[y*side+x] = 1
		}
	}
	d := semantic(t, semanticManifest(2, bundle.ActivationSoftmax, 0), 1, side, side)
	got, err := d.Decode(one(values), same())
	require.NoError(t, err)
	require.Len(t, got, 5)
	require.Equal(t, side*side/4-5, d.Cut().Count)
	require.Equal(t, [4]float32{0, 0, 1.25, 1.25}, got[0].Box, "the first of those that are as large")
}

// A comb's border is longer than what is looked at of it; its outline is rough, and has its extent.
func TestALongBorderIsBounded(t *testing.T) {
	const side = 640
	values := make([]float32, side*side)
	for i := range values {
		if i/side == side-1 || i%side%2 == 0 {
			values[i] = 1
		}
	}
	d := semantic(t, semanticManifest(2, bundle.ActivationSoftmax, 0), 1, side, side)
	got, err := d.Decode(one(values), same())
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Len(t, got[0].Outline, 64)
	require.Equal(t, [4]float32{0, 0, 640, 640}, got[0].Box)
	require.InDelta(t, side*side/2+side/2, got[0].Area, 1)
}

// islands are discs of class 1 in logits of three classes.
func islands(side int) []float32 {
	values := make([]float32, 3*side*side)
	for y := range side {
		for x := range side {
			i, u, v := y*side+x, float64(x%64)-32, float64(y%64)-32
			values[i] = 1
			values[side*side+i] = float32(1 + 12 - math.Hypot(u, v))
		}
	}
	return values
}

func TestSemanticMasksAllocateNothing(t *testing.T) {
	m := semanticManifest(3, bundle.ActivationSoftmax, 0)
	m.Decoder.MaxDetections = 20
	d, outputs := semantic(t, m, 1, 3, 320, 320), one(islands(320))
	require.Zero(t, alloctest.Least(20, func() {
		if got, err := d.Decode(outputs, same()); err != nil || len(got) != 20 {
			t.Error(got, err)
		}
	}))
	require.Equal(t, 5, d.Cut().Count)
}

// A hundred discs of 640×640 pixels and three classes.
func BenchmarkSemantic(b *testing.B) {
	m := semanticManifest(3, bundle.ActivationSoftmax, 0)
	m.Decoder.MaxDetections = 100
	d, outputs := semantic(b, m, 1, 3, 640, 640), one(islands(640))
	for b.Loop() {
		if got, err := d.Decode(outputs, same()); err != nil || len(got) != 100 {
			b.Fatal(len(got), err)
		}
	}
}

func FuzzSemantic(f *testing.F) {
	f.Add(bytesOf(islands(8)), uint8(0))
	f.Add(bytesOf(labelled("10002000 01020000 00100000 11112222")), uint8(1))
	f.Add(bytesOf(islands(8)), uint8(2))
	f.Add(bytesOf(islands(8)), uint8(3))
	f.Fuzz(func(t *testing.T, raw []byte, kind uint8) {
		m := semanticManifest(3, []string{
			bundle.ActivationSoftmax, bundle.ActivationNone, bundle.ActivationSigmoid,
		}[kind%3], int(kind%4)-1)
		dims := []int64{1, 3, 8, 8}
		if kind%3 == 1 {
			dims = []int64{1, 8, 8}
		}
		values := make([]float32, 8*8*len(dims[1:])/3*3)
		if len(dims) == 3 {
			values = values[:64]
		}
		copy(values, floats(raw))
		g := tensor.Geometry{FrameWidth: 1920, FrameHeight: 1080, Top: 140, Width: 640, Height: 360}
		found, err := semantic(t, m, dims...).Decode(one(values), g)
		sound(t, found, err, g)
	})
}
