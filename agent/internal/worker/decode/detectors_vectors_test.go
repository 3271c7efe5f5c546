package decode_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

// boxCase is one of models/vectors/detectors.py.
type boxCase struct {
	placed

	Settings struct {
		Classes       int
		ScoreFloor    float64 `json:"score_floor"`
		NMSIoU        float64 `json:"nms_iou"`
		ClassAgnostic bool    `json:"class_agnostic"`
		MaxDetections int     `json:"max_detections"`
		Activation    string
		Coordinates   string
		Corners       string
		NoObject      string `json:"no_object"`
	}
	Found []struct {
		Class int
		Score float64
		Box   [4]float64
	}
}

func (c *boxCase) manifest(family string) *bundle.Manifest {
	s := &c.Settings
	return &bundle.Manifest{
		Input: bundle.Input{Width: c.Input[0], Height: c.Input[1]}, Classes: make([]bundle.Class, s.Classes),
		Decoder: bundle.Decoder{
			Family: family, ScoreFloor: s.ScoreFloor, NMSIoU: s.NMSIoU, ClassAgnostic: s.ClassAgnostic,
			MaxDetections: s.MaxDetections, Activation: s.Activation, Coordinates: s.Coordinates,
			Corners: s.Corners, NoObject: s.NoObject,
		},
	}
}

// Frames have up to 301 pixels a side: float32 holds their coordinates to 0.00002.
func TestBoxesAreThoseOfAnIndependentReference(t *testing.T) {
	for _, family := range []string{
		bundle.FamilyYOLOv8, bundle.FamilyDFL, bundle.FamilyYOLOv5, bundle.FamilyYOLOX, bundle.FamilyEnd2End,
		bundle.FamilyDETR, bundle.FamilySSD, bundle.FamilyLabelled,
	} {
		t.Run(family, func(t *testing.T) {
			compared, box, score := 0, 0.0, 0.0
			for i, c := range casesOf[boxCase](t, family) {
				found := c.decode(t, c.manifest(family))
				require.Len(t, found, len(c.Found), "case %d", i)
				for k, want := range c.Found {
					require.Equal(t, want.Class, found[k].Class, "case %d, finding %d", i, k)
					score = max(score, math.Abs(want.Score-float64(found[k].Score)))
					for side := range want.Box {
						box = max(box, math.Abs(want.Box[side]-float64(found[k].Box[side])))
					}
				}
				compared += len(found)
			}
			t.Logf("%d findings; at most off: box %.2g px, score %.2g", compared, box, score)
			require.LessOrEqual(t, box, 1e-4)
			require.LessOrEqual(t, score, 1e-6)
		})
	}
}
