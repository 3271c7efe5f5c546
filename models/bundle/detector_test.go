package bundle_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

// detector is a manifest with another decoder and input.
func detector(decoder, input string) string {
	text := strings.Replace(manifest, "{family: yolov8}", "{"+decoder+"}", 1)
	return strings.Replace(text, "channels: 1}", "channels: 1"+input+"}", 1)
}

func TestKeysOfDetectorsAreCompleted(t *testing.T) {
	for family, want := range map[string][4]string{
		bundle.FamilyYOLOv5:   {},
		bundle.FamilyDETR:     {bundle.ActivationSigmoid, "", "", ""},
		bundle.FamilyLabelled: {"", "", "", bundle.NoObjectNone},
		bundle.FamilySSD: {
			bundle.ActivationNone, bundle.CoordinatesPixels, bundle.CornersXYXY, bundle.NoObjectNone,
		},
	} {
		b, err := bundle.Load(folder(t, detector("family: "+family, "")))
		require.NoError(t, err)
		d := b.Manifest.Decoder
		require.Equal(t, want, [4]string{d.Activation, d.Coordinates, d.Corners, d.NoObject}, family)
		require.Equal(t, bundle.TaskDetection, b.Manifest.Task)
	}
}

func TestConstantsOfAModelAreRead(t *testing.T) {
	b, err := bundle.Load(folder(t, detector("family: labelled", ", constants: {size: [640, 480.5]}")))
	require.NoError(t, err)
	require.Equal(t, map[string][]float64{"size": {640, 480.5}}, b.Manifest.Input.Constants)
}

func TestFaultsOfDetectorsAreExplained(t *testing.T) {
	for name, c := range map[string]struct{ decoder, input, says string }{
		"a use for nothing": {
			"family: yolov5, corners: xyxy", "",
			"line 5: decoder.corners: family yolov5 has no use for it (leave it out)",
		},
		"no activation of queries": {
			"family: detr, activation: none", "", `decoder.activation: "none" is not known`,
		},
		"the last label": {
			"family: labelled, no_object: last", "",
			`decoder.no_object: "last" is not known (one of none, first)`,
		},
		"the image twice": {
			"family: labelled", ", name: images, constants: {images: [1]}",
			`input.constants.images: "images" is the image's input`,
		},
		"no name":    {"family: labelled", ", constants: {'': [1]}", `"" is the image's input, or none`},
		"no numbers": {"family: labelled", ", constants: {size: []}", "constants.size: 0 numbers (1 to 64)"},
		"not finite": {"family: labelled", ", constants: {size: [.nan]}", "constants.size[0]: NaN is out"},
		"too many":   {"family: labelled", ", constants: {size: [1e10]}", "size[0]: 10000000000 is out"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bundle.Load(folder(t, detector(c.decoder, c.input)))
			require.ErrorContains(t, err, c.says)
		})
	}
	one := detector("family: ssd, activation: softmax", "")
	one = strings.Replace(one, "  - {name: short, threshold: 0.4}\n", "", 1)
	_, err := bundle.Load(folder(t, one))
	require.ErrorContains(t, err, "softmax of one class is 1 everywhere")
	_, err = bundle.Load(folder(t, strings.Replace(one, "softmax", "softmax, no_object: first", 1)))
	require.NoError(t, err)
}
