package decode_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// anomalyVector is written by models/vectors/anomaly.py.
type anomalyVector struct {
	Name              string
	Input, Map, Frame [2]int
	Geometry          [4]int // left, top, width, height
	Normalized        bool
	Thresholds, Range [2]float64 // of the image and the pixels; min and max
	Floor             float64
	Limit             int
	Values            packed
	Score             *float32
	Cut               int
	Found             []struct {
		Score float64
		Box   [4]float64
		Area  float64
	}
}

func (v *anomalyVector) decoder(t *testing.T) (*decode.Decoder, [][]float32) {
	t.Helper()
	m := anomalyManifest()
	m.Input.Width, m.Input.Height = v.Input[0], v.Input[1]
	m.Decoder.ScoreFloor, m.Decoder.MaxDetections = v.Floor, v.Limit
	m.Decoder.Anomaly = bundle.Anomaly{Normalized: v.Normalized}
	if !v.Normalized {
		m.Decoder.Anomaly = bundle.Anomaly{
			ImageThreshold: &v.Thresholds[0], PixelThreshold: &v.Thresholds[1],
			Min: &v.Range[0], Max: &v.Range[1],
		}
	}
	ports := []decode.Port{{Name: "map", Dims: []int64{1, 1, int64(v.Map[1]), int64(v.Map[0])}}}
	outputs := [][]float32{v.Values}
	if v.Score != nil {
		ports = append(ports, decode.Port{Name: "score", Dims: []int64{1}})
		outputs = append(outputs, []float32{*v.Score})
	}
	d, err := decode.New(m, ports)
	require.NoError(t, err, v.Name)
	return d, outputs
}

func TestAnomaliesEqualTheirReference(t *testing.T) {
	var cases []anomalyVector
	unpack(t, "anomaly.json.gz", &cases)
	compared, box, score, area := 0, 0.0, 0.0, 0.0
	for _, c := range cases {
		d, outputs := c.decoder(t)
		found, err := d.Decode(outputs, tensor.Geometry{
			FrameWidth: c.Frame[0], FrameHeight: c.Frame[1],
			Left: c.Geometry[0], Top: c.Geometry[1], Width: c.Geometry[2], Height: c.Geometry[3],
		})
		require.NoError(t, err, c.Name)
		require.Equal(t, c.Cut, d.Cut().Count, c.Name)
		require.Len(t, found, len(c.Found), c.Name)
		for i, want := range c.Found {
			score = max(score, math.Abs(want.Score-float64(found[i].Score)))
			area = max(area, math.Abs(want.Area-float64(found[i].Area))/max(want.Area, 1))
			for side := range want.Box {
				box = max(box, math.Abs(want.Box[side]-float64(found[i].Box[side])))
			}
			require.LessOrEqual(t, len(found[i].Outline), wire.MaxCorners)
			for _, corner := range found[i].Outline {
				require.True(t, corner[0] >= found[i].Box[0] && corner[0] <= found[i].Box[2], c.Name)
				require.True(t, corner[1] >= found[i].Box[1] && corner[1] <= found[i].Box[3], c.Name)
			}
			require.LessOrEqual(t, max(score, area), 1e-6, "%s, finding %d", c.Name, i)
			require.LessOrEqual(t, box, 1e-4, "%s, finding %d", c.Name, i)
		}
		compared += len(c.Found)
	}
	require.Greater(t, compared, 50)
	t.Logf("%d maps, %d findings; differ by at most: boxes %.2g px, scores %.2g, areas %.2g of them",
		len(cases), compared, box, score, area)
}
