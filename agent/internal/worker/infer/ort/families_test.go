//go:build cgo

package ort_test

import (
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

const networks = "testdata/families/"

// colours reads a picture as a camera brings it: blue, green, red.
func colours(t *testing.T, path string) *frame.Frame {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	picture, err := png.Decode(file)
	require.NoError(t, err)
	f := &frame.Frame{}
	require.NoError(t, f.Shape(picture.Bounds().Dx(), picture.Bounds().Dy(), 3))
	t.Cleanup(f.Release)
	for y := range f.Height {
		for x := range f.Width {
			r, g, b, _ := picture.At(x, y).RGBA()
			copy(f.Pix[y*f.Stride+3*x:], []byte{byte(b >> 8), byte(g >> 8), byte(r >> 8)})
		}
	}
	return f
}

// The networks of models/vectors: their golden samples say what an independent decoder found, and are proven
// when a bundle is loaded.
func TestNetworksOfEachFamilyFindWhatTheReferenceFindsAndAllocateNothing(t *testing.T) {
	dirs, err := filepath.Glob(networks + "*")
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			s, err := load(t, dir, "")
			require.NoError(t, err)
			require.Equal(t, "cpu", s.Provider)
			sample := s.Bundle.Manifest.Golden.Samples[0]
			expected, err := s.Bundle.Expected(sample)
			require.NoError(t, err)
			require.NotEmpty(t, expected, "the first sample shows something")
			canvas := tensor.NewCanvas(s.Plan)
			t.Cleanup(canvas.Close)
			require.NoError(t, canvas.Fit(colours(t, filepath.Join(dir, sample.Image))))
			canvases := []*tensor.Canvas{canvas}
			require.Zero(t, alloctest.Least(10, func() {
				r, err := inferred(s, canvases, monotime.Now()+int64(time.Minute))
				if err != nil || len(r[0].Detections) < len(expected) {
					t.Error(r, err)
				}
			}))
		})
	}
}

// A provider whose masks are others than the maker's is refused, though its boxes are the same.
func TestAnotherAreaThanTheSamplesIsRefused(t *testing.T) {
	for _, family := range []string{
		bundle.FamilyYOLOv8OBB, bundle.FamilyYOLOv8Seg, bundle.FamilyYOLOv5Seg, bundle.FamilySemantic,
	} {
		t.Run(family, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(networks+family)))
			path := filepath.Join(dir, "golden", "1.json")
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Contains(t, string(raw), `"area": `)
			more := strings.Replace(string(raw), `"area": `, `"area": 1`, 1)
			require.NoError(t, os.WriteFile(path, []byte(more), 0o600))
			_, err = load(t, dir, "")
			require.ErrorIs(t, err, infer.ErrGolden)
			require.ErrorContains(t, err, "has an area of")
		})
	}
}

// The same network in half precision finds the same, in the same order.
func TestHalfPrecisionFindsWhatItsTwinFinds(t *testing.T) {
	r := library(t)
	whole, err := loadWith(t, r, networks+"yolov8", "")
	require.NoError(t, err)
	half, err := loadWith(t, r, networks+"yolov8-half", "")
	require.NoError(t, err)
	require.Equal(t, bundle.TypeFloat16, half.Bundle.Manifest.Input.Type)
	for _, sample := range whole.Bundle.Manifest.Golden.Samples {
		picture := colours(t, filepath.Join(whole.Bundle.Dir, sample.Image))
		var found [2][]detect.Detection
		for i, s := range []*infer.Session{whole, half} {
			canvas := tensor.NewCanvas(s.Plan)
			require.NoError(t, canvas.Fit(picture))
			r, err := inferred(s, []*tensor.Canvas{canvas}, 0)
			require.NoError(t, err)
			found[i] = slices.Clone(r[0].Detections)
			canvas.Close()
		}
		require.Len(t, found[1], len(found[0]))
		for i, want := range found[0] {
			require.Equal(t, want.Class, found[1][i].Class)
			require.InDelta(t, want.Score, found[1][i].Score, 0.005)
			require.InDeltaSlice(t, want.Box[:], found[1][i].Box[:], 0.2, "%s", sample.Image)
		}
	}
}

// Crops of one run are independent of each other: what a batch finds is what each crop finds alone.
func TestCropsInBatchesAreJudgedAsAlone(t *testing.T) {
	for _, family := range []string{"yolov8-then-classifier", "yolov8-then-measure"} {
		t.Run(family, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(networks+family)))
			path := filepath.Join(dir, bundle.ManifestFile)
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			batched := strings.Replace(string(raw), "then:\n", "then:\n  batch: 8\n  most: 12\n", 1)
			require.NoError(t, os.WriteFile(path, []byte(batched), 0o600))
			r := library(t)
			s, err := loadWith(t, r, dir, "") // proves the golden samples
			require.NoError(t, err)
			alone, err := loadWith(t, r, networks+family, "")
			require.NoError(t, err)
			for _, sample := range s.Bundle.Manifest.Golden.Samples {
				picture := colours(t, filepath.Join(dir, sample.Image))
				var results [2][]detect.Detection
				for i, one := range []*infer.Session{s, alone} {
					canvas := tensor.NewCanvas(one.Plan)
					t.Cleanup(canvas.Close)
					require.NoError(t, canvas.Fit(picture))
					found, err := inferred(one, []*tensor.Canvas{canvas}, 0)
					require.NoError(t, err)
					results[i] = found[0].Detections
				}
				require.Len(t, results[0], len(results[1]))
				for i, d := range results[0] {
					require.Equal(t, results[1][i].Class, d.Class)
					require.InDelta(t, results[1][i].Score, d.Score, 1e-4)
					require.InDeltaSlice(t, results[1][i].Measures, d.Measures, 1e-2)
				}
			}
		})
	}
}
