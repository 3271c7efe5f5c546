package decode_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
)

// classifierVector is written by models/vectors/classifier.py.
type classifierVector struct {
	Name, Activation string
	Classes, Limit   int
	Frame            [2]int
	Floor            float64
	Dims             []int64
	Output           packed
	Cut              int
	Found            []struct {
		Class int
		Score float64
		Box   [4]float32
	}
}

func TestClassifierEqualsItsReference(t *testing.T) {
	var cases []classifierVector
	unpack(t, "classifier.json.gz", &cases)
	compared, most := 0, 0.0
	for _, c := range cases {
		m := classifierManifest(c.Activation, c.Classes)
		m.Decoder.ScoreFloor, m.Decoder.MaxDetections = c.Floor, c.Limit
		d, err := decode.New(m, []decode.Port{{Name: "output", Dims: c.Dims}})
		require.NoError(t, err, c.Name)
		frame := tensor.Geometry{FrameWidth: c.Frame[0], FrameHeight: c.Frame[1]}
		found, err := d.Decode(one(c.Output), frame)
		require.NoError(t, err, c.Name)
		require.Equal(t, c.Cut, d.Cut().Count, c.Name)
		require.Len(t, found, len(c.Found), c.Name)
		for i, want := range c.Found {
			require.Equal(t, want.Class, found[i].Class, "%s, finding %d", c.Name, i)
			require.Equal(t, want.Box, found[i].Box, c.Name)
			off := math.Abs(want.Score - float64(found[i].Score))
			require.LessOrEqual(t, off, 1e-6, "%s, finding %d", c.Name, i)
			most = max(most, off)
		}
		compared += len(c.Found)
	}
	require.Greater(t, compared, 1000)
	t.Logf("%d cases, %d findings; scores differ by at most %.2g", len(cases), compared, most)
}
