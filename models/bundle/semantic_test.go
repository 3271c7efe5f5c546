package bundle_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

// semantic is the least manifest of a semantic mask, with more keys of its decoder and these classes.
func semantic(keys string, classes ...string) string {
	list := make([]string, 0, len(classes))
	for _, c := range classes {
		list = append(list, "{name: "+c+", threshold: 0.5}")
	}
	return "name: a\nversion: 1.0.0\ninput: {width: 64, height: 64}\ndecoder: {family: semantic" + keys +
		"}\nclasses: [" + strings.Join(list, ", ") + "]\n"
}

func TestASemanticMaskIsCompleted(t *testing.T) {
	for name, c := range map[string]struct {
		manifest   string
		activation string
		background int
		least      float64
	}{
		"one class": {semantic("", "scratch"), bundle.ActivationSigmoid, -1, 1},
		"all given": {
			semantic(", activation: none, background: 1, min_area: 9", "a", "b"), bundle.ActivationNone, 1, 9,
		},
		"no background": {
			semantic(", activation: sigmoid, background: -1", "a", "b"), bundle.ActivationSigmoid, -1, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := bundle.Load(write(t, t.TempDir(), map[string]string{
				bundle.ManifestFile: c.manifest, bundle.ModelFile: "onnx",
			}))
			require.NoError(t, err)
			require.Equal(t, bundle.TaskSemantic, b.Manifest.Task)
			require.Equal(t, c.activation, b.Manifest.Decoder.Activation)
			require.Equal(t, c.background, *b.Manifest.Decoder.Background)
			require.InDelta(t, c.least, b.Manifest.Decoder.MinArea, 0)
		})
	}
}

func TestASemanticMaskThatWouldFindNothingIsRefused(t *testing.T) {
	for says, manifest := range map[string]string{
		"softmax of one class is 1 everywhere":            semantic(", activation: softmax", "a"),
		"decoder.activation: missing":                     semantic(", background: 0", "a", "b"),
		"decoder.background: missing":                     semantic(", activation: none", "a", "b"),
		"it is the only class: nothing would ever be":     semantic(", background: 0", "a"),
		"decoder.background: 2 is out of range (-1 to 1)": semantic(", background: 2", "a", "b"),
		"decoder.min_area: -1 is out of range":            semantic(", min_area: -1", "a", "b"),
		"semantic is for task semantic":                   semantic("", "a") + "task: oriented\n",
		`semantic reads no "masks" (it reads mask)`:       semantic(", outputs: {masks: a}", "a"),
		"decoder.activation: \"tanh\" is":                 semantic(", activation: tanh", "a", "b"),
		"yolov8-obb has no use for it": strings.Replace(
			semantic(", background: 0", "a"), "semantic", "yolov8-obb", 1),
	} {
		_, err := bundle.Load(write(t, t.TempDir(), map[string]string{
			bundle.ManifestFile: manifest, bundle.ModelFile: "onnx",
		}))
		require.ErrorContains(t, err, says)
	}
}

func TestGoodClassesThatHideDefectsAreRefused(t *testing.T) {
	const boxes = "name: a\nversion: 1.0.0\ninput: {width: 64, height: 64}\ndecoder: {family: yolov8%s}\n" +
		"classes: [{name: a, threshold: 1, good: true}%s]\n"
	good := func(s string) string { return strings.Replace(s, "{name: b,", "{name: b, good: true,", 1) }
	for says, manifest := range map[string]string{
		"classes: all of them are good": fmt.Sprintf(boxes, "", ""),
		"all of them are good: each":    good(semantic(", activation: none, background: 0", "a", "b")),
		"a box of a good class would suppress": fmt.Sprintf(boxes, ", class_agnostic: true",
			", {name: b, threshold: 1}"),
		"decoder.score_floor: 1 is out of range": fmt.Sprintf(boxes, ", score_floor: 1", ""),
		"": fmt.Sprintf(boxes, ", score_floor: 0.99",
			", {name: b, threshold: 1}"),
	} {
		_, err := bundle.Load(write(t, t.TempDir(), map[string]string{
			bundle.ManifestFile: manifest, bundle.ModelFile: "onnx",
		}))
		if says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, says)
	}
}
