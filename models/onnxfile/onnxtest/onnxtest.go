// Package onnxtest writes small bundles for tests: their ONNX files have ports and weights, but compute
// nothing.
package onnxtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// Port is an input or output of a model. A dimension below one is written as a name, not a number.
type Port struct {
	Name string
	Elem uint64 // 1 float32, 2 uint8
	Dims []int64
}

// Bytes appends a field of bytes to a message.
func Bytes(message []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(message, number, protowire.BytesType), value)
}

// Varint appends a field of an integer to a message.
func Varint(message []byte, number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(message, number, protowire.VarintType), value)
}

func (p Port) encode() []byte {
	var shape []byte
	for _, d := range p.Dims {
		dim := Bytes(nil, 2, []byte("batch"))
		if d > 0 {
			dim = Varint(nil, 1, uint64(d))
		}
		shape = Bytes(shape, 1, dim)
	}
	tensor := Bytes(Varint(nil, 1, p.Elem), 2, shape)
	return Bytes(Bytes(nil, 1, []byte(p.Name)), 2, Bytes(nil, 1, tensor))
}

// Graph encodes a GraphProto with ports and one initializer.
func Graph(inputs, outputs []Port) []byte {
	weights := Bytes(Varint(nil, 1, 1), 8, []byte("weights"))
	return append(Bytes(nil, 5, weights), Ports(inputs, outputs)...)
}

// Ports encodes the inputs and outputs of a GraphProto.
func Ports(inputs, outputs []Port) []byte {
	var graph []byte
	for _, p := range inputs {
		graph = Bytes(graph, 11, p.encode())
	}
	for _, p := range outputs {
		graph = Bytes(graph, 12, p.encode())
	}
	return graph
}

// Model encodes a ModelProto around a graph.
func Model(graph []byte) []byte { return Bytes(Varint(nil, 1, 8), 7, graph) }

// Cells of the output of Bundle's model.
const Cells = 16

// Side of the input of Bundle's model, in pixels.
const Side = 64

// Bundle writes a bundle of a 64×64 gray model with six classes and 16 cells. Lines are added to its
// manifest.
func Bundle(tb testing.TB, lines ...string) string {
	tb.Helper()
	return Write(tb, detector(1), lines...)
}

// Batched writes the same with a model that takes any number of images, so many of them in one run.
func Batched(tb testing.TB, images int, lines ...string) string {
	tb.Helper()
	provider := fmt.Sprintf("providers: {order: [{name: cpu, batch: %d}]}", images)
	return Write(tb, detector(0), append(lines, provider)...)
}

// detector takes so many images, 0: any number.
func detector(images int64) []byte {
	return Model(Graph(
		[]Port{{"images", 1, []int64{images, 1, Side, Side}}},
		[]Port{{"output0", 1, []int64{images, 10, Cells}}},
	))
}

// Write writes a bundle around a model.
func Write(tb testing.TB, model []byte, lines ...string) string {
	tb.Helper()
	dir := tb.TempDir()
	manifest := fmt.Sprintf(`name: tiny
version: 1.0.0
serial: 1
input: {width: %d, height: %d, channels: 1}
decoder: {family: yolov8, score_floor: 0.1, max_detections: 20}
classes:
  - {name: open, threshold: 0.5}
  - {name: short, threshold: 0.5}
  - {name: mousebite, threshold: 0.5}
  - {name: spur, threshold: 0.5}
  - {name: copper, threshold: 0.5}
  - {name: pin-hole, threshold: 0.5}
%s
`, Side, Side, strings.Join(lines, "\n"))
	for name, content := range map[string][]byte{"bundle.yaml": []byte(manifest), "model.onnx": model} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil { //nolint:forbidigo // of a test
			tb.Fatal(err)
		}
	}
	return dir
}
