package worker

import (
	"bytes"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

func TestMapsForAnEvaluationAreBoundedAndKeepTheirScores(t *testing.T) {
	h := &detect.Heat{
		Values: []float32{10, 20, 30, 45, 20, 10}, Width: 3, Height: 2, Box: [4]float32{-4, 0, 28, 24},
		Score: 1.25, Threshold: 20, Range: 20,
	}
	got := measured(nil, h)
	require.Equal(t, []byte{
		0x55, 0x55, 0, 0x80, 0xaa, 0xaa, // scores 0, 0.5 and 1
		0xaa, 0xea, 0, 0x80, 0x55, 0x55, // 1.75 is over 1, and still told
	}, got.GetLevels())
	require.Equal(t, [2]int32{3, 2}, [2]int32{got.GetWidth(), got.GetHeight()})
	require.InDelta(t, -4, got.GetX1(), 0)
	require.InDelta(t, 28, got.GetX2(), 0)
	require.InDelta(t, 1.25, got.GetScore(), 0)
	require.Nil(t, measured(got, nil), "a frame that was not inspected has none")
	large := &detect.Heat{Values: make([]float32, 3000*1500), Width: 3000, Height: 1500, Range: 1}
	large.Values[2*3000+4] = 1
	got = measured(got, large)
	require.Equal(t, [2]int32{1500, 750}, [2]int32{got.GetWidth(), got.GetHeight()})
	require.Len(t, got.GetLevels(), 2*1500*750)
	require.LessOrEqual(t, 1500*750, wire.MaxHeat)
	require.NotEqual(t, got.GetLevels()[:2], got.GetLevels()[2*(1500+2):][:2])
}

func TestMapsForPicturesAreBoundedAndKeepTheirPeaks(t *testing.T) {
	h := &detect.Heat{
		Values: make([]float32, 2049*1025), Width: 2049, Height: 1025, Box: [4]float32{0, 0, 7, 7}, Range: 1,
	}
	for i := range h.Values {
		h.Values[i] = -0.5
	}
	h.Values[1024*2049+2048] = 3
	k := keptHeat(h)
	require.LessOrEqual(t, len(k.Levels), mostHeat)
	require.Equal(t, h.Box, k.Box)
	require.Len(t, k.Levels, k.Width*k.Height)
	require.EqualValues(t, 255, k.Levels[len(k.Levels)-1])
	require.Zero(t, k.Levels[0])
}

// What has one place across cannot be reduced across.
func TestMapsOfOneLineAreBoundedToo(t *testing.T) {
	const long = 1 << 24
	values := make([]float32, long)
	for _, line := range []*detect.Heat{
		{Values: values, Width: 1, Height: long, Range: 1},
		{Values: values, Width: long, Height: 1, Range: 1},
		{Values: values, Width: 3, Height: long / 3, Range: 1},
	} {
		kept, sent := keptHeat(line), measured(nil, line)
		require.LessOrEqual(t, len(kept.Levels), mostHeat)
		require.Len(t, kept.Levels, kept.Width*kept.Height)
		places := int(sent.GetWidth() * sent.GetHeight())
		require.LessOrEqual(t, places, wire.MaxHeat)
		require.GreaterOrEqual(t, places, wire.MaxHeat/4)
		require.Len(t, sent.GetLevels(), 2*places)
	}
}

// anomalyStation inspects boards with a model whose map is as large as its input.
func anomalyStation(tb testing.TB) *wire.StationConfig {
	tb.Helper()
	const side = onnxtest.Side
	dir := onnxtest.Write(tb, onnxtest.Model(onnxtest.Graph(
		[]onnxtest.Port{{Name: "images", Elem: 1, Dims: []int64{1, 1, side, side}}},
		[]onnxtest.Port{
			{Name: "anomaly_map", Elem: 1, Dims: []int64{1, 1, side, side}},
			{Name: "pred_score", Elem: 1, Dims: []int64{1}},
		},
	)))
	require.NoError(tb, os.WriteFile(filepath.Join(dir, bundle.ManifestFile), []byte(`name: tiny
version: 1.0.0
input: {width: 64, height: 64, channels: 1}
preprocess: {resize: stretch}
decoder: {family: anomaly, anomaly: {normalized: true}}
classes: [{name: anomaly}]
`), 0o600))
	s := simStation(tb)
	s.BundleDir, s.MaxCrops = dir, 0
	return s
}

// spotted is a model whose map has one unusual square, 16 to 24 of 64, and these scores in turn, after that
// of the blank frame at load.
func spotted(scores ...float32) func(infer.Spec, <-chan struct{}) error {
	runs := 0
	return func(spec infer.Spec, _ <-chan struct{}) error {
		values := spec.Outputs[0].Values
		clear(values)
		for y := 16; y < 24; y++ {
			for x := 16; x < 24; x++ {
				values[y*onnxtest.Side+x] = 1
			}
		}
		spec.Outputs[1].Values[0] = 0
		if runs > 0 {
			spec.Outputs[1].Values[0] = scores[(runs-1)%len(scores)]
		}
		runs++
		return nil
	}
}

// pictureOf settles the next part and returns its picture.
func pictureOf(t *testing.T, s *supervisor, job uint64) image.Image {
	t.Helper()
	s.inspect(job, 0)
	s.exposed()
	found := s.inspected().GetDetections()
	require.NoError(t, s.conn.Send(wire.KindSettle, &wire.Settle{
		Job: job, Verdict: "FAIL", Evidence: true, Defects: found[:0],
	}))
	got := expect(s, wire.KindEvidence, &wire.Evidence{})
	picture, err := jpeg.Decode(bytes.NewReader(got.GetJpeg()))
	require.NoError(t, err)
	return picture
}

// coloured says whether the middle of the unusual square is.
func coloured(picture image.Image) bool {
	banner := picture.Bounds().Dy() - 640
	r, g, _, _ := picture.At(200, banner+200).RGBA()
	return r > g+0x2000
}

func TestThePictureOfAnAnomalyIsColouredByItsMap(t *testing.T) {
	s := start(t, scripted(spotted(0.9, 0.45, 0.5)), anomalyStation(t))
	s.ready()
	require.True(t, coloured(pictureOf(t, s, 1)))
	require.False(t, coloured(pictureOf(t, s, 2)), "nothing is kept of what is as usual")
	require.True(t, coloured(pictureOf(t, s, 3)), "at the threshold")
	lenient := anomalyStation(t)
	lenient.HeatFrom = 0.4
	s = start(t, scripted(spotted(0.45)), lenient)
	s.ready()
	require.True(t, coloured(pictureOf(t, s, 1)), "at that of the station's rules")
}

func TestMapsComeWithAnswersOnlyWhereTheyAreAskedFor(t *testing.T) {
	for _, asked := range []bool{false, true} {
		station := anomalyStation(t)
		station.Heat = asked
		s := start(t, scripted(spotted(0.9)), station)
		s.ready()
		s.inspect(1, 0)
		s.exposed()
		heat := s.inspected().GetHeat()
		require.Equal(t, asked, heat != nil)
		if asked {
			require.Len(t, heat.GetLevels(), 2*onnxtest.Side*onnxtest.Side)
			require.Equal(t, [2]float32{640, 640}, [2]float32{heat.GetX2(), heat.GetY2()})
			require.InDelta(t, 0.9, heat.GetScore(), 1e-6)
		}
	}
}

// Parts that pass cost nothing, whatever their map.
func TestNothingIsKeptOfAMapWhoseImageIsAsUsual(t *testing.T) {
	h := &detect.Heat{Values: make([]float32, 64*64), Width: 64, Height: 64, Range: 1}
	s := &slot{
		rig: &rig{
			config: &wire.StationConfig{},
			lane:   &lane{manifest: &bundle.Manifest{Classes: []bundle.Class{{Threshold: 0.5}}}},
		},
		answer: &wire.Inspected{Detections: []*wire.Detection{{Score: 0.49}}},
		heat:   &evidence.Heat{},
	}
	require.Zero(t, alloctest.Least(10, func() { s.warm(h) }))
	require.Nil(t, s.heat, "nor of the part before")
	s.answer.Detections[0].Score = 0.5
	s.warm(h)
	require.NotNil(t, s.heat)
	s.warm(nil)
	require.Nil(t, s.heat)
}
