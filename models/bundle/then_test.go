package bundle_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

const pipeline = manifest + `then:
  model: kinds.onnx
  margin: 0.25
  input: {width: 96, height: 64}
  decoder: {family: classifier, activation: softmax}
  classes:
    - {name: dust, threshold: 0.8, good: true}
    - {name: scratch, threshold: 0.5}
`

// pipelined writes a bundle of two models, and a variant of the second.
func pipelined(tb testing.TB, manifest string) string {
	tb.Helper()
	return write(tb, folder(tb, manifest), map[string]string{"kinds.onnx": "more", "kinds-int8.onnx": "less"})
}

func TestASecondModelIsCompletedWithDefaults(t *testing.T) {
	b, err := bundle.Load(pipelined(t, pipeline))
	require.NoError(t, err)
	then := b.Manifest.Then
	require.Equal(t, []string{"open", "short"}, then.Of)
	require.Equal(t, [2]int{16, 1}, [2]int{then.Most, then.Batch})
	require.Equal(t, bundle.ColorRGB, then.Preprocess.Color)
	require.Equal(t, bundle.Letterbox, then.Preprocess.Resize)
	require.Equal(t, "kinds.onnx", b.Manifest.Providers.Order[2].Then)
	require.Equal(t, bundle.TaskDetection, b.Manifest.Task)
	require.Equal(t, []string{"open", "short", "dust", "scratch"}, b.ClassNames())
	require.Len(t, b.Manifest.First().Classes, 2)
	require.Nil(t, b.Manifest.First().Then)

	good := strings.Replace(pipeline, "threshold: 0.4", "threshold: 0.4, good: true", 1)
	b, err = bundle.Load(pipelined(t, good))
	require.NoError(t, err)
	require.Equal(t, []string{"open"}, b.Manifest.Then.Of, "what is good needs no second look")
}

func TestASecondModelMayKnowFalseAlarmsAlone(t *testing.T) {
	one := strings.Replace(strings.Replace(pipeline, "softmax", "sigmoid", 1),
		"    - {name: scratch, threshold: 0.5}\n", "", 1)
	b, err := bundle.Load(pipelined(t, one))
	require.NoError(t, err)
	require.Equal(t, []string{"open", "short", "dust"}, b.ClassNames())
}

func TestTheClassesOfFalseAlarmsAreKnown(t *testing.T) {
	good := strings.Replace(pipeline, "threshold: 0.4", "threshold: 0.4, good: true", 1)
	b, err := bundle.Load(pipelined(t, good))
	require.NoError(t, err)
	for class, want := range map[int]bool{-1: false, 0: false, 1: false, 2: true, 3: false, 4: false} {
		require.Equal(t, want, b.Manifest.Dismisses(class), class)
	}
	require.False(t, b.Manifest.First().Dismisses(1), "what one model knows to be good is no false alarm")
}

func TestTheSecondModelIsABundleOfItsOwn(t *testing.T) {
	order := `providers: {order: [{name: tensorrt, batch: 8, then: kinds-int8.onnx, options: ` +
		`{trt_fp16_enable: "1", trt_profile_min_shapes: "images:1x1x640x640"}}, {name: cpu}]}` + "\n"
	b, err := bundle.Load(pipelined(t, strings.Replace(pipeline, "margin:", "batch: 4\n  margin:", 1)+order))
	require.NoError(t, err)
	second := b.Second()
	require.Equal(t, b.Digest, second.Digest)
	m := second.Manifest
	require.Equal(t, bundle.TaskClassification, m.Task)
	require.Empty(t, m.Golden.Samples, "the bundle's samples are of both models")
	require.Equal(t, []bundle.Provider{
		{
			Name: "tensorrt", Model: "kinds-int8.onnx", Batch: 4, Then: "",
			Options: map[string]string{"trt_fp16_enable": "1"},
		},
		{Name: "cpu", Model: "kinds.onnx", Batch: 4},
	}, m.Providers.Order)
	require.Len(t, b.Manifest.Providers.Order[0].Options, 2)
	raw, err := second.Read("kinds.onnx", 10)
	require.NoError(t, err)
	require.Equal(t, "more", string(raw))

	alone, err := bundle.Load(folder(t, manifest))
	require.NoError(t, err)
	require.Nil(t, alone.Second())
	require.Equal(t, alone.Manifest.Classes, alone.Manifest.First().Classes)
}

func TestTheDigestCoversTheSecondModel(t *testing.T) {
	dir := pipelined(t, pipeline)
	first, err := bundle.Load(dir)
	require.NoError(t, err)
	write(t, dir, map[string]string{"kinds.onnx": "More"})
	second, err := bundle.Load(dir)
	require.NoError(t, err)
	require.NotEqual(t, first.Digest, second.Digest)
	_, err = first.Second().Read("kinds.onnx", 10)
	require.ErrorIs(t, err, bundle.ErrChanged)
}

func TestSamplesOfAPipelineExpectClassesOfBothModels(t *testing.T) {
	for class, says := range map[string]string{
		"open": "", "scratch": "",
		"nick": `class "nick" is not in the manifest: write one of open, short, dust, scratch`,
	} {
		dir := write(t, pipelined(t, pipeline), map[string]string{
			"golden/a.json": `[{"class":"` + class + `","score":0.9,"box":[1,2,3,4]}]`,
		})
		b, err := bundle.Load(dir)
		require.NoError(t, err)
		_, err = b.Expected(b.Manifest.Golden.Samples[0])
		if says == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, says)
		}
	}
}

func TestWhatIsWrongWithASecondModelIsExplained(t *testing.T) {
	for name, c := range map[string]struct{ from, to, says string }{
		"no file": {
			"kinds.onnx", "kind.onnx", `line 12: then.model: file "kind.onnx" is missing or outside the ` +
				"bundle (name the second model's ONNX file, beside bundle.yaml)",
		},
		"a file that is not named": {"  model: kinds.onnx\n", "", "line 11: then.model: no file is named"},
		"a file elsewhere":         {"kinds.onnx", "../kinds.onnx", "line 12: then.model: file"},
		"an input too small": {
			"width: 96", "width: 9", "line 14: then.input.width: 9 is out of range (32 to 4096)",
		},
		"an input without a height": {
			", height: 64}", "}", "line 14: then.input.height: 0 is out of range",
		},
		"an input of two channels": {
			"height: 64}", "height: 64, channels: 2}", "then.input.channels: 2 channels",
		},
		"a template": {
			"height: 64}", "height: 64, channels: 2, template: true}",
			"line 14: then.input.template: a crop has no golden template beside it",
		},
		"an unknown key":  {"margin:", "margins:", "line 13: then.margins: unknown key (did you mean mar"},
		"a wide margin":   {"0.25", "2.5", "line 13: then.margin: 2.5 is out of range (0 to 2)"},
		"a negative one":  {"0.25", "-0.1", "then.margin: -0.1 is out of range"},
		"too many crops":  {"margin:", "most: 257\n  margin:", "then.most: 257 is out of range (1 to 256)"},
		"too large a run": {"margin:", "batch: 65\n  margin:", "then.batch: 65 is out of range (1 to 64)"},
		"an endless run": {
			"96, height: 64", "4096, height: 4096}\n  batch: 64\n  preprocess: {resize: stretch",
			"then.batch: 64 images of 4096×4096×3 are 3221225472 values",
		},
		"boxes once more": {
			"{family: classifier, activation: softmax}", "{family: yolov8}",
			`line 15: then.decoder.family: "yolov8" is not known (one of classifier, measure)`,
		},
		"no activation": {", activation: softmax", "", "line 15: then.decoder.activation: missing"},
		"a background": {
			"activation: softmax", "activation: softmax, background: 0",
			"line 15: then.decoder.background: family classifier has no use for it",
		},
		"a scale of pixels": {
			"height: 64}", "height: 64, type: uint8}\n  preprocess: {scale: 1}",
			"line 15: then.preprocess.scale: pixels go into a uint8 input as they are",
		},
		"nothing but good of softmax": {
			"name: scratch,", "name: scratch, good: true,", "then.classes: all of them are good, and " +
				"softmax finds one in whatever it sees: each part would pass (leave good out at those",
		},
		"no class": {
			"classes:\n    - {name: dust, threshold: 0.8, good: true}\n    - {name: scratch, threshold: 0.5}",
			"classes: []", "then.classes: 0 classes (name each output of the model, in its order)",
		},
		"a threshold below the floor": {
			"0.8, good", "0.001, good", "line 17: then.classes[0].threshold: 0.001 is out of range",
		},
		"a class of both": {
			"name: dust", "name: open", "line 17: then.classes[0].name: open is a class of the first " +
				"model, too (give one of them another name",
		},
		"of nothing": {
			"margin:", "of: []\n  margin:", "line 13: then.of: no class: the second model would see nothing",
		},
		"of what nobody finds": {
			"margin:", "of: [open, nick]\n  margin:", `then.of[1]: "nick" is no class of the first model`,
		},
		"of one class twice": {"margin:", "of: [open, open]\n  margin:", "then.of[1]: open is there twice"},
		"of what is good": {
			"margin: 0.25", "of: [short]", "line 13: then.of[0]: short is good: a part would pass by it " +
				"where the second model is not sure (leave good out of the class",
		},
		"a variant that is not there": {
			"then:\n", "providers: {order: [{name: cpu, then: small.onnx}]}\nthen:\n",
			`line 11: providers.order[0].then: file "small.onnx" is missing`,
		},
		"a first model that sees the frame as a whole": {
			"{family: yolov8}", "{family: classifier, activation: softmax}",
			"line 11: then: the first model's task is classification: it gives no boxes of things",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := strings.Replace(pipeline, "threshold: 0.4", "threshold: 0.4, good: true", 1)
			require.Contains(t, in, c.from)
			_, err := bundle.Load(pipelined(t, strings.Replace(in, c.from, c.to, 1)))
			require.ErrorContains(t, err, c.says)
		})
	}
	lonely := manifest + "providers: {order: [{name: cpu, then: kinds.onnx}]}\n"
	_, err := bundle.Load(pipelined(t, lonely))
	require.ErrorContains(t, err, "line 11: providers.order[0].then: there is no second model (leave it out")
}
