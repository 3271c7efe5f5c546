//go:build cgo

package ort

import (
	"testing"

	"github.com/stretchr/testify/require"
	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

func TestCUDATakesWhatTensorRTDoesNot(t *testing.T) {
	given := map[string]string{"device_id": "1", "trt_fp16_enable": "1"}
	require.Equal(t, []bundle.Provider{
		{Name: "tensorrt", Options: given},
		{Name: "cuda", Options: map[string]string{"device_id": "1"}},
	}, chain(bundle.Provider{Name: "tensorrt", Options: given}))
	require.Equal(t, []bundle.Provider{{Name: "tensorrt"}, {Name: "cuda"}},
		chain(bundle.Provider{Name: "tensorrt"}))
	require.Equal(t, []bundle.Provider{{Name: "cuda", Options: given}},
		chain(bundle.Provider{Name: "cuda", Options: given}))
	require.Empty(t, chain(bundle.Provider{Name: "cpu"}))
}

func TestThreadsSpinWithinARunUnlessToldOtherwise(t *testing.T) {
	library, err := Load("")
	require.NoError(t, err)
	defer func() { require.NoError(t, library.Close()) }()
	for way, entries := range map[string][2]string{
		"": {"1", "1"}, infer.SpinRun: {"1", "1"}, infer.SpinAlways: {"1", "0"}, infer.SpinNever: {"0", "1"},
	} {
		options, err := onnx.NewSessionOptions()
		require.NoError(t, err)
		require.NoError(t, configure(options, infer.Spec{Threads: 1, Spinning: way}))
		allowed, err := options.GetSessionConfigEntry(spinningKey)
		require.NoError(t, err)
		stopped, err := options.GetSessionConfigEntry(spinStopKey)
		require.NoError(t, err)
		require.Equal(t, entries, [2]string{allowed, stopped}, "spinning %q", way)
		require.NoError(t, options.Destroy())
	}
}

// Without a GPU all nodes stay with the CPU: a session with the settings of a GPU's is then refused, which
// also proves that this ONNX Runtime knows the key.
func TestWhatAGPUDoesNotRunIsNotLeftToTheCPU(t *testing.T) {
	library, err := Load("")
	require.NoError(t, err)
	defer func() { require.NoError(t, library.Close()) }()
	b, err := bundle.Load("../../../../../models/pcb-defects")
	require.NoError(t, err)
	raw, err := b.Read("model-int8.onnx", bundle.MaxModelBytes)
	require.NoError(t, err)
	plan := tensor.NewPlan(b.Manifest.Input, b.Manifest.Preprocess)
	for _, provider := range []string{"tensorrt", "cuda", "cpu"} {
		t.Run(provider, func(t *testing.T) {
			spec := infer.Spec{
				Model: raw, Provider: bundle.Provider{Name: provider}, Threads: 1, Images: 1,
				InputName: "images", InputShape: plan.Shape(), Input: tensor.NewInput(plan, 1),
				Outputs: []infer.Output{
					{
						Name: "scores", Elem: onnxfile.Float32, Shape: []int64{1, 6, 80, 80},
						Values: make([]float32, 6*80*80),
					},
					{
						Name: "distances", Elem: onnxfile.Float32, Shape: []int64{1, 48, 80, 80},
						Values: make([]float32, 48*80*80),
					},
				},
			}
			options, err := onnx.NewSessionOptions()
			require.NoError(t, err)
			defer func() { require.NoError(t, options.Destroy()) }()
			require.NoError(t, configure(options, spec))
			run := &runner{}
			defer func() { require.NoError(t, run.Close()) }()
			err = run.open(spec, options)
			if provider == "cpu" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "load model: "+provider+" does not run all of its operators")
			require.ErrorContains(t, err, "take "+provider+" out of providers.order")
		})
	}
}

// OpenVINO runs on the CPU with the worker's threads unless the bundle says otherwise.
func TestOpenVINOTakesTheThreadsOfARun(t *testing.T) {
	of := func(options map[string]string) map[string]string {
		return openVINOOptions(infer.Spec{
			Threads: 3, Provider: bundle.Provider{Name: "openvino", Options: options},
		})
	}
	require.Equal(t, map[string]string{"device_type": "CPU", "num_of_threads": "3"}, of(nil))
	require.Equal(t, map[string]string{"device_type": "CPU", "num_of_threads": "1", "precision": "FP32"},
		of(map[string]string{"num_of_threads": "1", "precision": "FP32"}))
	require.Equal(t, map[string]string{"device_type": "GPU.1"}, of(map[string]string{"device_type": "GPU.1"}))
}
