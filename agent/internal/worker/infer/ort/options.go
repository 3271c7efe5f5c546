//go:build cgo

package ort

import (
	"errors"
	"fmt"
	"runtime"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
)

const spinningKey = "session.intra_op.allow_spinning"

// sessionOptions says where and with how many threads a model runs. An error means that the provider is
// absent.
func sessionOptions(s infer.Spec) (*onnx.SessionOptions, error) {
	options, err := onnx.NewSessionOptions()
	if err != nil {
		return nil, fmt.Errorf("make session options: %w", err)
	}
	if err := setUp(options, s); err != nil {
		return nil, errors.Join(err, options.Destroy())
	}
	return options, nil
}

func setUp(options *onnx.SessionOptions, s infer.Spec) error {
	threads := s.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	spinning := "0"
	if s.Spinning {
		spinning = "1"
	}
	err := errors.Join(
		options.SetIntraOpNumThreads(threads),
		options.SetInterOpNumThreads(1),
		options.AddSessionConfigEntry(spinningKey, spinning),
	)
	if err != nil {
		return fmt.Errorf("set session options: %w", err)
	}
	switch s.Provider.Name {
	case "tensorrt":
		return appendTensorRT(options, s.Provider.Options)
	case "cuda":
		return appendCUDA(options, s.Provider.Options)
	default:
		return nil // the CPU is always there
	}
}

func appendTensorRT(options *onnx.SessionOptions, values map[string]string) error {
	o, err := onnx.NewTensorRTProviderOptions()
	if err != nil {
		return fmt.Errorf("this ONNX Runtime has no TensorRT: %w", err)
	}
	defer func() { _ = o.Destroy() }()
	if len(values) > 0 {
		if err := o.Update(values); err != nil {
			return fmt.Errorf("set TensorRT options: %w", err)
		}
	}
	if err := options.AppendExecutionProviderTensorRT(o); err != nil {
		return fmt.Errorf("start TensorRT: %w", err)
	}
	return nil
}

func appendCUDA(options *onnx.SessionOptions, values map[string]string) error {
	o, err := onnx.NewCUDAProviderOptions()
	if err != nil {
		return fmt.Errorf("this ONNX Runtime has no CUDA: %w", err)
	}
	defer func() { _ = o.Destroy() }()
	if len(values) > 0 {
		if err := o.Update(values); err != nil {
			return fmt.Errorf("set CUDA options: %w", err)
		}
	}
	if err := options.AppendExecutionProviderCUDA(o); err != nil {
		return fmt.Errorf("start CUDA: %w", err)
	}
	return nil
}
