//go:build cgo

package ort_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

// node is one of a graph, from some values to one. Field numbers are onnx.proto3's.
func node(operator, to string, from ...string) []byte {
	var n []byte
	for _, name := range from {
		n = onnxtest.Bytes(n, 1, []byte(name))
	}
	return onnxtest.Bytes(onnxtest.Bytes(n, 2, []byte(to)), 4, []byte(operator))
}

// sum is a model that adds a second input of any type to the first.
func sum(second onnxfile.Elem, dims ...int64) []byte {
	attribute := onnxtest.Bytes(nil, 1, []byte("to"))
	attribute = onnxtest.Varint(onnxtest.Varint(attribute, 3, uint64(onnxfile.Float32)), 20, 2) // an INT
	graph := onnxtest.Bytes(nil, 1, onnxtest.Bytes(node("Cast", "float", "size"), 5, attribute))
	graph = onnxtest.Bytes(graph, 1, node("Add", "out", "in", "float"))
	graph = onnxtest.Bytes(graph, 2, []byte("sum"))
	graph = append(graph, onnxtest.Ports(
		[]onnxtest.Port{
			{Name: "in", Elem: uint64(onnxfile.Float32), Dims: []int64{1, 2}},
			{Name: "size", Elem: uint64(second), Dims: dims},
		},
		[]onnxtest.Port{{Name: "out", Elem: uint64(onnxfile.Float32), Dims: []int64{1, 2}}},
	)...)
	return onnxtest.Bytes(onnxtest.Model(graph), 8, onnxtest.Varint(nil, 2, 17))
}

func TestOtherInputsHaveTheSameNumbersInEachRun(t *testing.T) {
	for _, elem := range []onnxfile.Elem{onnxfile.Float32, onnxfile.Int32, onnxfile.Int64} {
		for name, dims := range map[string][]int64{"fixed": {1, 2}, "any number": {0, 2}} {
			t.Run(elem.String()+" "+name, func(t *testing.T) {
				input := &tensor.Input{Floats: []float32{1, 2}}
				out := infer.Output{
					Name: "out", Elem: onnxfile.Float32, Shape: []int64{1, 2}, Values: make([]float32, 2),
				}
				run, err := library(t).Open(infer.Spec{
					Model: sum(elem, dims...), Provider: bundle.Provider{Name: "cpu"}, Threads: 1, Images: 1,
					InputName: "in", InputShape: []int64{1, 2}, Input: input,
					Constants: []infer.Constant{
						{Name: "size", Elem: elem, Shape: []int64{1, 2}, Values: []float64{640, -480}},
					},
					Outputs: []infer.Output{out},
				})
				require.NoError(t, err)
				defer func() { require.NoError(t, run.Close()) }()
				for _, v := range []float32{1, 7} {
					input.Floats[0] = v
					require.NoError(t, run.Run(1))
					require.Equal(t, []float32{640 + v, -478}, out.Values)
				}
				require.Zero(t, alloctest.Least(10, func() {
					if err := run.Run(1); err != nil {
						t.Error(err)
					}
				}))
			})
		}
	}
}

func TestAConstantOfAnotherTypeIsRefused(t *testing.T) {
	_, err := library(t).Open(infer.Spec{
		Model: sum(onnxfile.Uint8, 1, 2), Provider: bundle.Provider{Name: "cpu"}, Threads: 1, Images: 1,
		InputName: "in", InputShape: []int64{1, 2}, Input: &tensor.Input{Floats: []float32{1, 2}},
		Constants: []infer.Constant{
			{Name: "size", Elem: onnxfile.Uint8, Shape: []int64{1, 2}, Values: []float64{1, 2}},
		},
		Outputs: []infer.Output{
			{Name: "out", Elem: onnxfile.Float32, Shape: []int64{1, 2}, Values: make([]float32, 2)},
		},
	})
	require.ErrorContains(t, err, "bind input size: uint8 is no type of a constant")
}
