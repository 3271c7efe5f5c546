package draft_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/draft"
	"github.com/sightline-edge/sightline/models/onnxfile"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

const elem = onnxfile.Float32

func model(outputs ...onnxfile.Port) *onnxfile.Model {
	return &onnxfile.Model{
		Metadata: map[string]string{}, Weights: map[onnxfile.Elem]int{elem: 9, onnxfile.Int64: 20},
		Inputs:  []onnxfile.Port{{Name: "images", Elem: elem, Dims: []int64{1, 3, 480, 640}}},
		Outputs: outputs,
	}
}

// load writes the drafted bundle and loads it as a node does.
func load(t *testing.T, d *draft.Draft) *bundle.Bundle {
	t.Helper()
	b, err := tried(t, d)
	require.NoError(t, err, d.Manifest)
	return b
}

func tried(t *testing.T, d *draft.Draft) (*bundle.Bundle, error) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, bundle.ManifestFile), []byte(d.Manifest), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, d.Model), []byte("weights"), 0o600))
	return bundle.Load(dir)
}

func TestADraftIsABundleThatLoads(t *testing.T) {
	m := model(onnxfile.Port{Name: "output0", Elem: elem, Dims: []int64{1, 6, 6300}})
	m.Metadata["names"] = `{0: 'bent pin', 1: "it's missing"}`
	d, err := draft.New("my models/best (1).onnx", m)
	require.NoError(t, err)
	b := load(t, d)
	require.Equal(t, "best-1-", b.Manifest.Name)
	require.Equal(t, bundle.TaskDetection, b.Manifest.Task)
	require.Equal(t, []string{"bent pin", "it's missing"}, b.ClassNames())
	require.Equal(t, [2]int{640, 480}, [2]int{b.Manifest.Input.Width, b.Manifest.Input.Height})
	require.Equal(t, "output0", b.Manifest.Decoder.Outputs["predictions"])
	require.Equal(t, "float32", d.Precision)
	require.Equal(t, "yolov8", d.Guesses[0].Family)
	for _, f := range d.Fill {
		require.NotContains(t, f, "names of")
	}
}

func TestAModelOfAnyFileNameIsNamedInItsBundle(t *testing.T) {
	m := model(onnxfile.Port{Name: "output0", Elem: elem, Dims: []int64{1, 6, 6300}})
	for _, file := range []string{
		"best #2.onnx", "v1: a.onnx", "null.onnx", `it's "best".onnx`, "{a.onnx", "*a.onnx",
		"grün.onnx", "1e3.onnx",
	} {
		t.Run(file, func(t *testing.T) {
			d, err := draft.New(file, m)
			require.NoError(t, err)
			b := load(t, d).Manifest
			require.Equal(t, file, b.Model)
		})
	}
	for _, file := range []string{"best\xff.onnx", "a\nserial: 7.onnx", "a\x7f.onnx"} {
		_, err := draft.New(file, m)
		require.ErrorIs(t, err, draft.ErrDraft)
		require.ErrorContains(t, err, "no bundle holds a file named")
	}
}

func TestWhatAModelDoesNotSayIsLeftToItsUser(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*onnxfile.Model)
		fill string
	}{
		"names":      {func(*onnxfile.Model) {}, "classes: names of 2, in the order of the model's outputs"},
		"thresholds": {func(*onnxfile.Model) {}, "classes: the threshold of each"},
		"one name of two": {
			func(m *onnxfile.Model) { m.Metadata["names"] = "{0: 'open', 2: 'short'}" },
			"classes: names of 1, in the order",
		},
		"twice the same name": {
			func(m *onnxfile.Model) { m.Metadata["names"] = "{0: 'open', 1: 'open'}" },
			"classes: names of 1, in the order",
		},
		"the training's input": {func(*onnxfile.Model) {}, "preprocess: must be that of the training"},
		"golden samples":       {func(*onnxfile.Model) {}, "golden: add pictures"},
		"any size": {
			func(m *onnxfile.Model) { m.Inputs[0].Dims[2] = onnxfile.Dynamic },
			"input: the model takes images of any",
		},
		"nothing fits": {
			func(m *onnxfile.Model) { m.Outputs[0].Dims = []int64{1, 2, 3, 4, 5} },
			"decoder: none fits these outputs",
		},
		"a template": {
			func(m *onnxfile.Model) { m.Inputs[0].Dims[1] = 2 },
			"preprocess: two channels are taken for a board",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := model(onnxfile.Port{Name: "output0", Elem: elem, Dims: []int64{1, 6, 6300}})
			c.edit(m)
			d, err := draft.New("best.onnx", m)
			require.NoError(t, err)
			found := false
			for _, f := range d.Fill {
				found = found || len(f) >= len(c.fill) && f[:len(c.fill)] == c.fill
			}
			require.True(t, found, d.Fill)
			load(t, d)
		})
	}
}

func TestAModelThatTakesNoImageGetsNoDraft(t *testing.T) {
	m := model(onnxfile.Port{Name: "output0", Elem: elem, Dims: []int64{1, 6, 6300}})
	m.Inputs = append(m.Inputs, m.Inputs[0])
	_, err := draft.New("best.onnx", m)
	require.ErrorIs(t, err, draft.ErrDraft)
	require.ErrorContains(t, err, "2 of its inputs have four dimensions")
}

func TestALayoutOfChannelsLastIsSeen(t *testing.T) {
	m := model(onnxfile.Port{Name: "output0", Elem: elem, Dims: []int64{1, 6, 6300}})
	m.Inputs[0].Dims = []int64{1, 480, 640, 3}
	d, err := draft.New("best.onnx", m)
	require.NoError(t, err)
	in := load(t, d).Manifest.Input
	require.Equal(t, bundle.Input{
		Name: "images", Width: 640, Height: 480, Channels: 3, Layout: "nhwc", Type: "float32",
	}, in)
}

func TestTheReferenceModelsAreRecognised(t *testing.T) {
	for folder, template := range map[string]bool{"pcb-defects": false, "pcb-defects-pair": true} {
		raw, err := os.ReadFile(filepath.Join("..", folder, "model.onnx"))
		require.NoError(t, err)
		m, err := onnxfile.Parse(raw)
		require.NoError(t, err)
		d, err := draft.New("model.onnx", m)
		require.NoError(t, err)
		got := load(t, d).Manifest
		require.Equal(t, bundle.FamilyDFL, got.Decoder.Family)
		require.Equal(t, template, got.Input.Template)
		require.Len(t, got.Classes, 6)
		require.Equal(t, bundle.TypeUint8, got.Input.Type)
	}
}

func TestASecondInputGetsTheImagesSize(t *testing.T) {
	m := model(
		onnxfile.Port{Name: "labels", Elem: onnxfile.Int64, Dims: []int64{1, 300}},
		onnxfile.Port{Name: "boxes", Elem: elem, Dims: []int64{1, 300, 4}},
		onnxfile.Port{Name: "scores", Elem: elem, Dims: []int64{1, 300}},
	)
	m.Inputs = append(m.Inputs,
		onnxfile.Port{Name: "orig_target_sizes", Elem: onnxfile.Int64, Dims: []int64{onnxfile.Dynamic, 2}},
		onnxfile.Port{Name: "history", Elem: elem, Dims: []int64{1, 1 << 40, 1 << 40}})
	d, err := draft.New("best.onnx", m)
	require.NoError(t, err)
	require.Equal(t, bundle.FamilyLabelled, d.Guesses[0].Family)
	given := map[string][]float64{"orig_target_sizes": {640, 480}}
	require.Equal(t, given, load(t, d).Manifest.Input.Constants)
	require.Contains(t, d.Fill[0], `input.constants: "orig_target_sizes" takes 2 numbers`)
}

// Torchvision's detectors take a picture without the number of images, and give as many rows as they find.
func TestADetectorOfTorchvisionIsRecognised(t *testing.T) {
	m := model(
		onnxfile.Port{Name: "boxes", Elem: elem, Dims: []int64{onnxfile.Dynamic, 4}},
		onnxfile.Port{Name: "labels", Elem: onnxfile.Int64, Dims: []int64{onnxfile.Dynamic}},
		onnxfile.Port{Name: "scores", Elem: elem, Dims: []int64{onnxfile.Dynamic}},
	)
	m.Inputs[0].Dims = []int64{3, 480, 640}
	d, err := draft.New("frcnn.onnx", m)
	require.NoError(t, err)
	require.Equal(t, bundle.FamilyLabelled, d.Guesses[0].Family)
	got := load(t, d).Manifest
	require.Equal(t, bundle.NoObjectFirst, got.Decoder.NoObject)
	require.Equal(t, [3]int{640, 480, 3}, [3]int{got.Input.Width, got.Input.Height, got.Input.Channels})
	require.Contains(t, strings.Join(d.Fill, "\n"),
		"decoder: no_object: first where label 0 is the background")
}

func TestAnInputOfDimsThatOverflowIsNotAConstant(t *testing.T) {
	for _, dims := range [][]int64{{3, 1 << 62}, {64, 1 << 58}, {math.MaxInt64, math.MaxInt64}} {
		m := model(onnxfile.Port{Name: "output0", Elem: elem, Dims: []int64{1, 6, 6300}})
		m.Inputs = append(m.Inputs, onnxfile.Port{Name: "state", Elem: elem, Dims: dims})
		d, err := draft.New("best.onnx", m)
		require.NoError(t, err)
		require.Empty(t, load(t, d).Manifest.Input.Constants)
	}
}

func TestWhatTheScoresOfBoxesAreIsAsked(t *testing.T) {
	m := model(
		onnxfile.Port{Name: "boxes", Elem: elem, Dims: []int64{1, 8732, 4}},
		onnxfile.Port{Name: "scores", Elem: elem, Dims: []int64{1, 8732, 3}},
	)
	d, err := draft.New("best.onnx", m)
	require.NoError(t, err)
	require.Equal(t, bundle.FamilySSD, load(t, d).Manifest.Decoder.Family)
	require.Contains(t, strings.Join(d.Fill, "\n"), "decoder: coordinates, corners, no_object and activation")
}

// What lets parts pass is asked, whatever the draft has so that it loads.
func TestGoodClassesAndThresholdsOfAnomaliesAreAsked(t *testing.T) {
	for name, c := range map[string]struct {
		outputs []onnxfile.Port
		has     string
		fill    []string
	}{
		"a classification": {
			[]onnxfile.Port{{Name: "logits", Elem: elem, Dims: []int64{1, 3}}},
			`decoder: {family: classifier, outputs: {scores: "logits"}, activation: softmax}`,
			[]string{
				"decoder: activation: softmax or sigmoid, or none", "classes: good: true at those of good",
			},
		},
		"a mask": {
			[]onnxfile.Port{{Name: "mask", Elem: elem, Dims: []int64{1, 4, 480, 640}}},
			`decoder: {family: semantic, outputs: {mask: "mask"}}`,
			[]string{
				"decoder: activation: softmax or sigmoid, or none", "background: the number of the class",
			},
		},
		"queries": {
			[]onnxfile.Port{
				{Name: "logits", Elem: elem, Dims: []int64{1, 100, 3}},
				{Name: "boxes", Elem: elem, Dims: []int64{1, 100, 4}},
			},
			`decoder: {family: detr, `,
			[]string{"decoder: activation: sigmoid or softmax, where the last"},
		},
		"a map": {
			[]onnxfile.Port{{Name: "output", Elem: elem, Dims: []int64{1, 1, 480, 640}}},
			`decoder: {family: anomaly, outputs: {map: "output"}}`,
			[]string{"decoder: anomaly: image_threshold, pixel_threshold, min and max as the training"},
		},
		"a map with labels": {
			[]onnxfile.Port{
				{Name: "pred_score", Elem: elem, Dims: []int64{1}},
				{Name: "pred_label", Elem: 9, Dims: []int64{1}},
				{Name: "anomaly_map", Elem: elem, Dims: []int64{1, 1, 480, 640}},
			},
			`outputs: {map: "anomaly_map", score: "pred_score"}, anomaly: {normalized: true}}`,
			[]string{"decoder: anomaly: normalized: true if the model gives 0 to 1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := draft.New("model.onnx", model(c.outputs...))
			require.NoError(t, err)
			require.Contains(t, d.Manifest, c.has)
			for _, text := range c.fill {
				require.Contains(t, strings.Join(d.Fill, "\n"), text)
			}
		})
	}
}

// The models are real ones, small, of each family, with the manifests that they have.
func TestAModelOfEachFamilyIsRecognised(t *testing.T) {
	folders, err := filepath.Glob("../../agent/internal/worker/infer/ort/testdata/families/*")
	require.NoError(t, err)
	seen := map[string]bool{bundle.FamilyDFL: true} // the reference models'
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			b, err := bundle.Load(folder)
			require.NoError(t, err)
			want := b.Manifest.Decoder
			seen[want.Family] = true
			raw, err := os.ReadFile(filepath.Join(folder, b.Manifest.Model))
			require.NoError(t, err)
			m, err := onnxfile.Parse(raw)
			require.NoError(t, err)
			d, err := draft.New(b.Manifest.Model, m)
			require.NoError(t, err)
			var families []string
			for _, g := range d.Guesses {
				families = append(families, g.Family)
				for role, name := range want.Outputs {
					same := g.Outputs[role] == name
					require.True(t, same || g.Family != want.Family || name == "", g.Outputs)
				}
			}
			require.Contains(t, families, want.Family)
			_, err = tried(t, d)
			switch families[0] + d.Outputs[len(d.Outputs)-1].Name {
			case bundle.FamilyClassifier + "logits": // a guess would let defects pass
				require.ErrorContains(t, err, "classes: none of them is good")
			case bundle.FamilyAnomaly + "pred_score":
				require.ErrorContains(t, err, "decoder.anomaly: missing")
			case bundle.FamilySemantic + "mask":
				require.ErrorContains(t, err, "decoder.background: missing")
			default:
				require.NoError(t, err, d.Manifest)
			}
		})
	}
	require.Len(t, seen, len(bundle.Families()), "each family has a model")
}

// Whatever a file says, its draft is YAML.
func FuzzNew(f *testing.F) {
	raw, err := os.ReadFile(filepath.Join("..", "pcb-defects", "model.onnx"))
	require.NoError(f, err)
	reference, err := onnxfile.Parse(raw)
	require.NoError(f, err)
	f.Add("model.onnx", onnxtest.Model(onnxtest.Ports(encoded(reference.Inputs), encoded(reference.Outputs))))
	images := onnxtest.Port{Name: "images", Elem: 1, Dims: []int64{0, 3, 480, 640}}
	for _, dims := range [][]int64{{1, 2}, {3, 1 << 62}, {64, 1 << 58}} {
		f.Add("v1: #2.onnx", onnxtest.Model(onnxtest.Graph(
			[]onnxtest.Port{images, {Name: "state", Elem: 7, Dims: dims}},
			[]onnxtest.Port{{Name: "output0", Elem: 1, Dims: []int64{1, 6, 6300}}})))
	}
	f.Fuzz(func(t *testing.T, file string, raw []byte) {
		m, err := onnxfile.Parse(raw)
		if err != nil {
			return
		}
		d, err := draft.New(file, m)
		if err != nil {
			require.ErrorIs(t, err, draft.ErrDraft)
			return
		}
		var manifest bundle.Manifest
		require.True(t, strictyaml.Parse([]byte(d.Manifest), &manifest).Readable(), d.Manifest)
		require.Equal(t, d.Model, manifest.Model)
	})
}

// encoded are ports as a test writes them: the reference model without its weights.
func encoded(list []onnxfile.Port) []onnxtest.Port {
	all := make([]onnxtest.Port, 0, len(list))
	for _, p := range list {
		all = append(all, onnxtest.Port{Name: p.Name, Elem: uint64(p.Elem), Dims: p.Dims})
	}
	return all
}

// A model in half precision is drafted as what it is, and its boxes are not taken for labels.
func TestAModelOfHalvesIsDraftedAsOne(t *testing.T) {
	m := model(onnxfile.Port{Name: "output0", Elem: onnxfile.Float16, Dims: []int64{1, 6, 6300}})
	m.Inputs[0].Elem = onnxfile.Float16
	d, err := draft.New("best.onnx", m)
	require.NoError(t, err)
	require.Equal(t, bundle.FamilyYOLOv8, d.Guesses[0].Family)
	require.Equal(t, bundle.TypeFloat16, load(t, d).Manifest.Input.Type)
	for _, f := range d.Fill {
		require.NotContains(t, f, "float16")
	}
}
