package eval_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/eval"
)

// referenceCase is one of testdata/metrics.json, which reference.py beside it writes.
type referenceCase struct {
	Name       string
	Thresholds []float64
	Images     []struct {
		Labels   [][6]float64 // class, ignored, corners
		Detected [][6]float64 // class, score, corners
	}
	Want struct {
		MAP50       float64    `json:"map50"`
		MAP5095     float64    `json:"map50_95"`
		MAPIoU33    float64    `json:"map_iou33"`
		FIoU33      float64    `json:"f_iou33"`
		AP50        []*float64 `json:"ap50"` // by class; nil where nothing is labelled
		AP5095      []*float64 `json:"ap50_95"`
		PaperIoU33s []*float64 `json:"ap_iou33"`
	}
}

func (c *referenceCase) images() []eval.Image {
	images := make([]eval.Image, len(c.Images))
	for i, im := range c.Images {
		for _, v := range im.Labels {
			images[i].Labels = append(images[i].Labels,
				eval.Box{Class: int(v[0]), Score: 1, Ignored: v[1] == 1, Corners: corners(v)})
		}
		for _, v := range im.Detected {
			images[i].Detected = append(images[i].Detected,
				eval.Box{Class: int(v[0]), Score: float32(v[1]), Corners: corners(v)})
		}
	}
	return images
}

func corners(v [6]float64) [4]float32 {
	return [4]float32{float32(v[2]), float32(v[3]), float32(v[4]), float32(v[5])}
}

func TestMetricsAgreeWithPycocotoolsAndThePapersDefinition(t *testing.T) {
	const near = 1e-9
	raw, err := os.ReadFile("testdata/metrics.json")
	require.NoError(t, err)
	var cases []referenceCase
	require.NoError(t, json.Unmarshal(raw, &cases))
	require.NotEmpty(t, cases)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			m := eval.Measure(c.images(), c.Thresholds)
			require.InDelta(t, c.Want.MAP50, m.MAP50, near)
			require.InDelta(t, c.Want.MAP5095, m.MAP5095, near)
			require.InDelta(t, c.Want.MAPIoU33, m.MAPIoU33, near)
			require.InDelta(t, c.Want.FIoU33, m.FIoU33, near)
			classes := map[int]eval.ClassMetrics{}
			for _, k := range m.PerClass {
				classes[k.Class] = k
			}
			for class := range c.Thresholds {
				k := classes[class] // of zeros where nothing is labelled or detected
				require.InDelta(t, known(c.Want.AP50[class]), k.AP50, near)
				require.InDelta(t, known(c.Want.AP5095[class]), k.AP5095, near)
				require.InDelta(t, known(c.Want.PaperIoU33s[class]), k.APIoU33, near)
				require.Equal(t, c.Want.AP50[class] == nil, k.Labels == 0)
			}
		})
	}
}

func known(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}
