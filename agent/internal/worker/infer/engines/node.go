package engines

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const (
	maxProcBytes = 64 << 10 // of a file of the kernel's
	maxMapBytes  = 16 << 20 // of the list of what a process has mapped: some hundred bytes a line
	maxLines     = 64       // GPUs or libraries that are told apart
)

// Node is what an engine depends on beside its model. An engine is compiled code for one kind of GPU and one
// build of each library, and wrong on another without a word.
type Node struct {
	Machine   string   `json:"machine"`         // of /etc/machine-id
	Board     string   `json:"board,omitempty"` // a Jetson's model and serial number
	Driver    string   `json:"driver"`
	GPUs      []string `json:"gpus,omitempty"` // name and UUID, which imply the compute capability
	Libraries []string `json:"libraries"`      // TensorRT's, CUDA's, ONNX Runtime's: name, size, time

	// Chosen is what the environment says of which GPU device_id counts from.
	Chosen []string `json:"chosen,omitempty"`
}

// Inspect reads what the kernel and the libraries that this process has loaded say, from "/", and what of
// the environment chooses a GPU. TensorRT is loaded before, or it is not seen. What is not there is left
// empty: Usable decides.
func Inspect(root fs.FS, environment func(name string) (value string, set bool)) Node {
	n := Node{
		Machine:   firstLine(root, "etc/machine-id"),
		Driver:    firstLine(root, "proc/driver/nvidia/version"),
		GPUs:      gpus(root),
		Libraries: libraries(root),
		Chosen:    chosen(environment),
	}
	if tegra := firstLine(root, "etc/nv_tegra_release"); tegra != "" {
		n.Driver = strings.TrimSpace(n.Driver + " " + tegra)
	}
	if model := firstLine(root, "proc/device-tree/model"); model != "" {
		n.Board = strings.TrimSpace(model + " " + firstLine(root, "proc/device-tree/serial-number"))
	}
	return n
}

// Usable says why engines of this node could not be told from those of another, or nil.
func (n Node) Usable() error {
	ofTensorRT := func(library string) bool { return strings.HasPrefix(library, "libnvinfer.so") }
	switch {
	case !slices.ContainsFunc(n.Libraries, ofTensorRT):
		return errors.New("the version of TensorRT is not known: no libnvinfer.so is loaded")
	case n.Driver == "":
		return errors.New("the version of the driver is not known: neither /proc/driver/nvidia/version " +
			"nor /etc/nv_tegra_release is there")
	case len(n.GPUs) == 0 && n.Board == "":
		return errors.New("the GPU is not known: neither /proc/driver/nvidia/gpus nor " +
			"/proc/device-tree/model is there")
	case n.Machine == "" && n.Board == "" && !slices.ContainsFunc(n.GPUs, identified):
		return errors.New("this machine has no identity: write /etc/machine-id (systemd-machine-id-setup)")
	default:
		return nil
	}
}

// differs tells the first thing that another node has otherwise, or nothing. Which GPUs a process was given
// is no difference: a node has workers of several.
func (n Node) differs(other Node) string {
	for _, one := range []struct{ what, here, there string }{
		{"machine", n.Machine, other.Machine},
		{"board", n.Board, other.Board},
		{"driver", n.Driver, other.Driver},
		{"GPU", strings.Join(n.GPUs, ", "), strings.Join(other.GPUs, ", ")},
		{"library", odd(n.Libraries, other.Libraries), odd(other.Libraries, n.Libraries)},
	} {
		if one.here != one.there {
			return fmt.Sprintf("it was built with the %s %q, and here is %q", one.what, one.there, one.here)
		}
	}
	return ""
}

// chosen are the variables by which CUDA's driver, or a container's runtime, numbers the GPUs that a process
// sees. The kernel lists all of them, whichever these leave.
func chosen(environment func(string) (string, bool)) []string {
	var all []string
	for _, name := range []string{"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES"} {
		if value, set := environment(name); set {
			all = append(all, name+"="+value)
		}
	}
	return all
}

// odd are those of a list that another does not have.
func odd(list, other []string) string {
	var only []string
	for _, one := range list {
		if !slices.Contains(other, one) {
			only = append(only, one)
		}
	}
	return strings.Join(only, ", ")
}

// firstLine of a small file, without what surrounds it; files of a device tree end in a zero.
func firstLine(root fs.FS, name string) string {
	f, err := root.Open(name)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxProcBytes))
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	return strings.ToValidUTF8(strings.Trim(line, " \t\r\x00"), "?")
}

// gpus are the names and UUIDs that NVIDIA's driver gives, sorted.
func gpus(root fs.FS) []string {
	const folder = "proc/driver/nvidia/gpus"
	entries, err := fs.ReadDir(root, folder)
	if err != nil {
		return nil
	}
	var all []string
	for _, entry := range entries[:min(len(entries), maxLines)] {
		if one := gpu(root, path.Join(folder, entry.Name(), "information")); one != "" {
			all = append(all, one)
		}
	}
	slices.Sort(all)
	return all
}

// gpu reads the lines "Model:" and "GPU UUID:" of what the driver tells of one.
func gpu(root fs.FS, name string) string {
	f, err := root.Open(name)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	var model, uuid string
	for lines := bufio.NewScanner(io.LimitReader(f, maxProcBytes)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch strings.TrimSpace(key) {
		case "Model":
			model = strings.TrimSpace(value)
		case "GPU UUID":
			uuid = strings.TrimSpace(value)
		}
	}
	return strings.TrimSpace(model + " " + uuid)
}

// identified says that a GPU's UUID is known: the driver writes question marks until the GPU was used.
func identified(gpu string) bool { return strings.Contains(gpu, "GPU-") && !strings.Contains(gpu, "?") }

// libraries are those loaded that an engine was made with, sorted. The kernel lists files by their real
// names, which hold the version (libnvinfer.so.10.3.0); size and time tell two builds of one version apart.
func libraries(root fs.FS) []string {
	f, err := root.Open("proc/self/maps")
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	files := map[string]bool{}
	for lines := bufio.NewScanner(io.LimitReader(f, maxMapBytes)); lines.Scan(); {
		_, file, found := strings.Cut(lines.Text(), " /")
		if found && matters(path.Base(file)) && len(files) < maxLines {
			files[path.Clean(file)] = true
		}
	}
	var all []string
	for file := range files {
		info, err := fs.Stat(root, file)
		if err != nil { // replaced under this process: what is loaded is not what the next start loads
			all = append(all, path.Base(file)+" replaced")
			continue
		}
		all = append(all, fmt.Sprintf("%s %d %d", path.Base(file), info.Size(), info.ModTime().UnixNano()))
	}
	slices.Sort(all)
	return all
}

// matters says whether a library is one that TensorRT's provider is linked with. Those that are loaded later,
// by need, are left out: which of them a process has depends on what it did before. The driver's has its
// version elsewhere.
func matters(name string) bool {
	return slices.ContainsFunc([]string{
		"libnvinfer.so", "libnvonnxparser.so", "libonnxruntime.so", "libonnxruntime_providers_tensorrt.so",
		"libcudart.so", "libcudnn.so", "libcublas.so", "libcublasLt.so",
	}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
