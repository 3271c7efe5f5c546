package decode_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/models/bundle"
)

// object is a row of yolov5 and yolox: box, objectness, a score for each class.
type object [5 + classes]float32

func objects(rows ...object) []float32 {
	var out []float32
	for _, r := range rows {
		out = append(out, r[:]...)
	}
	return out
}

func ofFamily(family string) *bundle.Manifest {
	m := manifest()
	m.Decoder.Family = family
	return m
}

func newDecoder(tb testing.TB, m *bundle.Manifest, dims ...[]int64) *decode.Decoder {
	tb.Helper()
	d, err := decode.New(m, ports(dims...))
	require.NoError(tb, err)
	return d
}

func ports(dims ...[]int64) []decode.Port {
	var all []decode.Port
	for i, d := range dims {
		all = append(all, decode.Port{Name: string(rune('a' + i)), Dims: d})
	}
	return all
}

// near compares what was found.
func near(t *testing.T, want, got []detect.Detection) {
	t.Helper()
	require.Len(t, got, len(want), got)
	for i := range want {
		require.Equal(t, want[i].Class, got[i].Class, i)
		require.InDelta(t, want[i].Score, got[i].Score, 1e-6)
		require.InDeltaSlice(t, want[i].Box[:], got[i].Box[:], 1e-3)
	}
}

func TestAScoreCountsTimesTheObjectness(t *testing.T) {
	for name, c := range map[string]struct {
		rows []object
		want []detect.Detection
	}{
		"nothing": {rows: []object{{}, {}}},
		"product": {
			rows: []object{{100, 200, 20, 40, 0.5, 0.9, 0}},
			want: []detect.Detection{at(0, 0.45, 90, 180, 110, 220)},
		},
		"certain of the class, not of an object": {rows: []object{{100, 200, 20, 40, 0.09, 1, 1}}},
		"an object of no class":                  {rows: []object{{100, 200, 20, 40, 1, 0.09, 0.05}}},
		"both classes": {
			rows: []object{{100, 200, 20, 40, 0.5, 0.5, 1}},
			want: []detect.Detection{at(1, 0.5, 90, 180, 110, 220), at(0, 0.25, 90, 180, 110, 220)},
		},
		"the better one of two": {
			rows: []object{{100, 100, 100, 100, 0.8, 1, 0}, {110, 100, 100, 100, 0.9, 1, 0}},
			want: []detect.Detection{at(0, 0.9, 60, 50, 160, 150)},
		},
		"hardly over one": {
			rows: []object{{100, 200, 20, 40, 1.0005, 1.0005, -0.0005}},
			want: []detect.Detection{at(0, 1, 90, 180, 110, 220)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDecoder(t, ofFamily(bundle.FamilyYOLOv5), []int64{1, int64(len(c.rows)), 5 + classes})
			got, err := d.Decode(one(objects(c.rows...)), same())
			require.NoError(t, err)
			near(t, c.want, got)
		})
	}
}

// Cells of 640×640: 80×80 of 8 pixels, 40×40 of 16 and 20×20 of 32.
func TestCellsOfYOLOXLieRowByRowLevelByLevel(t *testing.T) {
	const cells = 6400 + 1600 + 400
	m := ofFamily(bundle.FamilyYOLOX)
	output := make([]float32, cells*(5+classes))
	for _, c := range []struct {
		cell int
		row  object
	}{
		{0, object{0.5, 0.5, 0, 0, 1, 0.9, 0}},
		{80*10 + 20, object{0, 0, 0, float32(math.Log(2)), 1, 0.8, 0}},
		{6400 + 40*3 + 1, object{0.25, 0.75, 0, 0, 1, 0, 0.7}},
		{8399, object{0.5, 0.5, -1, 0, 1, 0.6, 0}},
	} {
		copy(output[c.cell*(5+classes):], c.row[:])
	}
	got, err := newDecoder(t, m, []int64{1, cells, 5 + classes}).Decode(one(output), same())
	require.NoError(t, err)
	half := float32(16 / math.E)
	near(t, []detect.Detection{
		at(0, 0.9, 0, 0, 8, 8), at(0, 0.8, 156, 72, 164, 88), at(1, 0.7, 12, 52, 28, 68),
		at(0, 0.6, 624-half, 608, 624+half, 640),
	}, got)
}

func TestShapesThatRowsDoNotHave(t *testing.T) {
	for name, c := range map[string]struct {
		family, says string
		dims         []int64
	}{
		"columns first": {
			bundle.FamilyYOLOv5, `output "a" is [1 7 300], which means 295 classes`, []int64{1, 7, 300},
		},
		"flat":        {bundle.FamilyYOLOv5, "the decoder yolov5 reads [1 N 7]", []int64{300, 7}},
		"any number":  {bundle.FamilyYOLOX, "export the model with fixed sizes", []int64{1, -1, 7}},
		"two images":  {bundle.FamilyYOLOX, "the decoder yolox reads [1 N 7]", []int64{2, 8400, 7}},
		"other grids": {bundle.FamilyYOLOX, "8, 16 and 32 on 640×640 have 8400", []int64{1, 8500, 7}},
		"endless":     {bundle.FamilyYOLOv5, "has 2097152 cells, over", []int64{1, 1 << 21, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode.New(ofFamily(c.family), ports(c.dims))
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestRowsThatNoModelGives(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, row := range map[string]object{
		"NaN objectness":        {100, 100, 10, 10, nan, 1, 0},
		"infinite objectness":   {100, 100, 10, 10, inf, 1, 0},
		"a logit as objectness": {100, 100, 10, 10, -4, 1, 0},
		"NaN score":             {100, 100, 10, 10, 1, nan, 0},
		"NaN score of the last": {100, 100, 10, 10, 1, 0, nan},
		"a logit as score":      {100, 100, 10, 10, 1, 0, -3},
		"score above one":       {100, 100, 10, 10, 1, 1.5, 0},
		"NaN box":               {nan, 100, 10, 10, 1, 1, 0},
		"infinite box":          {100, 100, inf, 10, 1, 1, 0},
	} {
		for _, family := range []string{bundle.FamilyYOLOv5, bundle.FamilyYOLOX} {
			t.Run(family+" "+name, func(t *testing.T) {
				output := make([]float32, 8400*(5+classes))
				copy(output[17*(5+classes):], row[:])
				d := newDecoder(t, ofFamily(family), []int64{1, 8400, 5 + classes})
				_, err := d.Decode(one(output), same())
				require.ErrorIs(t, err, decode.ErrOutput)
			})
		}
	}
	d := newDecoder(t, ofFamily(bundle.FamilyYOLOv5), []int64{1, 2, 5 + classes})
	_, err := d.Decode(one(make([]float32, 13)), same())
	require.ErrorIs(t, err, decode.ErrOutput)
}

func TestRowsAllocateNothing(t *testing.T) {
	for _, family := range []string{bundle.FamilyYOLOv5, bundle.FamilyYOLOX} {
		d := newDecoder(t, ofFamily(family), []int64{1, 8400, 5 + classes})
		output := make([]float32, 8400*(5+classes))
		for i := range 5 {
			copy(output[i*10*(5+classes):], []float32{float32(i * 5), 5, 1, 1, 0.9, 0.8})
		}
		outputs := one(output)
		require.Zero(t, alloctest.Least(50, func() {
			if got, err := d.Decode(outputs, same()); err != nil || len(got) != 5 {
				t.Error(got, err)
			}
		}))
	}
}
