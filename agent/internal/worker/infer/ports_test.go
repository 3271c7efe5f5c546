package infer

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

func TestAModelThatIsNotWhatItsManifestSaysIsRefusedWithTheReason(t *testing.T) {
	type ports = []onnxtest.Port
	in := onnxtest.Port{Name: "images", Elem: 1, Dims: []int64{1, 3, 64, 96}}
	out := onnxtest.Port{Name: "output0", Elem: 1, Dims: []int64{1, 6, 50}}
	give := func(name string, values ...float64) func(*bundle.Manifest) {
		return func(m *bundle.Manifest) { m.Input.Constants = map[string][]float64{name: values} }
	}
	with := func(p onnxtest.Port, edit func(*onnxtest.Port)) onnxtest.Port { edit(&p); return p }
	for name, c := range map[string]struct {
		inputs, outputs ports
		edit            func(*bundle.Manifest)
		says            string
	}{
		"fits": {inputs: ports{in}, outputs: ports{out}},
		"weights as in": {
			inputs:  ports{in, {Name: "weights", Elem: 1, Dims: []int64{5}}},
			outputs: ports{out},
		},
		"dynamic batch": {
			inputs:  ports{with(in, func(p *onnxtest.Port) { p.Dims = []int64{0, 3, 64, 96} })},
			outputs: ports{with(out, func(p *onnxtest.Port) { p.Dims = []int64{0, 6, 50} })},
		},
		"other size": {
			inputs:  ports{with(in, func(p *onnxtest.Port) { p.Dims = []int64{1, 3, 640, 640} })},
			outputs: ports{out}, says: `input "images" is [1 3 640 640], bundle.yaml makes [1 3 64 96]`,
		},
		"bytes in": {
			inputs:  ports{with(in, func(p *onnxtest.Port) { p.Elem = 2 })},
			outputs: ports{out}, says: `input "images" is uint8, bundle.yaml says float32`,
		},
		"half floats in": {
			inputs:  ports{with(in, func(p *onnxtest.Port) { p.Elem = 10 })},
			outputs: ports{out}, says: `input "images" is float16, bundle.yaml says float32`,
		},
		"half floats on both sides": {
			inputs:  ports{with(in, func(p *onnxtest.Port) { p.Elem = 10 })},
			outputs: ports{with(out, func(p *onnxtest.Port) { p.Elem = 10 })},
			edit:    func(m *bundle.Manifest) { m.Input.Type = bundle.TypeFloat16 },
		},
		"signed bytes out": {
			inputs: ports{in}, outputs: ports{with(out, func(p *onnxtest.Port) { p.Elem = 3 })},
			says: `output "output0" is int8, the decoder reads float32, float16, int64, int32 and uint8`,
		},
		"other classes": {
			inputs: ports{in}, outputs: ports{with(out,
				func(p *onnxtest.Port) { p.Dims = []int64{1, 84, 50} })},
			says: `output "output0" is [1 84 50], which means 80 classes; bundle.yaml names 2`,
		},
		"dynamic cells": {
			inputs: ports{in}, outputs: ports{with(out,
				func(p *onnxtest.Port) { p.Dims = []int64{1, 6, 0} })},
			says: `output "output0" is [1 6 ?]: export the model with fixed sizes`,
		},
		"flat output": {
			inputs: ports{in}, outputs: ports{with(out, func(p *onnxtest.Port) { p.Dims = []int64{300} })},
			says: `output "output0" is [300], the decoder yolov8 reads [1 6 N]`,
		},
		"endless cells": {
			inputs: ports{in}, outputs: ports{with(out,
				func(p *onnxtest.Port) { p.Dims = []int64{1, 6, 1 << 40} })},
			says: `has 1099511627776 cells`,
		},
		"two outputs": {
			inputs: ports{in}, outputs: ports{out, with(out, func(p *onnxtest.Port) { p.Name = "masks" })},
			says: `it has 2 outputs ("output0", "masks"): name one in bundle.yaml`,
		},
		"two outputs, one named": {
			inputs: ports{in}, outputs: ports{out, with(out, func(p *onnxtest.Port) { p.Name = "masks" })},
			edit: func(m *bundle.Manifest) { m.Decoder.Outputs["predictions"] = "output0" },
		},
		"no such output": {
			inputs: ports{in}, outputs: ports{out},
			edit: func(m *bundle.Manifest) { m.Decoder.Outputs["predictions"] = "boxes" },
			says: `it has no output "boxes", only "output0"`,
		},
		"two inputs": {
			inputs: ports{in, with(in, func(p *onnxtest.Port) { p.Name = "template" })}, outputs: ports{out},
			edit: func(m *bundle.Manifest) { m.Input.Name = "images" },
			says: `it has 2 inputs ("images", "template")`,
		},
		"an input that is always the same": {
			inputs: ports{in, {Name: "size", Elem: 7, Dims: []int64{0, 2}}}, outputs: ports{out},
			edit: give("size", 96, 64),
		},
		"another type of it": {
			inputs: ports{in, {Name: "size", Elem: 10, Dims: []int64{1, 2}}}, outputs: ports{out},
			edit: give("size", 96, 64),
			says: `input "size" is float16, constants are float32, int32 or int64`,
		},
		"too few numbers": {
			inputs: ports{in, {Name: "size", Elem: 7, Dims: []int64{1, 2}}}, outputs: ports{out},
			edit: give("size", 96), says: `input "size" is [1 2], input.constants gives it 1 numbers`,
		},
		"numbers that do not divide": {
			inputs: ports{in, {Name: "size", Elem: 1, Dims: []int64{0, 2}}}, outputs: ports{out},
			edit: give("size", 96, 64, 3), says: `input "size" is [? 2], input.constants gives it 3 numbers`,
		},
		"half a pixel": {
			inputs: ports{in, {Name: "size", Elem: 6, Dims: []int64{2}}}, outputs: ports{out},
			edit: give("size", 96, 64.5), says: `input "size" is int32, input.constants gives it 64.5`,
		},
		"no such input": {
			inputs: ports{in}, outputs: ports{out},
			edit: give("size", 96, 64),
			says: `it has no input "size", only "images": correct input.constants`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &bundle.Manifest{
				Input: bundle.Input{
					Width: 96, Height: 64, Channels: 3, Layout: bundle.LayoutNCHW,
					Type: bundle.TypeFloat32,
				},
				Preprocess: bundle.Preprocess{
					Color: bundle.ColorRGB, Scale: new(float64), Pad: new(uint8),
					Mean: make([]float64, 3), Std: []float64{1, 1, 1},
				},
				Decoder: bundle.Decoder{Family: bundle.FamilyYOLOv8, Outputs: map[string]string{}},
				Classes: make([]bundle.Class, 2),
			}
			if c.edit != nil {
				c.edit(m)
			}
			s, err := onnxfile.Parse(onnxtest.Model(onnxtest.Graph(c.inputs, c.outputs)))
			require.NoError(t, err)
			got, err := agree(s, m, tensor.NewPlan(m.Input, m.Preprocess))
			if c.says != "" {
				require.ErrorIs(t, err, onnxfile.ErrModel)
				require.ErrorContains(t, err, c.says)
				return
			}
			require.NoError(t, err)
			require.Equal(t, []int64{1, 6, 50}, got.outputs[0].Dims)
		})
	}
}

// anomalib writes no sizes of its outputs, and some models have no score.
func TestOutputsOfAnAnomalyModel(t *testing.T) {
	heat := onnxtest.Port{Name: "anomaly_map", Elem: 1, Dims: []int64{0, 0, 0, 0}}
	score := onnxtest.Port{Name: "pred_score", Elem: 1, Dims: []int64{0}}
	label := onnxtest.Port{Name: "pred_label", Elem: 9, Dims: []int64{0}} // bool
	in := onnxtest.Port{Name: "input", Elem: 1, Dims: []int64{0, 3, 64, 96}}
	type ports = []onnxtest.Port
	for name, c := range map[string]struct {
		outputs ports
		named   map[string]string
		want    [][]int64
		assumed []string
		says    string
	}{
		"all four": {
			outputs: ports{score, label, heat, reshaped(label, 0, 0, 0, 0)},
			want:    [][]int64{{1, 1, 64, 96}, {1}}, assumed: []string{`"anomaly_map" as [? 1 64 96]`},
		},
		"a map alone": {outputs: ports{reshaped(heat, 1, 32, 48)}, want: [][]int64{{1, 32, 48}}},
		"two dimensions of a score": {
			outputs: ports{reshaped(heat, 0, 1, 64, 96), reshaped(score, 0, 0)},
			want:    [][]int64{{1, 1, 64, 96}, {1, 1}}, assumed: []string{`"pred_score" as [? 1]`},
		},
		"a score that is named and missing": {
			outputs: ports{heat}, named: map[string]string{"map": "anomaly_map", "score": "112"},
			says: `it has no output "112", only "anomaly_map"`,
		},
		"no map": {outputs: ports{score}, says: `it has no output "anomaly_map", only "pred_score"`},
		"a map of another name": {
			outputs: ports{label, {Name: "output", Elem: 1, Dims: []int64{1, 1, 8, 8}}},
			named:   map[string]string{"map": "output"}, want: [][]int64{{1, 1, 8, 8}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &bundle.Manifest{
				Input: bundle.Input{
					Width: 96, Height: 64, Channels: 3, Layout: bundle.LayoutNCHW, Type: bundle.TypeFloat32,
				},
				Preprocess: bundle.Preprocess{
					Color: bundle.ColorRGB, Scale: new(float64), Pad: new(uint8),
					Mean: make([]float64, 3), Std: []float64{1, 1, 1},
				},
				Decoder: bundle.Decoder{
					Family: bundle.FamilyAnomaly, Outputs: map[string]string{"map": "anomaly_map"},
					Anomaly: bundle.Anomaly{Normalized: true},
				},
				Classes: make([]bundle.Class, 1),
			}
			if c.named != nil {
				m.Decoder.Outputs = c.named
			}
			s, err := onnxfile.Parse(onnxtest.Model(onnxtest.Graph(ports{in}, c.outputs)))
			require.NoError(t, err)
			got, err := agree(s, m, tensor.NewPlan(m.Input, m.Preprocess))
			if c.says != "" {
				require.ErrorIs(t, err, onnxfile.ErrModel)
				require.ErrorContains(t, err, c.says)
				return
			}
			require.NoError(t, err)
			require.Len(t, got.outputs, len(c.want))
			for i := range c.want {
				require.Equal(t, c.want[i], got.outputs[i].Dims)
			}
			require.Equal(t, c.assumed, got.assumed)
			failed := fmt.Errorf("%w: shape mismatch", ErrRun)
			if c.assumed == nil {
				require.Equal(t, failed, got.explain(failed))
				return
			}
			require.ErrorIs(t, got.explain(failed), ErrRun)
			require.ErrorContains(t, got.explain(failed),
				"is taken, "+c.assumed[0]+": if that is wrong, export it")
			require.Equal(t, ErrGolden, got.explain(ErrGolden))
		})
	}
}

func TestGridOfADFLModel(t *testing.T) {
	scores := onnxtest.Port{Name: "scores", Elem: 1, Dims: []int64{0, 2, 8, 12}}
	distances := onnxtest.Port{Name: "distances", Elem: 1, Dims: []int64{0, 64, 8, 12}}
	in := onnxtest.Port{Name: "images", Elem: 2, Dims: []int64{1, 2, 64, 96}}
	type ports = []onnxtest.Port
	for name, c := range map[string]struct {
		outputs ports
		says    string
	}{
		"fits":          {outputs: ports{distances, scores}},
		"no distances":  {outputs: ports{scores}, says: `it has no output "distances", only "scores"`},
		"other classes": {outputs: ports{distances, reshaped(scores, 0, 3, 8, 12)}, says: "means 3 classes"},
		"odd sides": {
			outputs: ports{scores, reshaped(distances, 0, 63, 8, 12)},
			says:    "four times 2 to 64 bins",
		},
		"too many bins": {outputs: ports{scores, reshaped(distances, 0, 400, 8, 12)}, says: "2 to 64 bins"},
		"two grids":     {outputs: ports{scores, reshaped(distances, 0, 64, 4, 6)}, says: "one grid"},
		"no whole cells": {
			outputs: ports{reshaped(scores, 0, 2, 9, 12), reshaped(distances, 0, 64, 9, 12)},
			says:    "does not divide",
		},
		"oblong cells": {
			outputs: ports{reshaped(scores, 0, 2, 8, 6), reshaped(distances, 0, 64, 8, 6)},
			says:    "into squares",
		},
		"flat": {
			outputs: ports{reshaped(scores, 2, 96), distances},
			says:    "reads scores [1 classes h w]",
		},
		"dynamic columns": {outputs: ports{reshaped(scores, 0, 2, 8, 0), distances}, says: "fixed sizes"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &bundle.Manifest{
				Input: bundle.Input{
					Width: 96, Height: 64, Channels: 2, Template: true, Layout: bundle.LayoutNCHW,
					Type: bundle.TypeUint8,
				},
				Preprocess: bundle.Preprocess{
					Color: bundle.ColorGray, Binarize: bundle.Otsu, Scale: new(float64), Pad: new(uint8),
					Mean: make([]float64, 2), Std: []float64{1, 1},
				},
				Decoder: bundle.Decoder{
					Family:  bundle.FamilyDFL,
					Outputs: map[string]string{"scores": "scores", "distances": "distances"},
				},
				Classes: make([]bundle.Class, 2),
			}
			s, err := onnxfile.Parse(onnxtest.Model(onnxtest.Graph(ports{in}, c.outputs)))
			require.NoError(t, err)
			got, err := agree(s, m, tensor.NewPlan(m.Input, m.Preprocess))
			if c.says != "" {
				require.ErrorIs(t, err, onnxfile.ErrModel)
				require.ErrorContains(t, err, c.says)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "scores", got.outputs[0].Name)
			require.Equal(t, []int64{1, 64, 8, 12}, got.outputs[1].Dims)
		})
	}
}

func reshaped(p onnxtest.Port, dims ...int64) onnxtest.Port {
	p.Dims = dims
	return p
}
