#!/usr/bin/env bash
# Tests what scripts/gpu-check does on machines where nothing can be run: it says why, writes nothing and is no error.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir -p "$place/none" "$place/gpu/proc/driver/nvidia" "$place/tegra/etc" "$place/library"
echo "NVRM version: NVIDIA" >"$place/gpu/proc/driver/nvidia/version"
echo "# R36 (release)" >"$place/tegra/etc/nv_tegra_release"
touch "$place/library/libonnxruntime.so"

# expect WORDS ROOT [VARIABLE=VALUE…]
expect() {
  local words=$1 root=$2 before after said
  shift 2
  before=$(ls -lR --time-style=full-iso build/gpu-check* 2>/dev/null || true)
  said=$(env -u ONNXRUNTIME -u PROVIDERS GPU_CHECK_ROOT="$root" "$@" scripts/gpu-check 2>&1) ||
    { echo "gpu-check_test: it failed with: $said"; exit 1; }
  after=$(ls -lR --time-style=full-iso build/gpu-check* 2>/dev/null || true)
  [[ $said == "gpu-check was not run: "*"$words"*"It counts as nothing"* ]] ||
    { echo "gpu-check_test: expected '$words', it said: $said"; exit 1; }
  [[ $before == "$after" ]] || { echo "gpu-check_test: it wrote something: $said"; exit 1; }
}

expect "no NVIDIA GPU" "$place/none" ONNXRUNTIME="$place/library/libonnxruntime.so"
expect "name the GPU build of ONNX Runtime" "$place/gpu"
expect "name the GPU build of ONNX Runtime" "$place/tegra"
expect "there is no file /nonexistent.so" "$place/gpu" ONNXRUNTIME=/nonexistent.so
expect "libonnxruntime_providers_tensorrt.so does not lie beside it" "$place/gpu" \
  ONNXRUNTIME="$place/library/libonnxruntime.so"
expect "libonnxruntime_providers_cuda.so does not lie beside it" "$place/gpu" PROVIDERS=cuda \
  ONNXRUNTIME="$place/library/libonnxruntime.so"
echo "gpu-check_test: ok"
