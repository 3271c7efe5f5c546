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

const pipeline = "yolov8-then-classifier"

func TestABundleOfTwoModelsIsJudgedByARealWorker(t *testing.T) {
	worker := realWorker(t)
	all, b := judged(t, worker, pipeline, "")
	spots, _ := judged(t, worker, pipeline, "scratched: {verdict: ignore}")
	for i, one := range all {
		expected, err := b.Expected(b.Manifest.Golden.Samples[i])
		require.NoError(t, err)
		require.Len(t, one.Defects, len(expected), one.Image)
		for n, defect := range one.Defects {
			require.Equal(t, expected[n].Class, defect.Class)
			require.InDelta(t, expected[n].Score, defect.Score, 0.02)
		}
		spotted := strings.Contains(fmt.Sprint(expected), "spotted")
		require.Equal(t, len(expected) > 0, one.Verdict == event.Fail, one.Image)
		require.Equal(t, len(expected) == 0, one.Verdict == event.Pass, one.Image)
		require.Equal(t, spotted, spots[i].Verdict == event.Fail, one.Image)
	}
	t.Run("eval", func(t *testing.T) {
		report := evaluate(t, worker, "--bundle", networks+pipeline, "--data", labelled(t, b),
			"--layout", "coco")
		require.Equal(t, 3, report.Images)
		require.InDelta(t, 1, report.F, 1e-9, "found as the samples say, by the names of the second model")
	})
	t.Run("check", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(networks+pipeline)))
		out, beside, err := said(t, "", "check", dir, "--worker", worker)
		require.NoError(t, err, beside)
		require.Contains(t, out, "5 classes")
		require.Contains(t, out, "3 golden samples agree")
		path := filepath.Join(dir, bundle.ManifestFile)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		edit := strings.NewReplacer("margin: 0.1", "margin: 3", "second.onnx", "model.onnx")
		wrong := edit.Replace(string(raw))
		require.NoError(t, os.WriteFile(path, []byte(wrong), 0o600))
		out, _, err = said(t, "", "check", dir, "--worker", worker)
		require.Error(t, err)
		require.Contains(t, out, "line 10: then.margin: 3 is out of range (0 to 2)")
		wrong = strings.Replace(wrong, "margin: 3", "margin: 0.1", 1)
		require.NoError(t, os.WriteFile(path, []byte(wrong), 0o600))
		out, _, err = said(t, "", "check", dir, "--worker", worker)
		require.Error(t, err)
		require.Contains(t, out, "the worker refuses: second model: ", "it is the first one's file")
	})
}

func TestWhatASecondModelMeasuresReachesTheEvent(t *testing.T) {
	all, b := judged(t, realWorker(t), "yolov8-then-measure", "")
	measured := 0
	for i, one := range all {
		expected, err := b.Expected(b.Manifest.Golden.Samples[i])
		require.NoError(t, err)
		require.Len(t, one.Defects, len(expected), one.Image)
		require.Equal(t, len(expected) > 0, one.Verdict == event.Fail, one.Image)
		for n, defect := range one.Defects {
			require.Equal(t, "spot", defect.Class)
			require.Len(t, defect.Measures, 2)
			for k, m := range defect.Measures {
				require.InDelta(t, expected[n].Measures[k], m.Value, 0.5)
			}
			measure := &defect.Measures[0]
			require.Equal(t, [2]string{"spot", "px"}, [2]string{measure.Name, measure.Unit})
			measured++
		}
	}
	require.Positive(t, measured)
}

// labelled makes a data set of a bundle's samples.
func labelled(t *testing.T, b *bundle.Bundle) string {
	t.Helper()
	type entry map[string]any
	var images, annotations, categories []entry
	ids := map[string]int{}
	for i, name := range b.ClassNames() {
		ids[name] = i + 1
		categories = append(categories, entry{"id": i + 1, "name": name})
	}
	dir := t.TempDir()
	for i, sample := range b.Manifest.Golden.Samples {
		raw, err := os.ReadFile(filepath.Join(b.Dir, sample.Image))
		require.NoError(t, err)
		name := filepath.Base(sample.Image)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
		images = append(images, entry{"id": i + 1, "file_name": name, "width": 400, "height": 300})
		expected, err := b.Expected(sample)
		require.NoError(t, err)
		for _, e := range expected {
			box := []float32{e.Box[0], e.Box[1], e.Box[2] - e.Box[0], e.Box[3] - e.Box[1]}
			annotations = append(annotations, entry{
				"id": len(annotations) + 1, "image_id": i + 1, "category_id": ids[e.Class], "bbox": box,
				"area": box[2] * box[3], "iscrowd": 0,
			})
		}
	}
	raw, err := json.Marshal(entry{"images": images, "annotations": annotations, "categories": categories})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "_annotations.coco.json"), raw, 0o600))
	return dir
}
