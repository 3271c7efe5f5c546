package bundle_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

// normalized reads the manifest of one gray channel with lines of preprocess, as line 5.
func normalized(t *testing.T, lines string) (*bundle.Bundle, error) {
	t.Helper()
	before, after, found := strings.Cut(manifest, "decoder:")
	require.True(t, found)
	return bundle.Load(folder(t, before+"preprocess: {"+lines+"}\ndecoder:"+after))
}

func TestValuesThatNoInputCanHoldAreRefused(t *testing.T) {
	for lines, says := range map[string]string{
		"scale: .nan":    "scale: NaN is out of range (0.000001 to 1000000)",
		"scale: .inf":    "scale: +Inf is out of range",
		"scale: -.inf":   "scale: -Inf is out of range",
		"scale: 0":       "scale: 0 is out of range",
		"scale: -1":      "scale: -1 is out of range",
		"scale: 1e-300":  "scale: 1e-300 is out of range",
		"scale: 1000001": "scale: 1000001 is out of range",
		"mean: [.nan]":   "mean[0]: NaN is out of range (-1000000 to 1000000)",
		"mean: [-.inf]":  "mean[0]: -Inf is out of range",
		"mean: [1e7]":    "mean[0]: 10000000 is out of range",
		"std: [.nan]":    "std[0]: NaN is out of range (0.000001 to 1000000)",
		"std: [.inf]":    "std[0]: +Inf is out of range",
		"std: [-.inf]":   "std[0]: +Inf is out of range",
		"std: [-1e-7]":   "std[0]: 1e-07 is out of range",
		"std: [0]":       "std: 0 would divide by zero",
	} {
		_, err := normalized(t, lines)
		require.ErrorContains(t, err, "line 5: preprocess."+says, lines)
	}
	b, err := normalized(t, "scale: 1, mean: [127.5], std: [-1]")
	require.NoError(t, err)
	require.Equal(t, []float64{-1}, b.Manifest.Preprocess.Std)
}

func TestWhatAUint8InputWouldIgnoreIsRefused(t *testing.T) {
	read := func(lines string) error {
		_, err := pairs(t, "template: true", "template: true, type: uint8", "binarize: otsu",
			"binarize: otsu, pad: 255"+lines)
		return err
	}
	require.NoError(t, read(""))
	for _, c := range []struct{ key, value string }{
		{"scale", "1"},
		{"scale", "0.00392156862745098"}, // the default, which is not used, either
		{"mean", "[0, 0]"},
		{"std", "[1, 1]"},
	} {
		require.ErrorContains(t, read(", "+c.key+": "+c.value), "line 5: preprocess."+c.key+
			": pixels go into a uint8 input as they are (leave it out, or take float32)")
	}
	_, err := pairs(t, "otsu}", "otsu, scale: 1, mean: [0, 0], std: [1, 1]}")
	require.NoError(t, err, "float32")
}

func TestPixelsThatNoHalfHoldsAreRefused(t *testing.T) {
	halves := strings.Replace(manifest, "channels: 1", "channels: 1, type: float16", 1)
	for lines, says := range map[string]string{
		"":                           "",
		"preprocess: {scale: 256}\n": "",
		"preprocess: {scale: 257}\n": "preprocess.scale: the pixel 255 becomes 65535 in channel 0, and a " +
			"float16 input holds up to 65504",
		"preprocess: {mean: [-100], std: [0.001]}\n": "the pixel 0 becomes 100000 in channel 0",
	} {
		_, err := bundle.Load(folder(t, halves+lines))
		if says == "" {
			require.NoError(t, err, lines)
			continue
		}
		require.ErrorContains(t, err, says)
	}
}
