package decode_test

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// boxCase is one of models/vectors/detectors.py.
type boxCase struct {
	Input, Frame             [2]int
	Left, Top, Width, Height int
	Settings                 struct {
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
	Outputs []struct {
		Name   string
		Dims   []int64
		Values string
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

func (c *boxCase) outputs(t *testing.T) (ports []decode.Port, outputs [][]float32) {
	t.Helper()
	for _, o := range c.Outputs {
		raw, err := base64.StdEncoding.DecodeString(o.Values)
		require.NoError(t, err)
		values := make([]float32, len(raw)/4)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		ports, outputs = append(ports, decode.Port{Name: o.Name, Dims: o.Dims}), append(outputs, values)
	}
	return ports, outputs
}

func boxCases(t *testing.T, family string) []boxCase {
	t.Helper()
	f, err := os.Open("testdata/" + family + ".json.gz")
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	unpacked, err := gzip.NewReader(f)
	require.NoError(t, err)
	var all struct{ Cases []boxCase }
	require.NoError(t, json.NewDecoder(unpacked).Decode(&all))
	require.NotEmpty(t, all.Cases)
	return all.Cases
}

// Frames have up to 301 pixels a side: float32 holds their coordinates to 0.00002.
func TestBoxesAreThoseOfAnIndependentReference(t *testing.T) {
	for _, family := range []string{
		bundle.FamilyYOLOv8, bundle.FamilyDFL, bundle.FamilyYOLOv5, bundle.FamilyYOLOX, bundle.FamilyEnd2End,
		bundle.FamilyDETR, bundle.FamilySSD, bundle.FamilyLabelled,
	} {
		t.Run(family, func(t *testing.T) {
			compared, box, score := 0, 0.0, 0.0
			for i, c := range boxCases(t, family) {
				ports, outputs := c.outputs(t)
				d, err := decode.New(c.manifest(family), ports)
				require.NoError(t, err)
				found, err := d.Decode(outputs, tensor.Geometry{
					FrameWidth: c.Frame[0], FrameHeight: c.Frame[1],
					Left: c.Left, Top: c.Top, Width: c.Width, Height: c.Height,
				})
				require.NoError(t, err)
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
