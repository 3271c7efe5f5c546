package decode_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/models/bundle"
)

const bins = 16

// A grid of 80×80, 8 input pixels wide each.
const columns, rows = 80, 80

func dfl(tb testing.TB) *decode.Decoder {
	tb.Helper()
	d, err := decode.New(dflManifest(), []decode.Port{
		{Name: "scores", Dims: []int64{1, classes, rows, columns}},
		{Name: "distances", Dims: []int64{1, 4 * bins, rows, columns}},
	})
	require.NoError(tb, err)
	return d
}

func dflManifest() *bundle.Manifest {
	m := manifest()
	m.Decoder.Family = bundle.FamilyDFL
	return m
}

// blank outputs have no candidate: logits far below any floor.
func blank() [][]float32 {
	scores, distances := make([]float32, classes*columns*rows), make([]float32, 4*bins*columns*rows)
	for i := range scores {
		scores[i] = -20
	}
	return [][]float32{scores, distances}
}

// put makes a candidate whose sides lie so many cells away. A fraction is shared by two bins.
func put(outputs [][]float32, class, x, y int, logit float32, away [4]float64) {
	cells, cell := columns*rows, y*columns+x
	outputs[0][class*cells+cell] = logit
	for side, distance := range away {
		low := math.Floor(distance)
		for k := range bins {
			weight := 0.0
			switch float64(k) {
			case low:
				weight = low + 1 - distance
			case low + 1:
				weight = distance - low
			}
			outputs[1][(side*bins+k)*cells+cell] = float32(math.Log(max(weight, 1e-9)))
		}
	}
}

func TestDFLBoxesAreExpectationsAroundTheirCell(t *testing.T) {
	outputs := blank()
	put(outputs, 1, 10, 20, 3, [4]float64{2, 1.25, 3, 0.5})
	put(outputs, 0, 79, 79, 0, [4]float64{4, 4, 0, 0})
	put(outputs, 0, 40, 40, -2.3, [4]float64{4, 4, 4, 4}) // 0.091, below the floor of 0.1
	got, err := dfl(t).Decode(outputs, same())
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, 1, got[0].Class)
	require.InDelta(t, 1/(1+math.Exp(-3)), got[0].Score, 1e-6)
	want := [][4]float32{{68, 154, 108, 168}, {604, 604, 636, 636}}
	for i := range want {
		for k := range want[i] {
			require.InDelta(t, want[i][k], got[i].Box[k], 1e-3)
		}
	}
	require.InDelta(t, 0.5, got[1].Score, 1e-6)
}

func TestDFLOutputsThatNoModelGives(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, spoil := range map[string]func(outputs [][]float32) [][]float32{
		"NaN score":        func(o [][]float32) [][]float32 { o[0][17] = nan; return o },
		"infinite score":   func(o [][]float32) [][]float32 { o[0][17] = inf; return o },
		"negative endless": func(o [][]float32) [][]float32 { o[0][17] = -inf; return o },
		"NaN distance": func(o [][]float32) [][]float32 {
			o[0][17], o[1][17] = 5, nan
			return o
		},
		"endless distance": func(o [][]float32) [][]float32 {
			o[0][17], o[1][17] = 5, inf
			return o
		},
		"distance of no weight": func(o [][]float32) [][]float32 {
			o[0][17], o[1][17] = 5, -inf
			return o
		},
		"too few scores":    func(o [][]float32) [][]float32 { return [][]float32{o[0][1:], o[1]} },
		"too few distances": func(o [][]float32) [][]float32 { return [][]float32{o[0], o[1][1:]} },
		"all cells at once": func(o [][]float32) [][]float32 {
			for i := range o[0] {
				o[0][i] = 1
			}
			return o
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dfl(t).Decode(spoil(blank()), same())
			require.ErrorIs(t, err, decode.ErrOutput)
		})
	}
}

func TestDFLAllocatesNothing(t *testing.T) {
	outputs, d := blank(), dfl(t)
	for k := range 4 {
		put(outputs, 0, 10+15*k, 20, 3, [4]float64{2, 2, 2, 2})
	}
	require.Zero(t, alloctest.Least(100, func() {
		if got, err := d.Decode(outputs, same()); err != nil || len(got) != 4 {
			t.Error(got, err)
		}
	}))
}

func BenchmarkDFL(b *testing.B) {
	outputs, d := blank(), dfl(b)
	for k := range 10 { // ten defects of nine candidates each
		for n := range 9 {
			put(outputs, 0, 5+7*k+n%3, 20+n/3, 3, [4]float64{2, 2, 2, 2})
		}
	}
	for b.Loop() {
		if _, err := d.Decode(outputs, same()); err != nil {
			b.Fatal(err)
		}
	}
}
