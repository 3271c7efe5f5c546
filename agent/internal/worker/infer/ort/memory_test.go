//go:build cgo

package ort_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

// cast is a model of one node, which makes other numbers of its input's: field numbers are onnx.proto3's.
func cast(from, to onnxfile.Elem, dims ...int64) []byte {
	attribute := onnxtest.Bytes(nil, 1, []byte("to"))
	attribute = onnxtest.Varint(onnxtest.Varint(attribute, 3, uint64(to)), 20, 2) // an INT
	node := onnxtest.Bytes(onnxtest.Bytes(nil, 1, []byte("in")), 2, []byte("out"))
	node = onnxtest.Bytes(onnxtest.Bytes(node, 4, []byte("Cast")), 5, attribute)
	graph := onnxtest.Bytes(onnxtest.Bytes(nil, 1, node), 2, []byte("cast"))
	graph = append(graph, onnxtest.Ports(
		[]onnxtest.Port{{Name: "in", Elem: uint64(from), Dims: dims}},
		[]onnxtest.Port{{Name: "out", Elem: uint64(to), Dims: dims}},
	)...)
	set := onnxtest.Varint(nil, 2, 17)
	return onnxtest.Bytes(onnxtest.Model(graph), 8, set)
}

// Labels come as integers from models that suppress by themselves.
func TestOutputsOfIntegersBecomeFloats(t *testing.T) {
	for _, elem := range []onnxfile.Elem{
		onnxfile.Float32, onnxfile.Float16, onnxfile.Uint8, onnxfile.Int32, onnxfile.Int64,
	} {
		for _, images := range []int{1, 2} {
			t.Run(elem.String(), func(t *testing.T) {
				values := make([]float32, images*3)
				input := &tensor.Input{Floats: []float32{0, 7, 200, 3, 1, 90}[:images*3]}
				dims := []int64{1, 3}
				if images > 1 {
					dims[0] = 0 // not fixed
				}
				run, err := library(t).Open(infer.Spec{
					Model:    cast(onnxfile.Float32, elem, dims...),
					Provider: bundle.Provider{Name: "cpu"}, Threads: 1, Images: images,
					InputName: "in", InputShape: []int64{1, 3}, Input: input,
					Outputs: []infer.Output{{Name: "out", Elem: elem, Shape: []int64{1, 3}, Values: values}},
				})
				require.NoError(t, err)
				defer func() { require.NoError(t, run.Close()) }()
				require.NoError(t, run.Run(1))
				require.Equal(t, []float32{0, 7, 200}, values[:3])
				require.NoError(t, run.Run(images))
				require.Equal(t, input.Floats, values)
				if images == 1 {
					require.Zero(t, alloctest.Least(10, func() {
						if err := run.Run(1); err != nil {
							t.Error(err)
						}
					}))
				}
			})
		}
	}
}

// Each image of a run is narrowed, and no other.
func TestAnInputOfHalvesIsMadeOfFloats(t *testing.T) {
	const images = 2
	input := &tensor.Input{Floats: []float32{0.1, 65504, -3e-8, 2049, 1, 1e9}}
	values := make([]float32, images*3)
	run, err := library(t).Open(infer.Spec{
		Model: cast(onnxfile.Float16, onnxfile.Float32, 0, 3), Provider: bundle.Provider{Name: "cpu"},
		Threads: 1, Images: images, InputName: "in", InputShape: []int64{1, 3}, Input: input, Half: true,
		Outputs: []infer.Output{
			{Name: "out", Elem: onnxfile.Float32, Shape: []int64{1, 3}, Values: values},
		},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, run.Close()) }()
	require.NoError(t, run.Run(1))
	first := []float32{0.0999755859375, 65504, -0x1p-24} // the nearest that a half holds
	require.Equal(t, append(first, 0, 0, 0), values)
	require.NoError(t, run.Run(images))
	require.Equal(t, append(first, 2048, 1, float32(math.Inf(1))), values)
}
