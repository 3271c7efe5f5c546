package worker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	cameras "github.com/sightline-edge/sightline/agent/internal/worker/camera"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/agent/internal/worker/capture"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

const (
	// clean is a line of one product without defects, small enough to be quick.
	clean = "sim:?seed=1&product=3&clean=1&width=320&height=320"
	// another is a line of another product.
	another = "sim:?seed=1&product=4&clean=1&width=320&height=320"
)

// written is a picture on disk, as the worker is told of it.
func written(tb testing.TB, picture image.Image) *wire.Template {
	tb.Helper()
	var raw bytes.Buffer
	require.NoError(tb, png.Encode(&raw, picture))
	path := filepath.Join(tb.TempDir(), "template.png")
	require.NoError(tb, os.WriteFile(path, raw.Bytes(), 0o600))
	sum := sha256.Sum256(raw.Bytes())
	return &wire.Template{Path: path, Digest: "sha256:" + hex.EncodeToString(sum[:])}
}

// captured is the template of a simulated product.
func captured(tb testing.TB, uri string) *wire.Template {
	tb.Helper()
	cam, err := cameras.Start(tb.Context(), uri, cameras.Options{
		OpenTimeout: time.Second, ReadTimeout: time.Minute, Frames: 2, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(tb, err)
	defer func() { require.NoError(tb, cam.Close()) }()
	got, err := capture.Run(tb.Context(), capture.Options{
		Camera: cam, Plan: tensor.Native(bundle.Preprocess{Binarize: bundle.Otsu}), Boards: 3,
		Wait: time.Minute,
	})
	require.NoError(tb, err)
	return written(tb, got.Picture)
}

// pairBundle is the small bundle of tests, whose model sees the frame and its template.
func pairBundle(tb testing.TB) string {
	tb.Helper()
	return pairBundleOf(tb, onnxtest.Side)
}

// pairBundleOf is the same for a model with a larger input.
func pairBundleOf(tb testing.TB, side int) string {
	tb.Helper()
	dir := onnxtest.Write(tb, onnxtest.Model(onnxtest.Graph(
		[]onnxtest.Port{{Name: "images", Elem: 1, Dims: []int64{1, 2, int64(side), int64(side)}}},
		[]onnxtest.Port{{Name: "output0", Elem: 1, Dims: []int64{1, 10, onnxtest.Cells}}},
	)), "preprocess: {binarize: otsu}")
	path := filepath.Join(dir, bundle.ManifestFile)
	raw, err := os.ReadFile(path)
	require.NoError(tb, err)
	small, large := fmt.Sprintf("width: %d, height: %[1]d, channels: 1", onnxtest.Side),
		fmt.Sprintf("width: %d, height: %[1]d, channels: 2, template: true", side)
	require.Contains(tb, string(raw), small)
	text := strings.Replace(string(raw), small, large, 1)
	require.NoError(tb, os.WriteFile(path, []byte(text), 0o600))
	return dir
}

// colourBundle is the small bundle of tests for a model that takes colour.
func colourBundle(tb testing.TB) string {
	tb.Helper()
	dir := onnxtest.Write(tb, onnxtest.Model(onnxtest.Graph(
		[]onnxtest.Port{{Name: "images", Elem: 1, Dims: []int64{1, 3, onnxtest.Side, onnxtest.Side}}},
		[]onnxtest.Port{{Name: "output0", Elem: 1, Dims: []int64{1, 10, onnxtest.Cells}}},
	)))
	path := filepath.Join(dir, bundle.ManifestFile)
	raw, err := os.ReadFile(path)
	require.NoError(tb, err)
	text := strings.Replace(string(raw), "channels: 1", "channels: 3", 1)
	require.NoError(tb, os.WriteFile(path, []byte(text), 0o600))
	return dir
}

func pairStation(tb testing.TB) *wire.StationConfig {
	tb.Helper()
	return &wire.StationConfig{
		Name: "line1/aoi-1", Camera: clean, BundleDir: pairBundle(tb), Method: methodPair,
		Template: captured(tb, clean),
	}
}

func compareStation(tb testing.TB) *wire.StationConfig {
	tb.Helper()
	return &wire.StationConfig{
		Name: "line1/aoi-1", Camera: clean, Method: methodCompare, Template: captured(tb, clean),
	}
}

// refused reads states until the station is refused, and returns why.
func (s *supervisor) refused() string {
	s.Helper()
	for {
		m := expect(s, wire.KindStationState, &wire.StationState{})
		require.NotEqual(s, wire.Phase_PHASE_READY, m.GetPhase())
		if m.GetPhase() == wire.Phase_PHASE_REFUSED {
			return m.GetReason()
		}
	}
}

func TestMethodTemplateAndBundleThatDoNotFitAreRefused(t *testing.T) {
	template := captured(t, clean)
	small := written(t, image.NewGray(image.Rect(0, 0, 20, 20)))
	half := image.NewGray(image.Rect(0, 0, 320, 320))
	for i := range half.Pix[:len(half.Pix)/2] {
		half.Pix[i] = 100
	}
	dim := written(t, half)
	text := filepath.Join(t.TempDir(), "template.png")
	require.NoError(t, os.WriteFile(text, []byte("no picture"), 0o600))
	for name, c := range map[string]struct {
		says   string
		change func(*wire.StationConfig)
	}{
		"detect with a model of pairs": {
			"the bundle's model compares frames with a golden template: use method: pair",
			func(s *wire.StationConfig) { s.Method = methodDetect },
		},
		"pair with a model of frames": {
			"the bundle's model takes no golden template: use method: detect",
			func(s *wire.StationConfig) { s.BundleDir = onnxtest.Bundle(t) },
		},
		"black and white for a model of colours": {
			"which are not made black and white: leave binarize out",
			func(s *wire.StationConfig) { s.BundleDir, s.Method, s.Binarize = colourBundle(t), "", "128" },
		},
		"template changed": {
			"it changed since the agent read it; have the agent read its configuration again, by SIGHUP",
			func(s *wire.StationConfig) {
				s.Template = &wire.Template{Path: template.GetPath(), Digest: "sha256:00"}
			},
		},
		"template missing": {"golden template: ", func(s *wire.StationConfig) {
			s.Template = &wire.Template{Path: filepath.Join(t.TempDir(), "none.png")}
		}},
		"no picture": {"golden template: ", func(s *wire.StationConfig) {
			s.Template = &wire.Template{Path: text}
		}},
		"too small to compare": {"take one with sides of 64 to 16384", func(s *wire.StationConfig) {
			s.Method, s.BundleDir, s.Template = methodCompare, "", small
		}},
		"of one shade": {"it is all of one shade", func(s *wire.StationConfig) {
			s.Template = written(t, image.NewGray(image.Rect(0, 0, 320, 320)))
		}},
		"too dim for the threshold": {"it is all of one shade", func(s *wire.StationConfig) {
			s.Method, s.BundleDir, s.Template, s.Binarize = methodCompare, "", dim, "128"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			station := &wire.StationConfig{
				Name: "line1/aoi-1", Camera: clean, BundleDir: pairBundle(t), Method: methodPair,
				Template: template,
			}
			c.change(station)
			require.Contains(t, start(t, scripted(twoDetections), station).refused(), c.says)
		})
	}
}

func TestPairsAreInspectedByAModel(t *testing.T) {
	for _, method := range []string{methodPair, ""} { // empty: what the bundle is made for
		station := pairStation(t)
		station.Method = method
		s := start(t, scripted(twoDetections), station)
		require.Equal(t, station.GetTemplate().GetDigest(), s.ready().GetModel().GetTemplate())
		for job := range uint64(3) {
			s.inspect(job, 0)
			s.exposed()
			got := s.inspected()
			require.Equal(t, wire.Fault_FAULT_NONE, got.GetFault(), got.GetFaultText())
			require.Len(t, got.GetDetections(), 2)
		}
	}
}

func TestAFrameThatItsTemplateDoesNotFitIsTold(t *testing.T) {
	for name, station := range map[string]*wire.StationConfig{
		"pair": pairStation(t), "compare": compareStation(t),
	} {
		for says, change := range map[string]func(*wire.StationConfig){
			"is it the right board":           func(s *wire.StationConfig) { s.Camera = another },
			"captured from frames of 320×320": func(s *wire.StationConfig) { s.Camera = "sim:?product=3" },
			"there is none: capture one with": func(s *wire.StationConfig) { s.Template = nil },
		} {
			t.Run(name+" "+says, func(t *testing.T) {
				changed := &wire.StationConfig{
					Name: station.GetName(), Camera: station.GetCamera(), BundleDir: station.GetBundleDir(),
					Method: station.GetMethod(), Template: station.GetTemplate(),
				}
				change(changed)
				s := start(t, scripted(twoDetections), changed)
				s.ready()
				for job := range uint64(5) { // more than there are slots
					s.inspect(job, 0)
					s.exposed()
					got := s.inspected()
					require.Equal(t, wire.Fault_FAULT_UNALIGNED, got.GetFault(), got.GetFaultText())
					require.Contains(t, got.GetFaultText(), says)
					require.Empty(t, got.GetDetections())
				}
			})
		}
	}
}

func TestFramesMayBringTheirTemplates(t *testing.T) {
	station := compareStation(t)
	station.Template = nil
	station.Camera = "sim:?seed=1&clean=1&width=320&height=320&template=true" // each board of its own layout
	s := start(t, scripted(twoDetections), station)
	require.Empty(t, s.ready().GetModel().GetTemplate())
	for job := range uint64(5) {
		s.inspect(job, 0)
		s.exposed()
		got := s.inspected()
		require.Equal(t, wire.Fault_FAULT_NONE, got.GetFault(), got.GetFaultText())
		require.Empty(t, got.GetDetections())
	}
}

// What needs no model needs no runtime of models.
func TestCompareRunsWithoutARuntime(t *testing.T) {
	none := func(string) (Runtime, error) { return nil, errors.New("libonnxruntime.so is missing") }
	s := start(t, none, compareStation(t), simStation(t))
	for ready, refused := false, false; !ready || !refused; {
		m := expect(s, wire.KindStationState, &wire.StationState{})
		ready = ready || m.GetStation() == 0 && m.GetPhase() == wire.Phase_PHASE_READY
		refused = refused || m.GetStation() == 1 && m.GetPhase() == wire.Phase_PHASE_REFUSED
	}
	s.inspect(1, 0)
	s.exposed()
	require.Equal(t, wire.Fault_FAULT_NONE, s.inspected().GetFault())
}

// counts says that a difference is one.
func counts(d *wire.Detection) bool {
	return float64(d.GetScore()) >= bundle.Comparison().Classes[0].Threshold
}

func overlaps(boxes []*wire.Detection, box *wire.Detection) bool {
	corners := func(d *wire.Detection) [4]float32 {
		return [4]float32{d.GetX1(), d.GetY1(), d.GetX2(), d.GetY2()}
	}
	for _, b := range boxes {
		if counts(b) && detect.IoU(corners(b), corners(box)) > 0.3 {
			return true
		}
	}
	return false
}

// Template captured, defects found where the simulation drew them, and nowhere else.
func TestCompareFindsWhatTheSimulationDrew(t *testing.T) {
	station := compareStation(t)
	station.Camera = "sim:?seed=1&product=3&clean=0.5&width=320&height=320"
	s := start(t, scripted(twoDetections), station)
	state := s.ready()
	require.Equal(t, "compare", state.GetModel().GetName())
	require.Equal(t, []string{"difference"}, state.GetModel().GetClasses())
	require.Equal(t, "cpu", state.GetProvider())
	require.Equal(t, station.GetTemplate().GetDigest(), state.GetModel().GetTemplate())
	defects, good := 0, 0
	for job := range uint64(30) {
		s.inspect(job, 0)
		s.exposed()
		got := s.inspected()
		require.Equal(t, wire.Fault_FAULT_NONE, got.GetFault(), got.GetFaultText())
		for _, known := range got.GetTruth() {
			defects++
			require.True(t, overlaps(got.GetDetections(), known), "board %s: %v is not among %v",
				got.GetSource(), known, got.GetDetections())
		}
		for _, found := range got.GetDetections() {
			require.True(t, !counts(found) || overlaps(got.GetTruth(), found),
				"board %s: nothing was drawn at %v", got.GetSource(), found)
		}
		if len(got.GetTruth()) == 0 {
			good++
		}
	}
	require.Greater(t, defects, 10)
	require.Greater(t, good, 10)
}

// A board full of differences has as many findings as there may be, the most certain first.
func TestMoreDifferencesThanFindingsAreCut(t *testing.T) {
	const side, step, dot = 640, 40, 10
	o := sim.DefaultOptions()
	o.Clean, o.Product = 1, 3
	r, err := sim.NewRenderer(o)
	require.NoError(t, err)
	board := image.NewGray(image.Rect(0, 0, side, side))
	r.Render(0, board.Pix, nil)
	template := written(t, board)
	for y := range side {
		for x := range side {
			if y%step < dot && x%step < dot {
				board.Pix[y*side+x] ^= 0xff
			}
		}
	}
	spotted := written(t, board)
	station := &wire.StationConfig{
		Name: "line1/aoi-1", Camera: "dir:" + filepath.Dir(spotted.GetPath()) + "?loop=true",
		Method: methodCompare, Template: template, MaxCrops: 1,
	}
	s := start(t, scripted(twoDetections), station)
	s.ready()
	for job := range uint64(3) {
		s.inspect(job, 0)
		s.exposed()
		got := s.inspected()
		require.Equal(t, wire.Fault_FAULT_NONE, got.GetFault(), got.GetFaultText())
		require.Len(t, got.GetDetections(), 100)
		require.GreaterOrEqual(t, len(got.GetDetections())+int(got.GetDropped()), (side/step)*(side/step))
		require.InDelta(t, got.GetDetections()[99].GetScore(), got.GetDroppedScore(), 0.2)
		require.LessOrEqual(t, got.GetDroppedScore(), got.GetDetections()[99].GetScore())
		last := float32(1)
		for _, d := range got.GetDetections() {
			require.LessOrEqual(t, d.GetScore(), last)
			last = d.GetScore()
		}
		require.NoError(t, s.conn.Send(wire.KindSettle, &wire.Settle{
			Job: job, Verdict: "FAIL", Evidence: true, Defects: got.GetDetections(),
		}))
		for n := range 2 { // the frame and one crop
			m := expect(s, wire.KindEvidence, &wire.Evidence{})
			require.EqualValues(t, n, m.GetN())
			_, err := jpeg.Decode(bytes.NewReader(m.GetJpeg()))
			require.NoError(t, err)
		}
	}
}

func TestSettingsOfACompareThatCannotBeAreTold(t *testing.T) {
	station := compareStation(t)
	station.Compare = &wire.Compare{Tolerance: 17}
	s := start(t, scripted(twoDetections), station)
	s.ready()
	s.inspect(1, 0)
	s.exposed()
	got := s.inspected()
	require.Equal(t, wire.Fault_FAULT_MODEL, got.GetFault())
	require.Contains(t, got.GetFaultText(), "tolerance 17 px: take 1 to 16")
}

// large is a line of one product without defects, of boards that are larger than the model's input.
const large = "sim:?seed=1&product=3&clean=1&width=333&height=207"

func tiledPair(tb testing.TB) *wire.StationConfig {
	tb.Helper()
	return &wire.StationConfig{
		Name: "line1/aoi-1", Camera: large, BundleDir: pairBundle(tb), Method: methodPair,
		Template: captured(tb, large), TileOverlap: overlap,
	}
}

func TestEachTileOfASheetHasItsTemplateBesideIt(t *testing.T) {
	var near atomic.Int64
	s := start(t, scripted(func(spec infer.Spec, _ <-chan struct{}) error {
		clear(spec.Outputs[0].Values)
		const pixels = onnxtest.Side * onnxtest.Side
		differ := 0
		for i, v := range spec.Input.Floats[:pixels] {
			if v != spec.Input.Floats[pixels+i] {
				differ++
			}
		}
		if 20*differ < pixels {
			near.Add(1)
		}
		return nil
	}), tiledPair(t))
	s.ready()
	for job := range uint64(3) {
		near.Store(0)
		s.inspect(job, 0)
		s.exposed()
		got := s.answered()
		require.Equal(t, wire.Fault_FAULT_NONE, got.GetFault(), got.GetFaultText())
		require.EqualValues(t, 10*6, got.GetTiles())
		require.EqualValues(t, got.GetTiles(), near.Load())
	}
}
