package decode_test

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// turned is one column of an output: centre, size, a score for each class, the angle.
type turned [4 + classes + 1]float32

func columnsOf(cells ...turned) []float32 {
	var out []float32
	for row := range len(turned{}) {
		for _, c := range cells {
			out = append(out, c[row])
		}
	}
	return out
}

func obb(tb testing.TB, cells int, change func(m *bundle.Manifest)) *decode.Decoder {
	tb.Helper()
	m := manifest()
	m.Decoder.Family = bundle.FamilyYOLOv8OBB
	if change != nil {
		change(m)
	}
	dims := []int64{1, int64(len(m.Classes) + 5), int64(cells)}
	d, err := decode.New(m, []decode.Port{{Name: "output0", Dims: dims}})
	require.NoError(tb, err)
	return d
}

func TestTurnedBoxes(t *testing.T) {
	letterbox := tensor.Geometry{FrameWidth: 1920, FrameHeight: 1080, Top: 140, Width: 640, Height: 360}
	const right = math.Pi / 2
	for name, c := range map[string]struct {
		cells    []turned
		agnostic bool
		geometry tensor.Geometry
		want     []detect.Detection
	}{
		"upright": {
			cells: []turned{{100, 200, 20, 40, 0.9, 0, 0}}, geometry: same(),
			want: []detect.Detection{{
				Score: 0.9, Box: [4]float32{90, 180, 110, 220}, Area: 800,
				Outline: [][2]float32{{90, 180}, {110, 180}, {110, 220}, {90, 220}},
			}},
		},
		"a right angle": {
			cells: []turned{{100, 200, 20, 40, 0, 0.9, right}}, geometry: same(),
			want: []detect.Detection{{
				Class: 1, Score: 0.9, Box: [4]float32{80, 190, 120, 210}, Area: 800,
				Outline: [][2]float32{{120, 190}, {120, 210}, {80, 210}, {80, 190}},
			}},
		},
		"clockwise, as pictures show it": { // its length points right and down
			cells: []turned{{100, 100, 40 * math.Sqrt2, 0.002, 0.9, 0, math.Pi / 4}}, geometry: same(),
			want: []detect.Detection{{
				Score: 0.9, Box: [4]float32{80, 80, 120, 120}, Area: 0.113,
				Outline: [][2]float32{{80, 80}, {120, 120}, {120, 120}, {80, 80}},
			}},
		},
		"back to a full HD frame, beyond its side": {
			cells: []turned{{0, 320, 20, 40, 0.9, 0, right}}, geometry: letterbox,
			want: []detect.Detection{{
				Score: 0.9, Box: [4]float32{0, 510, 60, 570}, Area: 7200,
				Outline: [][2]float32{{60, 510}, {60, 570}, {-60, 570}, {-60, 510}},
			}},
		},
		"stretched": {
			cells:    []turned{{320, 320, 20, 40, 0.9, 0, 0}},
			geometry: tensor.Geometry{FrameWidth: 1280, FrameHeight: 640, Width: 640, Height: 640},
			want: []detect.Detection{{
				Score: 0.9, Box: [4]float32{620, 300, 660, 340}, Area: 1600,
				Outline: [][2]float32{{620, 300}, {660, 300}, {660, 340}, {620, 340}},
			}},
		},
		"on the border": {cells: []turned{{320, 60, 20, 20, 0.9, 0, 1}}, geometry: letterbox},
		"crossed boxes share too little to be the same": { // 100 of 1900
			cells:    []turned{{100, 100, 100, 10, 0.9, 0, 0.7}, {100, 100, 100, 10, 0.8, 0, 0.7 + right}},
			geometry: same(), want: make([]detect.Detection, 2),
		},
		"the same a little turned": {
			cells:    []turned{{100, 100, 100, 50, 0.8, 0, 0.7}, {100, 100, 100, 50, 0.9, 0, 0.72}},
			geometry: same(), want: make([]detect.Detection, 1),
		},
		"the same by half a turn": {
			cells:    []turned{{100, 100, 100, 50, 0.8, 0, 0.7}, {100, 100, 100, 50, 0.9, 0, 0.7 - math.Pi}},
			geometry: same(), want: make([]detect.Detection, 1),
		},
		"two classes": {
			cells: []turned{{100, 100, 100, 50, 0.8, 0.7, 0.7}}, geometry: same(),
			want: make([]detect.Detection, 2),
		},
		"two classes, suppression ignores them": {
			cells: []turned{{100, 100, 100, 50, 0.8, 0.7, 0.7}}, agnostic: true, geometry: same(),
			want: make([]detect.Detection, 1),
		},
		"without width": {
			cells: []turned{{100, 100, 0, 50, 0.8, 0, right}, {300, 300, 0, 0, 0.8, 0, 1}}, geometry: same(),
			want: nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := obb(t, len(c.cells), func(m *bundle.Manifest) { m.Decoder.ClassAgnostic = c.agnostic })
			got, err := d.Decode(one(columnsOf(c.cells...)), c.geometry)
			require.NoError(t, err)
			require.Len(t, got, len(c.want))
			for i, want := range c.want {
				if want.Outline == nil {
					continue
				}
				require.Equal(t, want.Class, got[i].Class)
				require.InDeltaSlice(t, want.Box[:], got[i].Box[:], 0.01)
				require.InDelta(t, want.Area, got[i].Area, 0.01)
				for k := range want.Outline {
					require.InDeltaSlice(t, want.Outline[k][:], got[i].Outline[k][:], 0.01)
				}
			}
		})
	}
}

func TestTurnedBoxesThatNoModelGives(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for name, c := range map[string]turned{
		"NaN angle of no score": {100, 100, 10, 10, 0, 0, nan},
		"infinite angle":        {100, 100, 10, 10, 0.9, 0, inf},
		"many turns":            {100, 100, 10, 10, 0.9, 0, 100},
		"degrees":               {100, 100, 10, 10, 0.9, 0, -90},
		"NaN score":             {100, 100, 10, 10, nan, 0, 0},
		"a logit":               {100, 100, 10, 10, 4, 0, 0},
		"NaN box":               {100, nan, 10, 10, 0.9, 0, 0},
		"negative width":        {100, 100, -10, 10, 0.9, 0, 0},
		"negative both":         {100, 100, -10, -10, 0.9, 0, 1},
		"huge":                  {100, 100, 1e6, 10, 0.9, 0, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := obb(t, 2, nil).Decode(one(columnsOf(turned{}, c)), same())
			require.ErrorIs(t, err, decode.ErrOutput)
		})
	}
	_, err := obb(t, 2, nil).Decode(one(make([]float32, 13)), same())
	require.ErrorIs(t, err, decode.ErrOutput)
}

func TestPortsThatTurnedBoxesDoNotComeFrom(t *testing.T) {
	m := manifest()
	m.Decoder.Family = bundle.FamilyYOLOv8OBB
	for says, dims := range map[string][]int64{
		"reads [1 7 N]":        {1, 7},
		"which means 1 class":  {1, 6, 100},
		"fixed sizes":          {1, 7, onnxfile.Dynamic},
		"cells, over":          {1, 7, 1 << 21},
		"yolov8-obb reads [1 ": {2, 7, 100},
	} {
		_, err := decode.New(m, []decode.Port{{Name: "output0", Dims: dims}})
		require.ErrorContains(t, err, says)
	}
}

// crowd are ten defects of so many similar boxes each.
func crowd(cells, each int) []float32 {
	out := make([]float32, cells*len(turned{}))
	for i := range 10 * each {
		c := turned{
			60 * float32(i%10+1), 300 + float32(i/10%7), 50, 20, 0.5 + float32(i)/5000, 0, float32(i%10) / 4,
		}
		for row, v := range c {
			out[row*cells+i] = v
		}
	}
	return out
}

func TestTurnedBoxesAllocateNothing(t *testing.T) {
	d, outputs := obb(t, 8400, nil), one(crowd(8400, 30))
	require.Zero(t, alloctest.Least(20, func() {
		if got, err := d.Decode(outputs, same()); err != nil || len(got) != 5 {
			t.Error(got, err)
		}
	}))
	require.Equal(t, 5, d.Cut().Count)
}

func BenchmarkTurnedBoxes(b *testing.B) {
	d, outputs := obb(b, 8400, nil), one(crowd(8400, 30))
	for b.Loop() {
		if got, err := d.Decode(outputs, same()); err != nil || len(got) != 5 {
			b.Fatal(got, err)
		}
	}
}

// floats reads bytes as numbers.
func floats(raw []byte) []float32 {
	values := make([]float32, len(raw)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return values
}

func bytesOf(values []float32) []byte {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return raw
}

// sound checks what holds of all findings: their order, boxes inside the frame, and outlines that events have
// room for.
func sound(t *testing.T, found []detect.Detection, err error, g tensor.Geometry) {
	t.Helper()
	if err != nil {
		require.ErrorIs(t, err, decode.ErrOutput)
		return
	}
	last := float32(1)
	for _, d := range found {
		require.True(t, d.Score >= 0 && d.Score <= last)
		last = d.Score
		require.True(t, d.Box[0] >= 0 && d.Box[0] < d.Box[2] && d.Box[2] <= float32(g.FrameWidth), d.Box)
		require.True(t, d.Box[1] >= 0 && d.Box[1] < d.Box[3] && d.Box[3] <= float32(g.FrameHeight), d.Box)
		require.Equal(t, len(d.Outline) == 0, d.Area == 0)
		if len(d.Outline) == 0 {
			continue
		}
		require.True(t, d.Area > 0 && d.Area < math.MaxFloat32, d.Area)
		require.GreaterOrEqual(t, len(d.Outline), 3)
		require.LessOrEqual(t, len(d.Outline), 64)
		for _, p := range d.Outline {
			require.True(t, finiteAll(p[0], p[1]), p)
		}
	}
}

func finiteAll(values ...float32) bool {
	for _, v := range values {
		if v-v != 0 {
			return false
		}
	}
	return true
}

func FuzzTurnedBoxes(f *testing.F) {
	for _, c := range []turned{
		{100, 200, 20, 40, 0.9, 0, 1}, {0, 0, 0, 0, 1, 1, 3}, {100, 200, 30, 40, 0.5, 0.5, 1.1},
	} {
		f.Add(bytesOf(columnsOf(c, turned{100, 200, 20, 40, 0.9, 0, 1}, turned{9, 9, 9, 2, 0.2, 0.3, -0.5})))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		values := floats(raw)
		g := tensor.Geometry{FrameWidth: 1920, FrameHeight: 1080, Top: 140, Width: 640, Height: 360}
		found, err := obb(t, len(values)/len(turned{}), nil).Decode(one(values), g)
		sound(t, found, err, g)
	})
}
