package decode_test

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// Numbers of 2 are at the image's threshold, of 3 at the pixels', and each 10 more are a score of 1 more.
func anomalyManifest() *bundle.Manifest {
	m := manifest()
	m.Task, m.Classes = bundle.TaskAnomaly, make([]bundle.Class, 1)
	m.Decoder.Family = bundle.FamilyAnomaly
	m.Decoder.Anomaly = bundle.Anomaly{
		ImageThreshold: new(2.0), PixelThreshold: new(3.0), Min: new(-1.0), Max: new(9.0),
	}
	return m
}

const heatSide = 64 // of a map over an input of 640×640

func anomalyDecoder(tb testing.TB, m *bundle.Manifest, scored bool) *decode.Decoder {
	tb.Helper()
	ports := []decode.Port{{Name: "anomaly_map", Dims: []int64{1, 1, heatSide, heatSide}}}
	if scored {
		ports = append(ports, decode.Port{Name: "pred_score", Dims: []int64{1}})
	}
	d, err := decode.New(m, ports)
	require.NoError(tb, err)
	return d
}

// spot is a rectangle of one number on a map: x1, y1, x2, y2, exclusive at right and bottom.
type spot struct {
	x1, y1, x2, y2 int
	number         float32
}

func heat(spots ...spot) []float32 {
	values := make([]float32, heatSide*heatSide)
	for _, s := range spots {
		for y := s.y1; y < s.y2; y++ {
			for x := s.x1; x < s.x2; x++ {
				values[y*heatSide+x] = s.number
			}
		}
	}
	return values
}

// region is a finding as around pixels of the map, ten frame pixels wide.
func region(score, x1, y1, x2, y2, area float32) detect.Detection {
	return detect.Detection{Score: score, Box: [4]float32{x1, y1, x2, y2}, Area: area}
}

func TestAnomaliesAreThePartsOfAnUnusualImage(t *testing.T) {
	whole := region(0, 0, 0, 640, 640, 0)
	with := func(d detect.Detection, score float32) detect.Detection { d.Score = score; return d }
	for name, c := range map[string]struct {
		spots    []spot
		score    float32 // of the image, below 0: the model has none
		geometry tensor.Geometry
		want     []detect.Detection
	}{
		"an image below the floor": {[]spot{{9, 9, 12, 12, 8}}, 0, same(), nil}, // hardly: see the next
		"a usual image":            {nil, 1, same(), []detect.Detection{with(whole, 0.4)}},
		"an unusual image without an unusual place": {
			[]spot{{9, 9, 12, 12, 2.99}}, 5, same(), []detect.Detection{with(whole, 0.8)},
		},
		"one part has the image's score": {
			[]spot{{10, 20, 12, 25, 4}}, 5, same(), []detect.Detection{region(0.8, 100, 200, 120, 250, 1000)},
		},
		"others have their own, but no more than the image": {
			[]spot{{10, 20, 12, 25, 4}, {30, 30, 31, 31, 8}, {50, 50, 52, 51, 7.9}},
			4.5, same(),
			[]detect.Detection{
				region(0.75, 300, 300, 310, 310, 100), region(0.75, 500, 500, 520, 510, 200),
				region(0.6, 100, 200, 120, 250, 1000),
			},
		},
		"parts that touch at a corner are one": {
			[]spot{{10, 10, 12, 12, 4}, {12, 12, 13, 13, 5}},
			9, same(),
			[]detect.Detection{region(1, 100, 100, 130, 130, 500)},
		},
		"at the pixels' threshold": {
			[]spot{{10, 10, 11, 11, 3}}, 9, same(), []detect.Detection{region(1, 100, 100, 110, 110, 100)},
		},
		"without a score the highest place": {
			[]spot{{10, 10, 11, 11, 3}, {20, 20, 21, 21, 4}},
			-1, same(),
			[]detect.Detection{region(0.7, 200, 200, 210, 210, 100), region(0.5, 100, 100, 110, 110, 100)},
		},
		// Scale 1/3, border of 140 above and below: rows 14 to 49 of the map are the frame.
		"nothing beside the frame": {
			[]spot{{10, 2, 30, 12, 9}, {10, 13, 12, 15, 3.5}},
			-1, wide(),
			[]detect.Detection{region(0.65, 300, 0, 360, 30, 1800)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, outputs := anomalyManifest(), [][]float32{heat(c.spots...)}
			if c.score >= 0 {
				outputs = append(outputs, []float32{c.score})
			}
			if c.want == nil {
				m.Decoder.ScoreFloor = 0.31
			}
			got, err := anomalyDecoder(t, m, c.score >= 0).Decode(outputs, c.geometry)
			require.NoError(t, err)
			require.Len(t, got, len(c.want))
			for i, want := range c.want {
				require.InDelta(t, want.Score, got[i].Score, 1e-6)
				require.InDeltaSlice(t, want.Box[:], got[i].Box[:], 1e-3)
				require.InDelta(t, want.Area, got[i].Area, 1e-2)
				require.Equal(t, want.Area == 0, got[i].Outline == nil)
			}
		})
	}
}

func TestNumbersThatTheModelNormalizesAreScores(t *testing.T) {
	m := anomalyManifest()
	m.Decoder.Anomaly = bundle.Anomaly{Normalized: true}
	got, err := anomalyDecoder(t, m, true).Decode(
		[][]float32{heat(spot{1, 1, 3, 2, 0.5}, spot{9, 9, 10, 10, 0.49}), {0.625}}, same())
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.InDelta(t, 0.625, got[0].Score, 0)
	require.Equal(t, [4]float32{10, 10, 30, 20}, got[0].Box)
	require.ElementsMatch(t, [][2]float32{{10, 10}, {30, 10}, {30, 20}, {10, 20}}, got[0].Outline)
}

func TestTheStrongestAnomaliesAreKept(t *testing.T) {
	var spots []spot
	for i := range 200 { // of one pixel each, none beside another
		x, y := i%20*3, i/20*3
		spots = append(spots, spot{x, y, x + 1, y + 1, 3 + float32(i*37%200)/100})
	}
	d := anomalyDecoder(t, anomalyManifest(), true)
	got, err := d.Decode([][]float32{heat(spots...), {20}}, same())
	require.NoError(t, err)
	require.Len(t, got, 5)
	require.InDelta(t, 1, got[0].Score, 0)
	for i := 1; i < 5; i++ {
		require.InDelta(t, 0.5+float64(199-i)/1000, got[i].Score, 1e-6)
	}
	require.Equal(t, 195, d.Cut().Count)
	require.InDelta(t, 0.5+194.0/1000, d.Cut().Score, 1e-6)
	_, err = d.Decode([][]float32{heat(), {20}}, same())
	require.NoError(t, err)
	require.Zero(t, d.Cut())
}

func TestMapsThatNoWorkingModelGivesAreErrors(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]struct {
		normalized bool
		outputs    [][]float32
	}{
		"NaN on the map":              {false, [][]float32{heat(spot{9, 9, 10, 10, nan}), {1}}},
		"NaN on the map of no score":  {false, [][]float32{heat(spot{9, 9, 10, 10, nan}), {-9}}},
		"an infinite place":           {false, [][]float32{heat(spot{9, 9, 10, 10, -inf}), {1}}},
		"an infinite score":           {false, [][]float32{heat(), {inf}}},
		"a NaN score":                 {true, [][]float32{heat(), {nan}}},
		"no scores":                   {true, [][]float32{heat(spot{9, 9, 10, 10, 1.5}), {1}}},
		"a score that is a distance":  {true, [][]float32{heat(), {17}}},
		"numbers below zero":          {true, [][]float32{heat(spot{9, 9, 10, 10, -1}), {1}}},
		"too small a map":             {false, [][]float32{heat()[1:], {1}}},
		"a score of too many numbers": {false, [][]float32{heat(), {1, 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := anomalyManifest()
			if c.normalized {
				m.Decoder.Anomaly = bundle.Anomaly{Normalized: true}
			}
			_, err := anomalyDecoder(t, m, true).Decode(c.outputs, same())
			require.ErrorIs(t, err, decode.ErrOutput)
		})
	}
}

func TestOutputsThatAreNoMapAreExplained(t *testing.T) {
	for _, dims := range [][]int64{{1, 8, 9}, {1, 1, 8, 9}} {
		for _, score := range [][]int64{{1}, {1, 1}} {
			_, err := decode.New(anomalyManifest(), []decode.Port{{Dims: dims}, {Dims: score}})
			require.NoError(t, err)
		}
	}
	for name, c := range map[string]struct {
		heat, score []int64
		says        string
	}{
		"masks":      {[]int64{1, 3, 8, 8}, []int64{1}, "is [1 3 8 8], the decoder anomaly reads a map"},
		"a vector":   {[]int64{1, 8}, []int64{1}, "is [1 8], the decoder anomaly reads a map"},
		"open sizes": {[]int64{1, 1, onnxfile.Dynamic, 8}, []int64{1}, "export the model with fixed sizes"},
		"huge":       {[]int64{1, 1, 1 << 40, 1 << 40}, []int64{1}, "pixels"},
		"two scores": {[]int64{1, 1, 8, 8}, []int64{1, 2}, "is [1 2], the decoder anomaly reads a score [1]"},
		"no scores":  {[]int64{1, 1, 8, 8}, nil, "is [], the decoder anomaly reads a score"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode.New(anomalyManifest(), []decode.Port{{Dims: c.heat}, {Dims: c.score}})
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestSizesThatAnExporterLeavesOpenAreTheInputs(t *testing.T) {
	const open = onnxfile.Dynamic
	m := anomalyManifest()
	m.Input.Width, m.Input.Height = 96, 64
	for _, c := range []struct {
		role       string
		dims, want []int64
	}{
		{"map", []int64{open, open, open, open}, []int64{open, 1, 64, 96}},
		{"map", []int64{open, open, open}, []int64{open, 64, 96}},
		{"map", []int64{1, 1, 32, 48}, []int64{1, 1, 32, 48}},
		{"map", []int64{}, []int64{}},
		{"score", []int64{open, open}, []int64{open, 1}},
		{"score", []int64{open}, []int64{open}},
	} {
		require.Equal(t, c.want, decode.Assume(m, c.role, c.dims))
	}
	m.Decoder.Family = bundle.FamilyYOLOv8
	require.Equal(t, []int64{1, open, open}, decode.Assume(m, "predictions", []int64{1, open, open}))
}

// busy is a map of five parts of odd shapes.
func busy() [][]float32 {
	values := heat()
	for i := range values {
		x, y := i%heatSide, i/heatSide
		values[i] = float32(3 * (math.Sin(float64(x)/4) + math.Cos(float64(y*x)/90)))
	}
	return [][]float32{values, {8}}
}

func TestAnomaliesAllocateNothing(t *testing.T) {
	d, outputs := anomalyDecoder(t, anomalyManifest(), true), busy()
	require.Zero(t, alloctest.Least(50, func() {
		if got, err := d.Decode(outputs, same()); err != nil || len(got) != 5 {
			t.Error(got, err)
		}
	}))
}

// A map of 256×256, as anomalib's models give.
func BenchmarkAnomaly(b *testing.B) {
	const side = 256
	d, err := decode.New(anomalyManifest(), []decode.Port{
		{Name: "anomaly_map", Dims: []int64{1, 1, side, side}}, {Name: "pred_score", Dims: []int64{1}},
	})
	require.NoError(b, err)
	values := make([]float32, side*side)
	for y := range 40 {
		for x := range 40 {
			values[(100+y)*side+80+x] = float32(400 - (x-20)*(x-20) - (y-20)*(y-20))
		}
	}
	outputs := [][]float32{values, {9}}
	for b.Loop() {
		if got, err := d.Decode(outputs, same()); err != nil || len(got) != 1 {
			b.Fatal(got, err)
		}
	}
}

// Whatever the bytes: an error, or findings inside the frame in descending order, with outlines to be drawn.
func FuzzAnomaly(f *testing.F) {
	for i, values := range [][]float32{{0, 4, 9, 9, 3, 1}, {9, 0.5, 0.6, 0, 0.7, 0.1, 1, 0.4, 0.5, 0.5}} {
		var raw []byte
		for _, v := range values {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		f.Add(uint8(2*i+3), raw)
	}
	f.Fuzz(func(t *testing.T, how uint8, raw []byte) {
		width, m := int(how/4)%16+1, anomalyManifest()
		values := make([]float32, len(raw)/4)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		rows := (len(values) - 1) / width
		if rows < 1 {
			return
		}
		if how%2 == 1 {
			m.Decoder.Anomaly = bundle.Anomaly{Normalized: true}
		}
		ports := []decode.Port{{Dims: []int64{1, int64(rows), int64(width)}}, {Dims: []int64{1, 1}}}
		outputs := [][]float32{values[1:][:rows*width], values[:1]}
		if how&2 == 2 {
			ports, outputs = ports[:1], outputs[:1]
		}
		d, err := decode.New(m, ports)
		require.NoError(t, err)
		got, err := d.Decode(outputs, wide())
		if err != nil {
			require.ErrorIs(t, err, decode.ErrOutput)
			return
		}
		last := float32(1)
		for _, d := range got {
			require.True(t, d.Score >= 0.1 && d.Score <= last)
			require.True(t, d.Box[0] >= 0 && d.Box[0] < d.Box[2] && d.Box[2] <= 1920, d.Box)
			require.True(t, d.Box[1] >= 0 && d.Box[1] < d.Box[3] && d.Box[3] <= 1080, d.Box)
			require.Equal(t, d.Outline != nil, d.Area > 0)
			require.LessOrEqual(t, len(d.Outline), wire.MaxCorners)
			last = d.Score
		}
	})
}

// Whoever measures or draws the map needs all of it: what is usual, what lies beside the frame, and numbers
// beyond 0 and 1.
func TestTheMapIsToldAsTheModelGaveIt(t *testing.T) {
	d := anomalyDecoder(t, anomalyManifest(), true)
	values := heat(spot{3, 2, 4, 3, 18})
	_, err := d.Decode([][]float32{values, {17}}, wide())
	require.NoError(t, err)
	got := d.Heat()
	require.Equal(t, values, got.Values)
	require.Equal(t, [2]int{heatSide, heatSide}, [2]int{got.Width, got.Height})
	require.InDelta(t, 2, got.Score, 1e-6)
	require.InDelta(t, 0.2, got.At(0), 1e-6)
	require.InDelta(t, 2, got.At(2*heatSide+3), 1e-6)
	require.Equal(t, [4]float32{0, -420, 1920, 1500}, got.Box, "the border of 140 is three times as high")
	_, err = d.Decode([][]float32{values, {float32(math.NaN())}}, wide())
	require.ErrorIs(t, err, decode.ErrOutput)
	require.Nil(t, d.Heat())
}
