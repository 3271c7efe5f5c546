package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/models/bundle"
)

const networks = "../../internal/worker/infer/ort/testdata/families/"

// judged replays a network's own samples, by rules of the station.
func judged(t *testing.T, worker, family, rules string) ([]replayed, *bundle.Bundle) {
	t.Helper()
	dir, err := filepath.Abs(networks + family)
	require.NoError(t, err)
	b, err := bundle.Load(dir)
	require.NoError(t, err)
	images := t.TempDir()
	for _, sample := range b.Manifest.Golden.Samples {
		raw, bad := os.ReadFile(filepath.Join(dir, sample.Image))
		require.NoError(t, bad)
		require.NoError(t, os.WriteFile(filepath.Join(images, filepath.Base(sample.Image)), raw, 0o600))
	}
	path := file(t, fmt.Sprintf("place: a/b/c\nstations:\n  - {name: line3/aoi-1, camera: \"sim:\", "+
		"bundle: %s, verdict: {classes: {%s}}}\n", dir, rules))
	out, beside, err := said(t, "", "replay", path, "--worker", worker, "--images", images, "-o", "json")
	require.NoError(t, err, beside)
	var all []replayed
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, len(b.Manifest.Golden.Samples))
	return all, b
}

// A detector as torchvision exports it, drafted and filled in, finds what its own samples say.
func TestADetectorOfTorchvisionIsDraftedAndJudgesByARealWorker(t *testing.T) {
	worker, family := realWorker(t), "labelled-torchvision"
	dir := filepath.Join(t.TempDir(), "frcnn")
	out, err := drafted(t, filepath.Join(networks, family, bundle.ModelFile), "--out", dir)
	require.NoError(t, err)
	require.Contains(t, out, "no_object: first where label 0 is the background")
	path := filepath.Join(dir, bundle.ManifestFile)
	filled := strings.NewReplacer("  - {name: \"class-0\", threshold: 0.5}",
		"  - {name: bar, threshold: 0.5}\n  - {name: disc, threshold: 0.5}", "stretch", "letterbox").
		Replace(string(read(t, path)))
	require.NoError(t, os.WriteFile(path, []byte(filled), 0o600))
	_, beside, err := said(t, "", "check", dir, "--worker", worker)
	require.NoError(t, err, beside)
	all, b := judged(t, worker, family, "")
	for i, one := range all {
		expected, err := b.Expected(b.Manifest.Golden.Samples[i])
		require.NoError(t, err)
		require.Len(t, one.Defects, len(expected))
		for k, d := range one.Defects {
			require.Equal(t, expected[k].Class, d.Class)
			require.InDeltaSlice(t, expected[k].Box[:], d.Box[:], 0.5)
		}
	}
}

func TestWholeFramesAreJudgedByARealWorker(t *testing.T) {
	worker := realWorker(t)
	t.Run("classes", func(t *testing.T) {
		all, b := judged(t, worker, "classifier", "")
		sure, _ := judged(t, worker, "classifier", "good: {threshold: 0.99999}")
		for i, one := range all {
			expected, err := b.Expected(b.Manifest.Golden.Samples[i])
			require.NoError(t, err)
			if class := expected[0].Class; class != "good" {
				require.Equal(t, event.Fail, one.Verdict, one.Image)
				require.Equal(t, class, one.Defects[0].Class)
				require.Equal(t, event.Fail, sure[i].Verdict)
				continue
			}
			require.Equal(t, event.Pass, one.Verdict, one.Image)
			require.Empty(t, one.Defects)
			require.Equal(t, event.Unknown, sure[i].Verdict)
			require.Equal(t, "unsure", sure[i].Reason)
		}
	})
	t.Run("anomalies", func(t *testing.T) {
		all, b := judged(t, worker, "anomaly", "")
		lenient, _ := judged(t, worker, "anomaly", "anomaly: {threshold: 0.9}")
		passed := 0
		for i, one := range all {
			expected, err := b.Expected(b.Manifest.Golden.Samples[i])
			require.NoError(t, err)
			if len(expected) == 0 {
				require.Equal(t, event.Pass, one.Verdict, one.Image)
				continue
			}
			require.Equal(t, event.Fail, one.Verdict, one.Image)
			require.NotEmpty(t, one.Defects[0].Outline)
			require.InEpsilon(t, expected[0].Area, one.Defects[0].Area, 0.05)
			if lenient[i].Verdict == event.Pass {
				passed++
			}
		}
		require.Equal(t, 1, passed, "one sample is between 0.5 and 0.9")
	})
}
