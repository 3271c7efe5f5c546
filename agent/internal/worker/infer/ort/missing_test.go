//go:build cgo

package ort

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/models/bundle"
)

// compiled makes a shared library of nothing, which needs others.
func compiled(t *testing.T, dir, name string, needs ...string) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "lib.c")
	require.NoError(t, os.WriteFile(source, []byte("int nothing_"+name+";"), 0o600))
	args := []string{
		"-shared", "-fPIC", "-Wl,--no-as-needed", "-L" + dir, "-o", filepath.Join(dir, "lib"+name+".so"),
		source,
	}
	for _, one := range needs {
		args = append(args, "-l"+one)
	}
	out, err := exec.CommandContext(t.Context(), "cc", args...).CombinedOutput()
	require.NoError(t, err, string(out))
}

// What ONNX Runtime tells nobody: which library is not there.
func TestTheLibraryThatAProviderLacksIsNamed(t *testing.T) {
	dir := t.TempDir()
	require.Contains(t, missing(dir, "cuda"), "there is no libonnxruntime_providers_cuda.so beside")
	compiled(t, dir, "sightlinetestcudart")
	compiled(t, dir, "onnxruntime_providers_cuda", "sightlinetestcudart")
	require.NoError(t, os.Remove(filepath.Join(dir, "libsightlinetestcudart.so")))
	why := missing(dir, "cuda")
	require.Contains(t, why, "libsightlinetestcudart.so: cannot open shared object file")
	require.Contains(t, why, "name its folder in LD_LIBRARY_PATH")
	compiled(t, dir, "onnxruntime_providers_openvino")
	require.Empty(t, missing(dir, "openvino"), "it loads: something else is wrong")
}

func TestAnAbsentProviderSaysWhichLibraryIsMissing(t *testing.T) {
	library, err := Load("")
	require.NoError(t, err)
	defer func() { require.NoError(t, library.Close()) }()
	for _, provider := range []string{bundle.ProviderTensorRT, bundle.ProviderCUDA} {
		_, err = library.Open(infer.Spec{Provider: bundle.Provider{Name: provider}, Images: 1})
		require.ErrorContains(t, err, "there is no libonnxruntime_providers_"+provider+".so beside")
	}
}

// As ONNX Runtime 1.24 says it on a machine without a driver.
func TestADriversWordsAreToldWithoutTheCodeAroundThem(t *testing.T) {
	said := errors.New("load model: Error creating C session: /onnxruntime_src/onnxruntime/core/providers/" +
		"cuda/cuda_call.cc:121 std::conditional_t<THRW, void, onnxruntime::common::Status> " +
		"onnxruntime::CudaCall(ERRTYPE, const char*) CUDA failure 35: CUDA driver version is insufficient " +
		"for CUDA runtime version ; GPU=-1 ; hostname=vm ; file=/onnxruntime_src/onnxruntime/core")
	r := &Runtime{}
	require.EqualError(t, r.told(said, "cuda"), "the GPU's driver refuses: CUDA failure 35: CUDA driver "+
		"version is insufficient for CUDA runtime version")
	other := errors.New("load model: no such operator")
	require.Equal(t, other, r.told(other, "cuda"))
	require.NoError(t, r.told(nil, "cuda"))
}
