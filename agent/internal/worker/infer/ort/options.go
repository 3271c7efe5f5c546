//go:build cgo

package ort

import (
	"errors"
	"fmt"
	"runtime"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Settings of a session, by ONNX Runtime's own keys.
const (
	spinningKey   = "session.intra_op.allow_spinning"
	spinStopKey   = "session.force_spinning_stop" // when the last run that is under way ends
	formatKey     = "session.load_model_format"
	noFallbackKey = "session.disable_cpu_ep_fallback"
)

const (
	tensorRT = "tensorrt"
	cuda     = "cuda"
	deviceID = "device_id"
)

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
	if err := configure(options, s); err != nil {
		return err
	}
	for _, p := range chain(s.Provider) {
		var err error
		if p.Name == tensorRT {
			err = appendTensorRT(options, p.Options)
		} else {
			err = appendCUDA(options, p.Options)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// configure sets what does not depend on the providers that the library has. A model is what it was
// inspected as, ONNX, whatever its bytes look like; and what a GPU does not run is not left to the CPU in
// silence.
func configure(options *onnx.SessionOptions, s infer.Spec) error {
	threads := s.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	err := errors.Join(
		options.SetIntraOpNumThreads(threads),
		options.SetInterOpNumThreads(1),
		options.AddSessionConfigEntry(spinningKey, flag(s.Spinning != infer.SpinNever)),
		options.AddSessionConfigEntry(spinStopKey, flag(s.Spinning != infer.SpinAlways)),
		options.AddSessionConfigEntry(formatKey, "ONNX"),
		options.AddSessionConfigEntry(noFallbackKey, flag(len(chain(s.Provider)) > 0)),
	)
	if err != nil {
		return fmt.Errorf("set session options: %w", err)
	}
	return nil
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// chain is what a session registers for a provider, the first choice first: CUDA takes what TensorRT does
// not, on the same device. The CPU is always there.
func chain(p bundle.Provider) []bundle.Provider {
	switch p.Name {
	case tensorRT:
		rest := bundle.Provider{Name: cuda}
		if device, set := p.Options[deviceID]; set {
			rest.Options = map[string]string{deviceID: device}
		}
		return []bundle.Provider{p, rest}
	case cuda:
		return []bundle.Provider{p}
	default:
		return nil
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
