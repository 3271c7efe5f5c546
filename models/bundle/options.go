package bundle

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// The execution providers that a bundle may name.
const (
	ProviderTensorRT = "tensorrt"
	ProviderCUDA     = "cuda"
	ProviderOpenVINO = "openvino"
	ProviderCPU      = "cpu"
)

// providers are all of them.
func providers() []string {
	return []string{ProviderTensorRT, ProviderCUDA, ProviderOpenVINO, ProviderCPU}
}

// kind is what the value of an option must be. What ONNX Runtime checks by itself is any.
type kind int

const (
	anyValue kind = iota
	aSwitch       // 0 or 1
	someBytes
	aDevice // of OpenVINO: one, so that none takes another's place in silence
)

const (
	leastBytes = 1 << 20
	mostBytes  = 1 << 40
)

// deviceNames are OpenVINO's for one device. AUTO, MULTI and HETERO stand for several.
const deviceNames = `^(CPU|NPU|GPU(\.\d{1,2})?)$`

// allowed says whether a value is of the kind, and else what to write.
func (k kind) allowed(value string) (ok bool, remedy string) {
	switch k {
	case aSwitch:
		return value == "0" || value == "1", "'0' or '1'"
	case someBytes:
		n, err := strconv.ParseUint(value, 10, 64)
		return err == nil && n >= leastBytes && n <= mostBytes, fmt.Sprintf("bytes, %d to %d, such as "+
			"'2147483648' for 2 GiB", leastBytes, uint64(mostBytes))
	case aDevice:
		return regexp.MustCompile(deviceNames).MatchString(value), "CPU, GPU, GPU.1 and so on, or NPU: one " +
			"device, whose place no other takes in silence"
	default:
		return true, ""
	}
}

// options of ONNX Runtime that a bundle may set for an execution provider: the device, precision, memory and
// how kernels are chosen. None names a file, a folder, a library or an address: the runtime loads what such
// an option names and runs it, and a bundle is data.
func options(provider string) map[string]kind {
	switch provider {
	case ProviderTensorRT:
		return map[string]kind{
			"device_id":                         anyValue,
			"trt_auxiliary_streams":             anyValue,
			"trt_bf16_enable":                   anyValue,
			"trt_build_heuristics_enable":       anyValue,
			"trt_builder_optimization_level":    anyValue,
			"trt_context_memory_sharing_enable": anyValue,
			"trt_dla_core":                      anyValue,
			"trt_dla_enable":                    anyValue,
			"trt_force_sequential_engine_build": anyValue,
			"trt_fp16_enable":                   anyValue,
			"trt_int8_enable":                   anyValue,
			"trt_layer_norm_fp32_fallback":      anyValue,
			"trt_max_partition_iterations":      anyValue,
			"trt_max_workspace_size":            someBytes,
			"trt_min_subgraph_size":             anyValue,
			"trt_profile_max_shapes":            anyValue,
			"trt_profile_min_shapes":            anyValue,
			"trt_profile_opt_shapes":            anyValue,
			"trt_sparsity_enable":               anyValue,
		}
	case ProviderCUDA:
		return map[string]kind{
			"arena_extend_strategy":        anyValue,
			"cudnn_conv1d_pad_to_nc1d":     anyValue,
			"cudnn_conv_algo_search":       anyValue,
			"cudnn_conv_use_max_workspace": anyValue,
			"device_id":                    anyValue,
			"fuse_conv_bias":               anyValue,
			"gpu_mem_limit":                someBytes,
			"prefer_nhwc":                  anyValue,
			"use_tf32":                     anyValue,
		}
	case ProviderOpenVINO:
		return map[string]kind{
			"device_type":              aDevice,
			"disable_dynamic_shapes":   anyValue,
			"enable_opencl_throttling": anyValue,
			"enable_qdq_optimizer":     anyValue,
			"model_priority":           anyValue,
			"num_of_threads":           anyValue,
			"num_streams":              anyValue,
			"precision":                anyValue,
		}
	case ProviderCPU:
		return map[string]kind{"enable_cpu_mem_arena": aSwitch, "enable_mem_pattern": aSwitch}
	default:
		return nil
	}
}

// ProviderOptions are the names of the options that a bundle may set for an execution provider, sorted.
func ProviderOptions(provider string) []string { return slices.Sorted(maps.Keys(options(provider))) }

// checkOptions reports each option of the provider at a path that a bundle may not set, or not so.
func (p *Provider) checkOptions(doc *strictyaml.Document, at string) {
	allowed := options(p.Name)
	for _, key := range slices.Sorted(maps.Keys(p.Options)) {
		path := at + ".options." + key
		kind, known := allowed[key]
		if !known {
			doc.Add(path, fmt.Sprintf("a bundle may not set %q of %s", key, p.Name),
				"one of "+strings.Join(ProviderOptions(p.Name), ", "))
			continue
		}
		if ok, remedy := kind.allowed(p.Options[key]); !ok {
			doc.Add(path, fmt.Sprintf("%q will not do", p.Options[key]), remedy)
		}
	}
}
