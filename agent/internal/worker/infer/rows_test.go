package infer

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// listed is what a detector of torchvision gives, or, with images, one in a run of them.
func listed(images ...int64) []onnxfile.Port {
	open := slices.Concat(images, []int64{onnxfile.Dynamic})
	return []onnxfile.Port{
		{Name: "boxes", Elem: onnxfile.Float32, Dims: slices.Concat(open, []int64{4})},
		{Name: "labels", Elem: onnxfile.Int64, Dims: open},
		{Name: "scores", Elem: onnxfile.Float32, Dims: open},
	}
}

func TestOutputsOfAsManyRowsAsAreFoundGetAFixedNumber(t *testing.T) {
	m := &bundle.Manifest{
		Input: bundle.Input{
			Width: 96, Height: 64, Channels: 3, Layout: bundle.LayoutNCHW, Type: bundle.TypeFloat32,
		},
		Preprocess: bundle.Preprocess{
			Color: bundle.ColorRGB, Scale: new(float64), Pad: new(uint8),
			Mean: make([]float64, 3), Std: []float64{1, 1, 1},
		},
		Decoder: bundle.Decoder{
			Family: bundle.FamilyLabelled, ScoreFloor: 0.1, MaxDetections: 10, NoObject: bundle.NoObjectFirst,
			Outputs: map[string]string{"labels": "labels", "boxes": "boxes", "scores": "scores"},
		},
		Classes: []bundle.Class{{Name: "a", Threshold: 0.5}},
	}
	plan := tensor.NewPlan(m.Input, m.Preprocess)
	for name, c := range map[string]struct {
		input   []int64
		outputs []onnxfile.Port
		labels  []int64
	}{
		"torchvision": {[]int64{3, 64, 96}, listed(), []int64{1001}},
		"any size":    {[]int64{3, onnxfile.Dynamic, onnxfile.Dynamic}, listed(), []int64{1001}},
		"one image":   {[]int64{1, 3, 64, 96}, listed(1), []int64{1, 1001}},
		"any number of images": {
			[]int64{onnxfile.Dynamic, 3, 64, 96}, listed(onnxfile.Dynamic), []int64{1, 1001},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := onnxfile.Port{Name: "image", Elem: onnxfile.Float32, Dims: c.input}
			got, err := agree(&onnxfile.Model{Inputs: []onnxfile.Port{in}, Outputs: c.outputs}, m, plan)
			require.NoError(t, err)
			require.Len(t, got.shape, len(c.input))
			require.Equal(t, []int64{3, 64, 96}, got.shape[len(got.shape)-3:])
			require.False(t, got.batched, "rows of several images are not filled up")
			require.Equal(t, "labels/rows", got.outputs[0].Name)
			require.Equal(t, c.labels, got.outputs[0].Dims)
			require.Equal(t, append(c.labels, 4), got.outputs[1].Dims)
			require.Len(t, got.rows, 3)
			require.EqualValues(t, -1, got.rows[0].Fill)
			require.Equal(t, "labels", got.rows[0].Port.Name)
		})
	}
	wrong := onnxfile.Port{Name: "image", Elem: onnxfile.Float32, Dims: []int64{3, 64, 64}}
	_, err := agree(&onnxfile.Model{Inputs: []onnxfile.Port{wrong}, Outputs: listed()}, m, plan)
	require.ErrorContains(t, err, `input "image" is [3 64 64], bundle.yaml makes`)
}

// It would end the worker each time that it starts.
func TestOpenVINOIsNotTriedWithOpenRows(t *testing.T) {
	open := &contract{rows: make([]onnxfile.Rows, 1)}
	require.ErrorContains(t, open.suits(bundle.Provider{Name: bundle.ProviderOpenVINO}),
		"take openvino out of providers.order")
	for _, name := range []string{bundle.ProviderTensorRT, bundle.ProviderCUDA, bundle.ProviderCPU} {
		require.NoError(t, open.suits(bundle.Provider{Name: name}))
	}
	require.NoError(t, (&contract{}).suits(bundle.Provider{Name: bundle.ProviderOpenVINO}))
}
