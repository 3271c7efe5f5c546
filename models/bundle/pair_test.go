package bundle_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

const paired = `name: pairs
version: "1.2.0"
serial: 3
input: {width: 640, height: 640, channels: 2, template: true}
preprocess: {binarize: otsu}
decoder: {family: dfl}
classes: [{name: open, threshold: 0.5}]
golden:
  samples: [{image: golden/a.png, template: golden/t.png, expect: golden/a.json}]
`

// pairs writes a bundle of a manifest, in which pieces are replaced, and reads it.
func pairs(t *testing.T, replace ...string) (*bundle.Bundle, error) {
	t.Helper()
	text := strings.NewReplacer(replace...).Replace(paired)
	return bundle.Load(write(t, folder(t, text), map[string]string{"golden/t.png": "png"}))
}

func TestABundleOfPairsIsCompletedWithDefaults(t *testing.T) {
	b, err := pairs(t)
	require.NoError(t, err)
	m := b.Manifest
	require.True(t, m.Input.Template)
	require.Equal(t, bundle.ColorGray, m.Preprocess.Color, "the frame is gray, the template has the rest")
	require.Equal(t, []float64{0, 0}, m.Preprocess.Mean)
	require.Equal(t, []float64{1, 1}, m.Preprocess.Std)
	require.Equal(t, map[string]string{"scores": "scores", "distances": "distances"}, m.Decoder.Outputs)
	require.Equal(t, "golden/t.png", m.Golden.Samples[0].Template)

	b, err = pairs(t, "family: dfl", "family: dfl, outputs: {scores: s, distances: d}")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"scores": "s", "distances": "d"}, b.Manifest.Decoder.Outputs)

	b, err = pairs(t, "dfl", "yolov8")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"predictions": ""}, b.Manifest.Decoder.Outputs, "the only one")
}

func TestBinarizeIsANumberOrOtsuQuotedOrNot(t *testing.T) {
	for text, want := range map[string]uint8{
		`otsu`: 0, `"otsu"`: 0, `128`: 128, `"128"`: 128, `1`: 1, `255`: 255, `'43'`: 43,
	} {
		b, err := pairs(t, "binarize: otsu", "binarize: "+text)
		require.NoError(t, err, text)
		wanted, threshold, err := b.Manifest.Preprocess.Binary()
		require.NoError(t, err, text)
		require.True(t, wanted, text)
		require.Equal(t, want, threshold, text)
	}
	for _, text := range []string{"0", "256", "-1", "12.5", "Otsu", "otsu ±", "0x80", "1e2", "true"} {
		_, err := pairs(t, "binarize: otsu", "binarize: "+text)
		require.ErrorContains(t, err, "line 5: preprocess.binarize", text)
		require.ErrorContains(t, err, "otsu, or the least gray that becomes white, 1 to 255", text)
	}
	wanted, _, err := bundle.Preprocess{}.Binary()
	require.NoError(t, err)
	require.False(t, wanted)
}

func TestFaultsOfPairsAreNamedWithTheirLine(t *testing.T) {
	for name, c := range map[string]struct {
		replace []string
		says    string
	}{
		"one channel too few": {
			[]string{"channels: 2", "channels: 1"},
			"line 4: input.channels: 1 channels with a template (2: the frame's gray and the template's)",
		},
		"colour": {
			[]string{"channels: 2", "channels: 4"}, "line 4: input.channels: 4 channels with a template",
		},
		"two channels without a template": {
			[]string{", template: true", ""}, "line 4: input.channels: 2 channels (1 (gray) or 3 (colour))",
		},
		"gray": {
			[]string{"preprocess: {binarize: otsu}\n", ""},
			"preprocess.binarize: missing: a template is compared in black and white",
		},
		"no template of a sample": {
			[]string{"template: golden/t.png, ", ""},
			"line 9: golden.samples[0].template: no file is named (name the golden template of the image)",
		},
		"template of a sample missing": {
			[]string{"t.png", "u.png"}, `line 9: golden.samples[0].template: file "golden/u.png" is missing`,
		},
		"template outside": {
			[]string{"golden/t.png", "../t.png"},
			`line 9: golden.samples[0].template: file "../t.png" is missing`,
		},
		"template for a model without": {
			[]string{"channels: 2, template: true", "channels: 1"},
			"line 9: golden.samples[0].template: the model takes no template " +
				"(leave it out, or set input.template)",
		},
		"family": {[]string{"dfl", "dlf"}, "line 6: decoder.family"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pairs(t, c.replace...)
			require.ErrorContains(t, err, c.says)
		})
	}
	_, err := bundle.Load(folder(t, strings.Replace(manifest, "channels: 1}",
		"channels: 3}\npreprocess: {binarize: 128}", 1)))
	require.ErrorContains(t, err, "line 5: preprocess.binarize: the model takes colour")
}

func TestAnAbsurdNumberOfChannelsIsAFaultAndNoMemory(t *testing.T) {
	for _, n := range []string{"9000000000000000000", "4000000000000", "-7"} {
		_, err := pairs(t, "channels: 2, template: true", "channels: "+n, "template: golden/t.png, ", "",
			"preprocess: {binarize: otsu}\n", "")
		require.ErrorContains(t, err, "line 4: input.channels: "+n+" channels")
		require.NotContains(t, err.Error(), "preprocess.mean", "what follows from it is not told")
	}
}

func TestVariantsOfAProviderAreFilesOfTheBundle(t *testing.T) {
	order := "providers:\n  order:\n    - {name: cuda}\n    - {name: cpu, model: int8.onnx}\n"
	dir := folder(t, manifest+order)
	_, err := bundle.Load(dir)
	require.ErrorContains(t, err, `line 14: providers.order[1].model: file "int8.onnx" is missing or `+
		"outside the bundle (name an ONNX file of the bundle)")
	require.NotContains(t, err.Error(), "order[0]")
	write(t, dir, map[string]string{"int8.onnx": "smaller"})
	b, err := bundle.Load(dir)
	require.NoError(t, err)
	require.Equal(t, "model.onnx", b.Manifest.Providers.Order[0].Model)
	require.Equal(t, "int8.onnx", b.Manifest.Providers.Order[1].Model)
	require.Equal(t, filepath.Join(dir, "int8.onnx"), b.ModelPath("int8.onnx"))
	before := b.Digest
	write(t, dir, map[string]string{"int8.onnx": "another"})
	b, err = bundle.Load(dir)
	require.NoError(t, err)
	require.NotEqual(t, before, b.Digest, "a variant is part of the bundle")
	require.NoError(t, os.Remove(filepath.Join(dir, "int8.onnx")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "int8.onnx")))
	_, err = bundle.Load(dir)
	require.ErrorContains(t, err, `"int8.onnx" is not a plain file`)
}

func TestAComparisonHasOneClassAndNoFiles(t *testing.T) {
	m := bundle.Comparison()
	require.Len(t, m.Classes, 1)
	require.Equal(t, "difference", m.Classes[0].Name)
	require.Positive(t, m.Classes[0].Threshold)
	require.Positive(t, m.Decoder.MaxDetections)
}

// Whatever a manifest says, it is a bundle or a list of faults.
func FuzzManifest(f *testing.F) {
	f.Add(manifest)
	f.Add(paired)
	f.Add(strings.Replace(paired, "otsu", "0128", 1))
	f.Add(strings.Replace(paired, "channels: 2", "channels: 4000000000000", 1))
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, bundle.ManifestFile), []byte(text), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, bundle.ModelFile), nil, 0o600))
		b, err := bundle.Load(dir)
		if err != nil {
			return
		}
		m := b.Manifest
		require.Len(t, m.Preprocess.Mean, m.Input.Channels)
		_, _, err = m.Preprocess.Binary()
		require.NoError(t, err)
		require.True(t, !m.Input.Template || m.Input.Channels == 2 && m.Preprocess.Binarize != "")
	})
}
