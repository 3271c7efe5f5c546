package bundle_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

const unusual = `name: unusual
version: "1.0.0"
input: {width: 64, height: 64}
decoder:
  family: anomaly
  anomaly: {image_threshold: 21.5, pixel_threshold: 18, min: 0, max: 60}
classes: [{name: anomaly}]
`

func TestAnAnomalyHasThresholdsOfItsTraining(t *testing.T) {
	b, err := bundle.Load(folder(t, unusual))
	require.NoError(t, err)
	m := b.Manifest
	require.Equal(t, bundle.TaskAnomaly, m.Task)
	require.InDelta(t, 0.5, m.Classes[0].Threshold, 0)
	require.InDelta(t, 21.5, *m.Decoder.Anomaly.ImageThreshold, 0)
	require.InDelta(t, 0, *m.Decoder.Anomaly.Min, 0)
	require.Equal(t, map[string]string{"map": "anomaly_map"}, m.Decoder.Outputs, "the score is optional")
	own := strings.Replace(unusual, "name: anomaly}", "name: scratch, threshold: 0.7}", 1)
	own = strings.Replace(own, "  anomaly: {", "  outputs: {map: output, score: \"112\"}\n  anomaly: {", 1)
	b, err = bundle.Load(folder(t, own))
	require.NoError(t, err)
	require.InDelta(t, 0.7, b.Manifest.Classes[0].Threshold, 0)
	require.Equal(t, map[string]string{"map": "output", "score": "112"}, b.Manifest.Decoder.Outputs)
	_, err = bundle.Load(folder(t, strings.Replace(unusual,
		"{image_threshold: 21.5, pixel_threshold: 18, min: 0, max: 60}", "{normalized: true}", 1)))
	require.NoError(t, err)
}

func TestWhatMakesNoAnomalyIsExplained(t *testing.T) {
	const numbers = "{image_threshold: 21.5, pixel_threshold: 18, min: 0, max: 60}"
	for name, c := range map[string]struct{ from, to, says string }{
		"no thresholds": {
			"  anomaly: " + numbers + "\n", "", "decoder.anomaly: missing: nothing in a model tells which " +
				"numbers are an anomaly (image_threshold, pixel_threshold, min and max as the training",
		},
		"one threshold": {
			", pixel_threshold: 18", "", "line 6: decoder.anomaly.pixel_threshold: missing (as the training",
		},
		"no range": {
			"max: 60", "max: 0", "decoder.anomaly.max: 0 is not above min, 0 (correct min or max)",
		},
		"no number":         {"min: 0", "min: .nan", "decoder.anomaly.min: NaN is out of range"},
		"an endless number": {"max: 60", "max: .inf", "decoder.anomaly.max: +Inf is out of range"},
		"normalized twice": {
			"{image", "{normalized: true, image", "decoder.anomaly.image_threshold: the model's own " +
				"normalization has used it (leave it or normalized out)",
		},
		"two classes": {
			"[{name: anomaly}]", "[{name: anomaly}, {name: dent}]",
			"classes: 2 classes: an anomaly map knows one, what is not as usual (name one, such as anomaly)",
		},
		"something good": {
			"{name: anomaly}", "{name: usual, good: true}",
			"classes[0].good: an anomaly is nothing good: no part would ever fail (leave it out)",
		},
		"an output that nothing reads": {
			"  family: anomaly\n", "  family: anomaly\n  outputs: {pred_mask: pred_mask}\n",
			`decoder.outputs.pred_mask: anomaly reads no "pred_mask" (it reads map, score)`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, unusual, c.from)
			_, err := bundle.Load(folder(t, strings.Replace(unusual, c.from, c.to, 1)))
			require.ErrorContains(t, err, c.says)
		})
	}
	boxes := strings.Replace(manifest, "yolov8", "yolov8, anomaly: {normalized: true}", 1)
	_, err := bundle.Load(folder(t, boxes))
	require.ErrorContains(t, err, "decoder.anomaly: family yolov8 has no use for it (leave it out)")
}
