package bundle_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

const kinds = `name: kinds
version: "1.0.0"
task: classification
input: {width: 64, height: 64, channels: 1}
decoder: {family: classifier, activation: softmax}
classes:
  - {name: ok, threshold: 0.9, good: true}
  - {name: scratch, threshold: 0.5}
`

func TestAClassifierIsReadWithItsGoodClasses(t *testing.T) {
	b, err := bundle.Load(folder(t, kinds))
	require.NoError(t, err)
	require.Equal(t, bundle.TaskClassification, b.Manifest.Task)
	require.True(t, b.Manifest.Classes[0].Good)
	require.False(t, b.Manifest.Classes[1].Good)
	require.Equal(t, []bundle.Role{{Key: "scores"}}, b.Manifest.Decoder.Roles())
	known := strings.Replace(manifest, "threshold: 0.5", "threshold: 0.5, good: true", 1)
	_, err = bundle.Load(folder(t, known))
	require.NoError(t, err, "a detector may know a good thing, too")
}

func TestWhatMakesNoClassificationIsExplained(t *testing.T) {
	const lonely = "  - {name: scratch, threshold: 0.5}\n"
	for name, c := range map[string]struct{ in, from, to, says string }{
		"another task": {
			kinds, "task: classification", "task: detection",
			"decoder.family: classifier is for task classification (correct task or family)",
		},
		"a task of no family": {
			kinds, "classification", "guessing",
			`task: "guessing" is not known (one of anomaly, classification, `,
		},
		"no activation": {
			kinds, ", activation: softmax", "", "decoder.activation: missing: the model's outputs may be " +
				"scores, or what comes before them (softmax or sigmoid, or none where the graph ends in",
		},
		"an activation that nobody knows": {
			kinds, "softmax", "relu",
			`decoder.activation: "relu" is not known (one of softmax, sigmoid, none)`,
		},
		"an activation of boxes": {
			manifest, "yolov8", "yolov8, activation: sigmoid",
			"decoder.activation: family yolov8 has no use for it (leave it out)",
		},
		"no good class": {
			kinds, ", good: true", "", "classes: none of them is good: no part would ever pass " +
				"(write good: true at the classes of good parts)",
		},
		"softmax of one class": {
			kinds, lonely, "", "classes: softmax makes 1 of a single class, whatever the frame " +
				"(name the class of good parts, too, or use sigmoid)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, c.in, c.from)
			_, err := bundle.Load(folder(t, strings.Replace(c.in, c.from, c.to, 1)))
			require.ErrorContains(t, err, c.says)
		})
	}
	one := strings.Replace(strings.Replace(kinds, lonely, "", 1), "softmax", "sigmoid", 1)
	_, err := bundle.Load(folder(t, one))
	require.NoError(t, err, "one good class by itself")
}
