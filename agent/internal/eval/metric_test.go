package eval_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/eval"
)

func box(class int, score, x float32) eval.Box {
	return eval.Box{Class: class, Score: score, Corners: [4]float32{x, 0, x + 10, 10}}
}

// one is an image with one label and what was detected.
func one(detected eval.Box) []eval.Image {
	return []eval.Image{{Labels: []eval.Box{box(0, 1, 0)}, Detected: []eval.Box{detected}}}
}

func TestMetricsByHand(t *testing.T) {
	half := []float64{0.5, 0.5}
	for name, c := range map[string]struct {
		images         []eval.Image
		ap33, f, map50 float64
	}{
		"nothing detected": {[]eval.Image{{Labels: []eval.Box{box(0, 1, 0)}}}, 0, 0, 0},
		"nothing there":    {[]eval.Image{{Detected: []eval.Box{box(0, 0.9, 0)}}}, 0, 0, 0},
		"all found":        {one(box(0, 0.9, 0)), 1, 1, 1},
		"wrong class":      {one(box(1, 0.9, 0)), 0, 0, 0},
		// overlap 5 of 15: 0.333 is over 0.33 and under 0.5
		"half shifted": {one(box(0, 0.9, 5)), 1, 1, 0},
		// by score: false, true, true (one below the threshold) of 2 labels: (1/2 + 2/3) / 2
		"false one first": {[]eval.Image{{
			Labels:   []eval.Box{box(0, 1, 0), box(0, 1, 100)},
			Detected: []eval.Box{box(0, 0.4, 100), box(0, 0.9, 50), box(0, 0.8, 0)},
		}}, 7.0 / 12, 0.5, 2.0 / 3},
		"a label is taken once": {[]eval.Image{{
			Labels:   []eval.Box{box(0, 1, 0)},
			Detected: []eval.Box{box(0, 0.9, 0), box(0, 0.8, 1)},
		}}, 1, 2.0 / 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := eval.Measure(c.images, half)
			require.InDelta(t, c.ap33, m.MAPIoU33, 1e-9)
			require.InDelta(t, c.f, m.FIoU33, 1e-9)
			require.InDelta(t, c.map50, m.MAP50, 1e-9)
		})
	}
}

func TestMeanLeavesOutClassesWithoutLabels(t *testing.T) {
	m := eval.Measure([]eval.Image{{
		Labels:   []eval.Box{box(0, 1, 0)},
		Detected: []eval.Box{box(0, 0.9, 0), box(1, 0.9, 50)},
	}}, []float64{0.5, 0.5, 0.5})
	require.InDelta(t, 1, m.MAPIoU33, 1e-9)
	require.InDelta(t, 2.0/3, m.FIoU33, 1e-9, "the false alarm counts in the F-score")
	require.Len(t, m.PerClass, 2)
}
