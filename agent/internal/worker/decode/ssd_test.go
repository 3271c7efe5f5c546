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

// ssd reads so many boxes, with the manifest's keys as given.
func ssd(tb testing.TB, boxes, columns int, activation, coordinates, corners, noObject string,
) *decode.Decoder {
	tb.Helper()
	m := ofFamily(bundle.FamilySSD)
	m.Decoder.Activation, m.Decoder.Coordinates = activation, coordinates
	m.Decoder.Corners, m.Decoder.NoObject = corners, noObject
	return newDecoder(tb, m, []int64{1, int64(boxes), 4}, []int64{1, int64(boxes), int64(columns)})
}

func TestBoxesAndScoresAreReadAsTheManifestSays(t *testing.T) {
	p := func(v float64) float32 { return float32(math.Log(v)) - 3 }
	for name, c := range map[string]struct {
		activation, coordinates, corners, noObject string
		boxes, scores                              []float32
		want                                       []detect.Detection
	}{
		"as they are": {
			"none", "pixels", "xyxy", "none",
			[]float32{10, 20, 110, 70, 300, 300, 400, 400},
			[]float32{0.9, 0, 0.05, 0.3},
			[]detect.Detection{at(0, 0.9, 10, 20, 110, 70), at(1, 0.3, 300, 300, 400, 400)},
		},
		"rows first": {
			"none", "pixels", "yxyx", "first",
			[]float32{20, 10, 70, 110, 300, 300, 400, 400},
			[]float32{0.1, 0.9, 0, 0.9, 0.05, 0.09},
			[]detect.Detection{at(0, 0.9, 10, 20, 110, 70)},
		},
		"softmax, the last for nothing": {
			"softmax", "unit", "xyxy", "last",
			[]float32{0.25, 0.5, 0.5, 0.75, 0, 0, 0.5, 0.5},
			[]float32{p(0.2), p(0.7), p(0.1), p(0.04), p(0.06), p(0.9)},
			[]detect.Detection{at(1, 0.7, 160, 320, 320, 480), at(0, 0.2, 160, 320, 320, 480)},
		},
		"softmax of all": {
			"softmax", "unit", "xyxy", "none",
			[]float32{0.25, 0.5, 0.5, 0.75, 0, 0, 0.5, 0.5},
			[]float32{p(0.3), p(0.7), p(0.95), p(0.05)},
			[]detect.Detection{
				at(0, 0.95, 0, 0, 320, 320), at(1, 0.7, 160, 320, 320, 480), at(0, 0.3, 160, 320, 320, 480),
			},
		},
		"sigmoid of centres": {
			"sigmoid", "unit", "cxcywh", "none",
			[]float32{0.5, 0.5, 0.25, 0.5, 0.1, 0.1, 0.1, 0.1},
			[]float32{logit(0.6), -30, -30, logit(0.09)},
			[]detect.Detection{at(0, 0.6, 240, 160, 400, 480)},
		},
		"suppressed class by class": {
			"none", "pixels", "xyxy", "none",
			[]float32{10, 20, 110, 70, 11, 20, 110, 70},
			[]float32{0.9, 0.4, 0.8, 0.5},
			[]detect.Detection{at(0, 0.9, 10, 20, 110, 70), at(1, 0.5, 11, 20, 110, 70)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := ssd(t, 2, len(c.scores)/2, c.activation, c.coordinates, c.corners, c.noObject)
			got, err := d.Decode([][]float32{c.boxes, c.scores}, same())
			require.NoError(t, err)
			near(t, c.want, got)
		})
	}
}

func TestBoxesAndScoresThatNoModelGives(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	box := []float32{10, 20, 110, 70}
	for name, c := range map[string]struct {
		activation    string
		boxes, scores []float32
	}{
		"NaN score":                  {"none", box, []float32{0, nan, 0}},
		"NaN score of the last":      {"none", box, []float32{0, 0, nan}},
		"NaN of no object":           {"none", box, []float32{nan, 0, 0}},
		"a logit":                    {"none", box, []float32{0, -5, 0}},
		"a logit of no object":       {"none", box, []float32{7, 0.9, 0}},
		"score over one":             {"none", box, []float32{0, 0.9, 3}},
		"NaN logit":                  {"softmax", box, []float32{0, nan, 0}},
		"NaN logit of no object":     {"softmax", box, []float32{nan, 9, 0}},
		"infinite logit":             {"softmax", box, []float32{0, inf, 0}},
		"minus infinite logit":       {"softmax", box, []float32{-inf, 0, 0}},
		"NaN of a sigmoid":           {"sigmoid", box, []float32{0, 0, nan}},
		"infinite of a sigmoid":      {"sigmoid", box, []float32{0, -inf, 0}},
		"NaN box without a score":    {"none", []float32{10, 20, nan, 70}, []float32{1, 0, 0}},
		"infinite box":               {"none", []float32{10, 20, inf, 70}, []float32{0, 1, 0}},
		"corners in the wrong order": {"none", []float32{110, 20, 10, 70}, []float32{0, 1, 0}},
		"too few scores":             {"none", box, []float32{0, 0}},
		"too few boxes":              {"none", nil, []float32{0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			d := ssd(t, 1, 3, c.activation, "pixels", "xyxy", "first")
			_, err := d.Decode([][]float32{c.boxes, c.scores}, same())
			require.ErrorIs(t, err, decode.ErrOutput)
		})
	}
}

func TestBoxesAndScoresAllocateNothing(t *testing.T) {
	boxes := []float32{10, 20, 110, 70, 300, 300, 400, 400}
	for activation, scores := range map[string][]float32{
		"none": {0, 0.9, 0, 0, 0, 0.5}, "softmax": {0, 9, 0, 0, 0, 5}, "sigmoid": {0, 1, -9, 0, -9, 0.5},
	} {
		d := ssd(t, 2, 3, activation, "pixels", "xyxy", "first")
		outputs := [][]float32{boxes, scores}
		require.Zero(t, alloctest.Least(50, func() {
			if got, err := d.Decode(outputs, same()); err != nil || len(got) != 2 {
				t.Error(got, err)
			}
		}))
	}
}
