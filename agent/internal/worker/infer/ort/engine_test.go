//go:build cgo

package ort

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/engines"
	"github.com/sightline-edge/sightline/models/bundle"
)

func TestAnEngineForABatchIsBuiltForAllOfItsSizes(t *testing.T) {
	fp16 := map[string]string{"trt_fp16_enable": "1"}
	s := infer.Spec{
		Provider: bundle.Provider{Name: "tensorrt", Options: fp16}, Images: 4,
		InputName: "images", InputShape: []int64{1, 3, 480, 640},
	}
	require.Equal(t, map[string]string{
		"trt_fp16_enable":        "1",
		"trt_profile_min_shapes": "images:1x3x480x640",
		"trt_profile_opt_shapes": "images:4x3x480x640",
		"trt_profile_max_shapes": "images:4x3x480x640",
	}, tensorRTOptions(s))
	require.Len(t, fp16, 1, "the bundle's own stay as they are")
	s.Images = 1
	require.Equal(t, fp16, tensorRTOptions(s))
	given := map[string]string{"trt_profile_max_shapes": "images:9x3x480x640"}
	s.Images, s.Provider.Options = 4, given
	require.Equal(t, given, tensorRTOptions(s))
}

func TestAnEngineLiesWhereTheStoreSays(t *testing.T) {
	require.Equal(t, map[string]string{
		"trt_fp16_enable": "1", "trt_engine_cache_enable": "1", "trt_engine_cache_path": "/var/cache/e",
	}, stored(map[string]string{"trt_fp16_enable": "1"}, "/var/cache/e"))
	require.Equal(t, map[string]string{"trt_fp16_enable": "1"},
		stored(map[string]string{"trt_fp16_enable": "1"}, ""))
}

// A node without TensorRT makes no folder, and says the same of it with a store as without.
func TestWithoutTensorRTNoStoreIsOpened(t *testing.T) {
	library, err := Load("")
	require.NoError(t, err)
	defer func() { require.NoError(t, library.Close()) }()
	s := infer.Spec{Provider: bundle.Provider{Name: "tensorrt"}, Images: 1}
	_, without := library.Open(s)
	require.Error(t, without)
	library.KeepEngines(func() (*engines.Store, error) {
		return nil, errors.New("it must not be opened")
	}, slog.New(slog.DiscardHandler))
	_, with := library.Open(s)
	require.EqualError(t, with, without.Error())
	s.Provider.Name = "cpu"
	engine, err := library.engine(s)
	require.NoError(t, err)
	require.Nil(t, engine)
}

// What a store cannot tell from another node's is built anew at each start, and the model runs.
func TestWithoutAStoreTheModelRunsAllTheSame(t *testing.T) {
	library, err := Load("")
	require.NoError(t, err)
	defer func() { require.NoError(t, library.Close()) }()
	dir := filepath.Join(t.TempDir(), "engines")
	log := slog.New(slog.DiscardHandler)
	library.KeepEngines(func() (*engines.Store, error) { return engines.Open(dir, 1<<20, log) }, log)
	_, err = library.begin(infer.Spec{
		Provider: bundle.Provider{Name: "tensorrt"}, Images: 1,
		InputName: "images", InputShape: []int64{1, 3},
	})
	require.ErrorContains(t, err, "no libnvinfer.so is loaded")
}
