package decode_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

const classes = 2

func manifest() *bundle.Manifest {
	return &bundle.Manifest{
		Input:   bundle.Input{Width: 640, Height: 640},
		Decoder: bundle.Decoder{Family: bundle.FamilyYOLOv8, ScoreFloor: 0.1, NMSIoU: 0.5, MaxDetections: 5},
		Classes: make([]bundle.Class, classes),
	}
}

// same is a frame of the input's own size.
func same() tensor.Geometry {
	return tensor.Geometry{FrameWidth: 640, FrameHeight: 640, Width: 640, Height: 640}
}

// cell is one column of an output: centre, size, a score for each class.
type cell [4 + classes]float32

func output(cells ...cell) []float32 {
	out := make([]float32, 0, len(cells)*(4+classes))
	for row := range 4 + classes {
		for _, c := range cells {
			out = append(out, c[row])
		}
	}
	return out
}

// decoder reads one output of so many cells.
func decoder(tb testing.TB, m *bundle.Manifest, cells int) *decode.Decoder {
	tb.Helper()
	dims := []int64{1, int64(4 + len(m.Classes)), int64(cells)}
	d, err := decode.New(m, []decode.Port{{Name: "output0", Dims: dims}})
	require.NoError(tb, err)
	return d
}

func at(class int, score, x1, y1, x2, y2 float32) detect.Detection {
	return detect.Detection{Class: class, Score: score, Box: [4]float32{x1, y1, x2, y2}}
}

func one(output []float32) [][]float32 { return [][]float32{output} }

func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		cells    []cell
		agnostic bool
		geometry tensor.Geometry
		want     []detect.Detection
	}{
		"nothing": {cells: []cell{{}, {}}, geometry: same()},
		"one box": {
			cells: []cell{{100, 200, 20, 40, 0.9, 0}}, geometry: same(),
			want: []detect.Detection{at(0, 0.9, 90, 180, 110, 220)},
		},
		"at the floor counts, below does not": {
			cells: []cell{{100, 100, 10, 10, 0.1, 0.0999}}, geometry: same(),
			want: []detect.Detection{at(0, 0.1, 95, 95, 105, 105)},
		},
		"best first": {
			cells: []cell{{100, 100, 10, 10, 0.3, 0}, {300, 300, 10, 10, 0, 0.8}}, geometry: same(),
			want: []detect.Detection{
				at(1, 0.8, 295, 295, 305, 305), at(0, 0.3, 95, 95, 105, 105),
			},
		},
		// Intersection 90×100, union 110×100: 0.818.
		"overlap of one class is suppressed": {
			cells: []cell{{100, 100, 100, 100, 0.8, 0}, {110, 100, 100, 100, 0.9, 0}}, geometry: same(),
			want: []detect.Detection{at(0, 0.9, 60, 50, 160, 150)},
		},
		// Intersection 60×100, union 140×100: 0.43.
		"small overlap stays": {
			cells: []cell{{100, 100, 100, 100, 0.8, 0}, {140, 100, 100, 100, 0.9, 0}}, geometry: same(),
			want: []detect.Detection{
				at(0, 0.9, 90, 50, 190, 150), at(0, 0.8, 50, 50, 150, 150),
			},
		},
		"suppressed boxes suppress nothing": {
			cells: []cell{
				{100, 100, 100, 100, 0.9, 0}, {130, 100, 100, 100, 0.8, 0}, {160, 100, 100, 100, 0.7, 0},
			}, geometry: same(),
			want: []detect.Detection{
				at(0, 0.9, 50, 50, 150, 150), at(0, 0.7, 110, 50, 210, 150),
			},
		},
		"two classes of one cell both stay": {
			cells: []cell{{100, 100, 10, 10, 0.6, 0.7}}, geometry: same(),
			want: []detect.Detection{
				at(1, 0.7, 95, 95, 105, 105), at(0, 0.6, 95, 95, 105, 105),
			},
		},
		"but not when suppression ignores classes": {
			cells: []cell{{100, 100, 10, 10, 0.6, 0.7}}, agnostic: true, geometry: same(),
			want: []detect.Detection{at(1, 0.7, 95, 95, 105, 105)},
		},
		// Scale 1/3, border of 140 above: x·3, (y − 140)·3.
		"back to a full HD frame": {
			cells:    []cell{{320, 320, 20, 20, 0.9, 0}},
			geometry: tensor.Geometry{FrameWidth: 1920, FrameHeight: 1080, Top: 140, Width: 640, Height: 360},
			want:     []detect.Detection{at(0, 0.9, 930, 510, 990, 570)},
		},
		"clipped to the frame, dropped on the border": {
			cells:    []cell{{0, 140, 20, 20, 0.9, 0}, {320, 60, 20, 20, 0.8, 0}},
			geometry: tensor.Geometry{FrameWidth: 1920, FrameHeight: 1080, Top: 140, Width: 640, Height: 360},
			want:     []detect.Detection{at(0, 0.9, 0, 0, 30, 30)},
		},
		"at most max_detections": {
			cells: []cell{
				{10, 10, 9, 9, .6, 0},
				{30, 10, 9, 9, .6, 0},
				{50, 10, 9, 9, .6, 0},
				{70, 10, 9, 9, .6, 0},
				{90, 10, 9, 9, .6, 0},
				{110, 10, 9, 9, .7, 0},
			}, geometry: same(),
			want: []detect.Detection{
				at(0, .7, 105.5, 5.5, 114.5, 14.5),
				at(0, .6, 5.5, 5.5, 14.5, 14.5),
				at(0, .6, 25.5, 5.5, 34.5, 14.5),
				at(0, .6, 45.5, 5.5, 54.5, 14.5),
				at(0, .6, 65.5, 5.5, 74.5, 14.5),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := manifest()
			m.Decoder.ClassAgnostic = c.agnostic
			got, err := decoder(t, m, len(c.cells)).Decode(one(output(c.cells...)), c.geometry)
			require.NoError(t, err)
			require.Len(t, got, len(c.want))
			for i := range c.want {
				require.Equal(t, c.want[i].Class, got[i].Class)
				require.InDelta(t, c.want[i].Score, got[i].Score, 1e-6)
				require.InDeltaSlice(t, c.want[i].Box[:], got[i].Box[:], 1e-3)
			}
		})
	}
}

func TestWhatALimitCostsIsCounted(t *testing.T) {
	apart := func(n int) []cell { // boxes that do not overlap, each a little less certain than the one before
		cells := make([]cell, n)
		for i := range cells {
			cells[i] = cell{float32(i%60)*10 + 5, float32(i/60)*10 + 5, 8, 8, 0.9 - 0.0001*float32(i), 0}
		}
		return cells
	}
	twice := append(apart(5), cell{5, 5, 8, 8, 0.3, 0}) // the last is the first once more
	for name, c := range map[string]struct {
		cells []cell
		want  detect.Cut
	}{
		"as many as may be":          {apart(5), detect.Cut{}},
		"one more":                   {apart(6), detect.Cut{Count: 1, Score: 0.8995}},
		"the same defect once more":  {twice, detect.Cut{}},
		"below the floor":            {append(apart(5), cell{300, 300, 8, 8, 0.09, 0}), detect.Cut{}},
		"beside the frame":           {append(apart(5), cell{700, 300, 8, 8, 0.5, 0}), detect.Cut{}},
		"more than suppression sees": {apart(1200), detect.Cut{Count: 1195, Score: 0.8995}},
	} {
		t.Run(name, func(t *testing.T) {
			d := decoder(t, manifest(), max(len(c.cells), 2400))
			cells := make([]cell, max(len(c.cells), 2400))
			copy(cells, c.cells)
			found, err := d.Decode(one(output(cells...)), same())
			require.NoError(t, err)
			require.Len(t, found, 5)
			require.Equal(t, c.want.Count, d.Cut().Count)
			require.InDelta(t, c.want.Score, d.Cut().Score, 1e-6)
			_, err = d.Decode(one(make([]float32, len(cells)*(4+classes))), same())
			require.NoError(t, err)
			require.Zero(t, d.Cut(), "of the last frame only")
		})
	}
}

// Fault 17: NaN, Inf or absurd box counts.
func TestOutputsThatNoWorkingModelGivesAreErrors(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]cell{
		"NaN score":             {100, 100, 10, 10, nan, 0},
		"NaN score of the last": {100, 100, 10, 10, 0, nan},
		"infinite score":        {100, 100, 10, 10, inf, 0},
		"minus infinite score":  {100, 100, 10, 10, -inf, 0},
		"score above one":       {100, 100, 10, 10, 1.5, 0},
		"logit below zero":      {100, 100, 10, 10, -3, 0},
		"NaN box of no score":   {nan, 100, 10, 10, 0, 0},
		"infinite box":          {100, 100, 10, inf, 0.9, 0},
		"negative width":        {100, 100, -10, 10, 0.9, 0},
		"huge height":           {100, 100, 10, 1e6, 0.9, 0},
		"far away":              {1e6, 100, 10, 10, 0.9, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decoder(t, manifest(), 2).Decode(one(output(cell{}, c)), same())
			require.ErrorIs(t, err, decode.ErrOutput)
		})
	}
	t.Run("wrong length", func(t *testing.T) {
		_, err := decoder(t, manifest(), 2).Decode(one(make([]float32, 11)), same())
		require.ErrorIs(t, err, decode.ErrOutput)
	})
	t.Run("every cell a defect", func(t *testing.T) {
		out := make([]float32, 6400*(4+classes))
		for i := 4 * 6400; i < len(out); i++ {
			out[i] = 0.5
		}
		_, err := decoder(t, manifest(), 6400).Decode(one(out), same())
		require.ErrorIs(t, err, decode.ErrOutput)
	})
}

// More candidates than are kept: the best thousand stay, whatever their order of arrival.
func TestTheBestCandidatesSurviveACrowd(t *testing.T) {
	const cells = 5000
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]float32, cells*(4+classes))
	for i, place := range r.Perm(cells)[:2400] {
		out[place], out[cells+place] = float32(i%70)*9, float32(i/70)*9
		out[2*cells+place], out[3*cells+place] = 5, 5
		out[4*cells+place] = 0.2 + float32(i)/5000
	}
	got, err := decoder(t, manifest(), cells).Decode(one(out), same())
	require.NoError(t, err)
	require.Len(t, got, 5)
	for i, d := range got {
		require.InDelta(t, 0.2+float32(2399-i)/5000, d.Score, 1e-6)
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	d, out := decoder(t, manifest(), 6400), make([]float32, 6400*(4+classes))
	outputs := one(out)
	for i := range 40 {
		out[i], out[6400+i], out[2*6400+i], out[3*6400+i], out[4*6400+i] = float32(i*10), 50, 8, 8, 0.5
	}
	require.Zero(t, testing.AllocsPerRun(20, func() {
		if got, err := d.Decode(outputs, same()); err != nil || len(got) != 5 {
			t.Error(got, err)
		}
	}))
}

func BenchmarkDecode(b *testing.B) {
	m := manifest()
	m.Classes = make([]bundle.Class, 6)
	d, out := decoder(b, m, 6400), make([]float32, 6400*10)
	outputs := one(out)
	for i := range 40 {
		out[i], out[6400+i], out[2*6400+i], out[3*6400+i], out[4*6400+i] = float32(i*10), 50, 8, 8, 0.5
	}
	for b.Loop() {
		if got, err := d.Decode(outputs, same()); err != nil || len(got) != 5 {
			b.Fatal(got, err)
		}
	}
}

// Whatever the bytes: an error, or finite boxes inside the frame in descending order.
func FuzzDecode(f *testing.F) {
	for _, c := range []cell{{100, 200, 20, 40, 0.9, 0}, {0, 0, 0, 0, 1, 1}, {1e6, -1, -1, 2, 0.5, 0.5}} {
		var raw []byte
		for _, v := range output(c, cell{300, 300, 10, 10, 0.2, 0.3}) {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		values := make([]float32, len(raw)/4)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		got, err := decoder(t, manifest(), len(values)/(4+classes)).Decode(one(values), same())
		if err != nil {
			require.ErrorIs(t, err, decode.ErrOutput)
			return
		}
		last := float32(1)
		for _, d := range got {
			require.True(t, d.Score >= 0.1 && d.Score <= last)
			require.True(t, d.Box[0] >= 0 && d.Box[0] < d.Box[2] && d.Box[2] <= 640, d.Box)
			require.True(t, d.Box[1] >= 0 && d.Box[1] < d.Box[3] && d.Box[3] <= 640, d.Box)
			last = d.Score
		}
	})
}
