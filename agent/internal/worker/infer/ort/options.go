//go:build cgo

package ort

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strconv"

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

const deviceID = "device_id" // of TensorRT and CUDA

// What OpenVINO takes where the bundle does not say: the CPU, with as many threads as any model's run.
const (
	deviceKey  = "device_type"
	threadsKey = "num_of_threads"
	cpuDevice  = "CPU"
)

// What a bundle says of the CPU's memory, under the names that ONNX Runtime's Python has for it.
const (
	arenaKey   = "enable_cpu_mem_arena"
	patternKey = "enable_mem_pattern"
)

// sessionOptions says where and with how many threads a model runs, and where TensorRT's engine lies: empty,
// if it is not kept. An error means that the provider is absent.
func sessionOptions(s infer.Spec, engine string) (*onnx.SessionOptions, error) {
	options, err := onnx.NewSessionOptions()
	if err != nil {
		return nil, fmt.Errorf("make session options: %w", err)
	}
	if err := setUp(options, s, engine); err != nil {
		return nil, errors.Join(err, options.Destroy())
	}
	return options, nil
}

func setUp(options *onnx.SessionOptions, s infer.Spec, engine string) error {
	if err := configure(options, s); err != nil {
		return err
	}
	for _, p := range chain(s.Provider) {
		var err error
		switch p.Name {
		case bundle.ProviderTensorRT:
			err = appendTensorRT(options, stored(tensorRTOptions(s), engine))
		case bundle.ProviderCUDA:
			err = appendCUDA(options, p.Options)
		case bundle.ProviderOpenVINO:
			err = appendOpenVINO(options, openVINOOptions(s))
		default:
			err = fmt.Errorf("there is no provider %q", p.Name)
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
	err := errors.Join(
		options.SetIntraOpNumThreads(threads(s)),
		options.SetInterOpNumThreads(1),
		options.AddSessionConfigEntry(spinningKey, flag(s.Spinning != infer.SpinNever)),
		options.AddSessionConfigEntry(spinStopKey, flag(s.Spinning != infer.SpinAlways)),
		options.AddSessionConfigEntry(formatKey, "ONNX"),
		options.AddSessionConfigEntry(noFallbackKey, flag(len(chain(s.Provider)) > 0)),
		frugal(options, s.Provider),
	)
	if err != nil {
		return fmt.Errorf("set session options: %w", err)
	}
	return nil
}

// threads of one run.
func threads(s infer.Spec) int {
	if s.Threads <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return s.Threads
}

// frugal gives the CPU's memory back behind each run, where the bundle asks for that: an arena keeps the most
// that any run took, and a pattern of a run's tensors is one block.
func frugal(options *onnx.SessionOptions, p bundle.Provider) error {
	if p.Name != bundle.ProviderCPU {
		return nil
	}
	var err error
	if on, set := p.Options[arenaKey]; set {
		err = options.SetCpuMemArena(on != "0")
	}
	if on, set := p.Options[patternKey]; set {
		err = errors.Join(err, options.SetMemPattern(on != "0"))
	}
	return err
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
	case bundle.ProviderTensorRT:
		rest := bundle.Provider{Name: bundle.ProviderCUDA}
		if device, set := p.Options[deviceID]; set {
			rest.Options = map[string]string{deviceID: device}
		}
		return []bundle.Provider{p, rest}
	case bundle.ProviderCPU:
		return nil
	default:
		return []bundle.Provider{p}
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

func openVINOOptions(s infer.Spec) map[string]string {
	all := map[string]string{deviceKey: cpuDevice}
	maps.Copy(all, s.Provider.Options)
	if _, given := all[threadsKey]; !given && all[deviceKey] == cpuDevice {
		all[threadsKey] = strconv.Itoa(threads(s))
	}
	return all
}

func appendOpenVINO(options *onnx.SessionOptions, values map[string]string) error {
	if err := options.AppendExecutionProviderOpenVINO(values); err != nil {
		return fmt.Errorf("this ONNX Runtime has no OpenVINO, or it does not start: %w", err)
	}
	return nil
}
