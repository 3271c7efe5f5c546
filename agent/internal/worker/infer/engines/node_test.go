package engines

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	builtNs     = 1700000000000000007
	information = "proc/driver/nvidia/gpus/0000:01:00.0/information"
)

// disk is what the kernel of a node with one GPU shows to a process that has loaded TensorRT.
func disk() fstest.MapFS {
	text := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	library := func(bytes int) *fstest.MapFile {
		return &fstest.MapFile{Data: make([]byte, bytes), ModTime: time.Unix(0, builtNs)}
	}
	return fstest.MapFS{
		"etc/machine-id": text("4d3c2b1a\n"),
		"proc/driver/nvidia/version": text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  " +
			"Tue Mar  5 22:23:56 UTC 2024\nGCC version:  gcc version 12\n"),
		information: text("Model: \t\t NVIDIA RTX A2000\nIRQ:   \t\t 33\nGPU UUID: \t GPU-1f2e\n" +
			"Video BIOS: \t 94.06\n"),
		"proc/self/maps": text("7f0000-7f1000 r-xp 00000000 08:01 12   /opt/trt/libnvinfer.so.10.3.0\n" +
			"7f1000-7f2000 r--p 00001000 08:01 12   /opt/trt/libnvinfer.so.10.3.0\n" +
			"7f2000-7f3000 r-xp 00000000 08:01 13   /opt/ort/libonnxruntime.so.1.24.1\n" +
			"7f3000-7f4000 rw-p 00000000 00:00 0    [heap]\n" +
			"7f4000-7f5000 r-xp 00000000 08:01 14   /usr/lib/libc.so.6\n" +
			"7f5000-7f6000 r-xp 00000000 08:01 15   /opt/old/libcudart.so.12 (deleted)\n"),
		"opt/trt/libnvinfer.so.10.3.0":     library(300),
		"opt/ort/libonnxruntime.so.1.24.1": library(20),
	}
}

// nobody says which GPU to take.
func nobody(string) (string, bool) { return "", false }

func edited(edit func(fstest.MapFS)) Node {
	d := maps.Clone(disk())
	edit(d)
	return Inspect(d, nobody)
}

func TestANodeIsReadFromTheKernel(t *testing.T) {
	n := Inspect(disk(), nobody)
	require.Equal(t, Node{
		Machine: "4d3c2b1a",
		Driver:  "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024",
		GPUs:    []string{"NVIDIA RTX A2000 GPU-1f2e"},
		Libraries: []string{
			"libcudart.so.12 (deleted) replaced",
			fmt.Sprintf("libnvinfer.so.10.3.0 300 %d", builtNs),
			fmt.Sprintf("libonnxruntime.so.1.24.1 20 %d", builtNs),
		},
	}, n)
	require.NoError(t, n.Usable())
}

func TestAJetsonIsReadFromItsDeviceTree(t *testing.T) {
	n := edited(func(d fstest.MapFS) {
		delete(d, "proc/driver/nvidia/version")
		delete(d, information)
		release := []byte("# R36 (release), REVISION: 3.0, GCID: 362\n")
		d["etc/nv_tegra_release"] = &fstest.MapFile{Data: release}
		d["proc/device-tree/model"] = &fstest.MapFile{Data: []byte("NVIDIA Jetson Orin NX\x00")}
		d["proc/device-tree/serial-number"] = &fstest.MapFile{Data: []byte("1422\x00")}
	})
	require.Equal(t, "NVIDIA Jetson Orin NX 1422", n.Board)
	require.Equal(t, "# R36 (release), REVISION: 3.0, GCID: 362", n.Driver)
	require.NoError(t, n.Usable())
}

// What cannot be told from another node's is never kept.
func TestANodeThatCannotBeToldFromOthersKeepsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(fstest.MapFS)
		says string
	}{
		"no TensorRT": {func(d fstest.MapFS) { delete(d, "proc/self/maps") }, "no libnvinfer.so is loaded"},
		"no driver": {
			func(d fstest.MapFS) { delete(d, "proc/driver/nvidia/version") }, "version of the driver",
		},
		"no GPU": {
			func(d fstest.MapFS) { delete(d, information) }, "the GPU is not known",
		},
		"nobody": {func(d fstest.MapFS) {
			delete(d, "etc/machine-id")
			d[information] = &fstest.MapFile{Data: []byte("Model: RTX\nGPU UUID: GPU-????????\n")}
		}, "this machine has no identity"},
	} {
		require.ErrorContains(t, edited(c.edit).Usable(), c.says, name)
	}
	require.NoError(t, edited(func(d fstest.MapFS) { delete(d, "etc/machine-id") }).Usable(), "a GPU has one")
}

func TestEachThingThatAnEngineDependsOnMakesAnotherKey(t *testing.T) {
	n := Inspect(disk(), nobody)
	key := func(n Node, model string, options map[string]string, shape ...int64) string {
		return NewKey(n, []byte(model), options, map[string][]int64{"images": shape}).ID()
	}
	fp16 := map[string]string{"trt_fp16_enable": "1", "device_id": "0"}
	first := key(n, "weights", fp16, 1, 3, 640, 640)
	require.Len(t, first, 32)
	require.Equal(t, first, key(Inspect(disk(), nobody), "weights", maps.Clone(fp16), 1, 3, 640, 640))
	set := func(name, text string) Node {
		return edited(func(d fstest.MapFS) {
			d[name] = &fstest.MapFile{Data: []byte(text), ModTime: time.Unix(0, builtNs)}
		})
	}
	others := map[string]string{
		"the model": key(n, "Weights", fp16, 1, 3, 640, 640),
		"precision": key(n, "weights", map[string]string{"device_id": "0"}, 1, 3, 640, 640),
		"an option": key(n, "weights", map[string]string{"trt_fp16_enable": "1", "device_id": "1"},
			1, 3, 640, 640),
		"the shape":   key(n, "weights", fp16, 1, 3, 640, 480),
		"the batch":   key(n, "weights", fp16, 4, 3, 640, 640),
		"the machine": key(set("etc/machine-id", "5e"), "weights", fp16, 1, 3, 640, 640),
		"the driver":  key(set("proc/driver/nvidia/version", "560"), "weights", fp16, 1, 3, 640, 640),
		"the GPU": key(set(information, "Model: NVIDIA RTX A2000\nGPU UUID: GPU-9\n"), "weights", fp16,
			1, 3, 640, 640),
		"TensorRT": key(set("proc/self/maps", "7f-80 r-xp 0 08:01 12 /opt/trt/libnvinfer.so.10.4.0\n"),
			"weights", fp16, 1, 3, 640, 640),
		"a build of ONNX Runtime": key(set("opt/ort/libonnxruntime.so.1.24.1", "another"), "weights", fp16,
			1, 3, 640, 640),
	}
	seen := map[string]string{first: "itself"}
	for what, id := range others {
		require.Empty(t, seen[id], "%s is not in the key", what)
		seen[id] = what
	}
}

// Libraries that a build or another session loads by need make no other key: the next start has none of them.
func TestAKeyIsTheSameBeforeAndBehindABuild(t *testing.T) {
	behind := edited(func(d fstest.MapFS) {
		maps := slices.Clone(d["proc/self/maps"].Data)
		for _, name := range []string{
			"libnvinfer_builder_resource.so.10.3.0", "libcudnn_engines_precompiled.so.9",
			"libcuda.so.550.54.15", "libonnxruntime_providers_cuda.so", "libnvinfer_plugin.so.10.3.0",
		} {
			maps = fmt.Appendf(maps, "7f8000-7f9000 r-xp 00000000 08:01 20   /opt/trt/%s\n", name)
		}
		d["proc/self/maps"] = &fstest.MapFile{Data: maps}
	})
	require.Equal(t, Inspect(disk(), nobody), behind)
}

// device_id counts from what these variables leave, in their order: another GPU, perhaps, of another kind.
func TestWhichGPUAProcessWasGivenIsInTheKey(t *testing.T) {
	given := func(variables map[string]string) Node {
		return Inspect(disk(), func(name string) (string, bool) {
			value, set := variables[name]
			return value, set
		})
	}
	seen := map[string]string{}
	for _, variables := range []map[string]string{
		{},
		{"CUDA_VISIBLE_DEVICES": ""},
		{"CUDA_VISIBLE_DEVICES": "1"},
		{"CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
		{"NVIDIA_VISIBLE_DEVICES": "1"},
		{"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
	} {
		id := NewKey(given(variables), []byte("weights"), nil, nil).ID()
		require.Empty(t, seen[id], "of %q", variables)
		seen[id] = fmt.Sprint(variables)
	}
	require.Equal(t, given(nil), given(map[string]string{"DISPLAY": ":0"}))
}
