package bundle

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// ProviderOptions are the options of ONNX Runtime that a bundle may set for an execution provider, sorted:
// the device, precision, memory and how kernels are chosen. None names a file, a folder, a library or an
// address: the runtime loads what such an option names and runs it, and a bundle is data.
func ProviderOptions(provider string) []string {
	switch provider {
	case "tensorrt":
		return []string{
			"device_id",
			"trt_auxiliary_streams",
			"trt_bf16_enable",
			"trt_build_heuristics_enable",
			"trt_builder_optimization_level",
			"trt_context_memory_sharing_enable",
			"trt_dla_core",
			"trt_dla_enable",
			"trt_force_sequential_engine_build",
			"trt_fp16_enable",
			"trt_int8_enable",
			"trt_layer_norm_fp32_fallback",
			"trt_max_partition_iterations",
			"trt_max_workspace_size",
			"trt_min_subgraph_size",
			"trt_profile_max_shapes",
			"trt_profile_min_shapes",
			"trt_profile_opt_shapes",
			"trt_sparsity_enable",
		}
	case "cuda":
		return []string{
			"arena_extend_strategy",
			"cudnn_conv1d_pad_to_nc1d",
			"cudnn_conv_algo_search",
			"cudnn_conv_use_max_workspace",
			"device_id",
			"fuse_conv_bias",
			"gpu_mem_limit",
			"prefer_nhwc",
			"use_tf32",
		}
	default:
		return nil
	}
}

// checkOptions reports each option of the provider at a path that a bundle may not set.
func (p *Provider) checkOptions(doc *strictyaml.Document, at string) {
	allowed := ProviderOptions(p.Name)
	remedy := "leave it out: " + p.Name + " takes no options"
	if len(allowed) > 0 {
		remedy = "one of " + strings.Join(allowed, ", ")
	}
	for _, key := range slices.Sorted(maps.Keys(p.Options)) {
		if !slices.Contains(allowed, key) {
			doc.Add(at+".options."+key, fmt.Sprintf("a bundle may not set %q of %s", key, p.Name), remedy)
		}
	}
}
