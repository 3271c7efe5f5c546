//go:build cgo

package ort

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/engines"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
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

// entry is a folder for the engine of a session, on a node that has TensorRT.
func entry(t *testing.T, store *engines.Store) *engines.Entry {
	t.Helper()
	e, err := store.Begin(engines.NewKey(engines.Node{
		Machine: "m", Driver: "550", GPUs: []string{"RTX GPU-1"}, Libraries: []string{"libnvinfer.so.10.3.0"},
	}, []byte("weights"), nil, nil))
	require.NoError(t, err)
	return e
}

// What a session built stays when the session was found good, and goes with one that was not, or did not
// load.
func TestAnEngineIsKeptWithItsSession(t *testing.T) {
	library, err := Load("")
	require.NoError(t, err)
	defer func() { require.NoError(t, library.Close()) }()
	dir := filepath.Join(t.TempDir(), "engines")
	store, err := engines.Open(dir, 1<<20, slog.New(slog.NewTextHandler(t.Output(), nil)))
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	kept := func() []string {
		all, bad := filepath.Glob(filepath.Join(dir, "*-*")) // at work on
		require.NoError(t, bad)
		engines, bad := filepath.Glob(filepath.Join(dir, "*.engine"))
		require.NoError(t, bad)
		return append(all, engines...)
	}
	spec := infer.Spec{
		Model: []byte("no model"), Provider: bundle.Provider{Name: "cpu"}, Threads: 1, Images: 1,
		InputName: "in", InputShape: []int64{1, 2}, Input: &tensor.Input{Floats: make([]float32, 2)},
		Outputs: []infer.Output{
			{Name: "out", Elem: onnxfile.Float32, Shape: []int64{1, 2}, Values: make([]float32, 2)},
		},
	}
	_, err = open(spec, entry(t, store))
	require.ErrorContains(t, err, "load model")
	require.Empty(t, kept())

	spec.Model = identity()
	for _, good := range []bool{false, true, true} {
		e := entry(t, store)
		if !e.Ready() {
			require.NoError(t, os.WriteFile(filepath.Join(e.Dir(), "x.engine"), []byte("code"), 0o600))
		}
		session, bad := open(spec, e)
		require.NoError(t, bad)
		run, builds := session.(*runner)
		require.True(t, builds)
		require.NoError(t, run.Run(1))
		if good {
			require.NoError(t, run.Keep())
		}
		require.NoError(t, run.Close())
		require.Equal(t, good, len(kept()) == 1, kept())
	}
	session, err := open(spec, entry(t, store))
	require.NoError(t, err)
	run, builds := session.(*runner)
	require.True(t, builds)
	run.Drop("golden sample differs")
	require.NoError(t, run.Close())
	require.Empty(t, kept())
}

// A session whose model TensorRT takes no part of runs as any other; only its folder stays empty.
func TestASessionWithoutAnEngineIsIdle(t *testing.T) {
	library, err := Load("")
	require.NoError(t, err)
	defer func() { require.NoError(t, library.Close()) }()
	store, err := engines.Open(filepath.Join(t.TempDir(), "engines"), 1<<20, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	session, err := open(infer.Spec{
		Model: identity(), Provider: bundle.Provider{Name: "cpu"}, Threads: 1, Images: 1,
		InputName: "in", InputShape: []int64{1, 2}, Input: &tensor.Input{Floats: make([]float32, 2)},
		Outputs: []infer.Output{
			{Name: "out", Elem: onnxfile.Float32, Shape: []int64{1, 2}, Values: make([]float32, 2)},
		},
	}, entry(t, store))
	require.NoError(t, err)
	run, builds := session.(*runner)
	require.True(t, builds)
	require.NoError(t, run.Run(1))
	err = run.Keep()
	require.ErrorIs(t, err, infer.ErrIdle)
	require.ErrorContains(t, err, "name cuda in its place")
	require.NoError(t, run.Close())
}

// identity is a model of one node. Field numbers are onnx.proto3's.
func identity() []byte {
	node := onnxtest.Bytes(onnxtest.Bytes(nil, 1, []byte("in")), 2, []byte("out"))
	graph := onnxtest.Bytes(nil, 1, onnxtest.Bytes(node, 4, []byte("Identity")))
	graph = onnxtest.Bytes(graph, 2, []byte("same"))
	port := func(name string) []onnxtest.Port {
		return []onnxtest.Port{{Name: name, Elem: uint64(onnxfile.Float32), Dims: []int64{1, 2}}}
	}
	graph = append(graph, onnxtest.Ports(port("in"), port("out"))...)
	return onnxtest.Bytes(onnxtest.Model(graph), 8, onnxtest.Varint(nil, 2, 17))
}
