package decode_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/models/bundle"
)

// maskCase is one of models/vectors/masks.py.
type maskCase struct {
	placed

	Settings struct {
		Classes       int
		ScoreFloor    float64 `json:"score_floor"`
		NMSIoU        float64 `json:"nms_iou"`
		ClassAgnostic bool    `json:"class_agnostic"`
		MaxDetections int     `json:"max_detections"`
		Activation    string
		Background    int
		MinArea       float64 `json:"min_area"`
	}
	Found []struct {
		Class  int
		Score  float64
		Box    [4]float64
		Area   float64
		Border [][2]float64
	}
}

func (c *maskCase) manifest(family string) *bundle.Manifest {
	s := &c.Settings
	return &bundle.Manifest{
		Input: bundle.Input{Width: c.Input[0], Height: c.Input[1]}, Classes: make([]bundle.Class, s.Classes),
		Decoder: bundle.Decoder{
			Family: family, ScoreFloor: s.ScoreFloor, NMSIoU: s.NMSIoU, ClassAgnostic: s.ClassAgnostic,
			MaxDetections: s.MaxDetections, Activation: s.Activation, Background: &s.Background,
			MinArea: s.MinArea,
		},
	}
}

// worst is how far decoders are from an independent reference.
type worst struct{ box, score, area, outline float64 }

// maskDims are the width and height of a mask, if there is one.
func (c *maskCase) maskDims() (wide, high float64) {
	dims := c.Outputs[len(c.Outputs)-1].Dims
	return float64(dims[len(dims)-1]), float64(dims[len(dims)-2])
}

func TestTurnedBoxesAndMasksAreThoseOfAnIndependentReference(t *testing.T) {
	for family, allowed := range map[string]worst{
		// A corner of a turned box is a corner. An outline is at most 0.2 pixels of the mask off the line
		// through zero, or 0.75 off the sides of pixels, whose corners are 0.71 off the middles that the
		// reference has a semantic border of.
		bundle.FamilyYOLOv8OBB: {1e-4, 1e-6, 1e-6, 1e-3},
		bundle.FamilyYOLOv8Seg: {1e-4, 1e-6, 1e-6, 0.25},
		bundle.FamilyYOLOv5Seg: {1e-4, 1e-6, 1e-6, 0.25},
		bundle.FamilySemantic:  {1e-4, 1e-6, 1e-6, 1.46},
	} {
		t.Run(family, func(t *testing.T) {
			var most worst
			compared := 0
			for i, c := range casesOf[maskCase](t, family) {
				found := c.decode(t, c.manifest(family))
				require.Len(t, found, len(c.Found), "case %d", i)
				for k := range found {
					c.compare(t, family, &most, k, &found[k])
				}
				compared += len(found)
			}
			t.Logf("%d findings; at most off: box %.2g px, score %.2g, area %.2g of it, outline %.2g",
				compared, most.box, most.score, most.area, most.outline)
			require.LessOrEqual(t, most.box, allowed.box)
			require.LessOrEqual(t, most.score, allowed.score)
			require.LessOrEqual(t, most.area, allowed.area)
			require.LessOrEqual(t, most.outline, allowed.outline)
		})
	}
}

func (c *maskCase) compare(t *testing.T, family string, most *worst, k int, found *detect.Detection) {
	t.Helper()
	want := &c.Found[k]
	require.Equal(t, want.Class, found.Class, "finding %d", k)
	most.score = max(most.score, math.Abs(want.Score-float64(found.Score)))
	for i := range want.Box {
		most.box = max(most.box, math.Abs(want.Box[i]-float64(found.Box[i])))
	}
	if want.Area == 0 {
		require.Empty(t, found.Outline)
		require.Zero(t, found.Area)
		return
	}
	most.area = max(most.area, math.Abs(want.Area-float64(found.Area))/want.Area)
	require.LessOrEqual(t, len(found.Outline), wire.MaxCorners)
	scale := [2]float64{1, 1}
	if family != bundle.FamilyYOLOv8OBB {
		wide, high := c.maskDims()
		scale[0] = wide / float64(c.Input[0]) * float64(c.Width) / float64(c.Frame[0])
		scale[1] = high / float64(c.Input[1]) * float64(c.Height) / float64(c.Frame[1])
	}
	outline := make([][2]float64, len(found.Outline))
	for i, p := range found.Outline {
		outline[i] = [2]float64{float64(p[0]), float64(p[1])}
	}
	off := max(astray(outline, want.Border, scale), astray(want.Border, outline, scale))
	if off > most.outline {
		most.outline = off
		t.Logf("finding %d, %d corners, area %.0f: %.2f", k, len(outline), want.Area, off)
	}
}

// astray is how far a corner of a closed line is from another line at most, in units of 1/scale.
func astray(line, from [][2]float64, scale [2]float64) float64 {
	most := 0.0
	for _, p := range line {
		least := math.Inf(1)
		for i, a := range from {
			b := from[(i+1)%len(from)]
			dx, dy := (b[0]-a[0])*scale[0], (b[1]-a[1])*scale[1]
			px, py := (p[0]-a[0])*scale[0], (p[1]-a[1])*scale[1]
			along := 0.0
			if length := dx*dx + dy*dy; length > 0 {
				along = min(max((px*dx+py*dy)/length, 0), 1)
			}
			least = min(least, math.Hypot(px-along*dx, py-along*dy))
		}
		most = max(most, least)
	}
	return most
}
