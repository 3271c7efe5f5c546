//go:build cgo

package ort

import (
	"fmt"
	"runtime"
	"unsafe"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/half"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// memory is where the library writes one output of all images of a run.
type memory interface {
	pin(p *runtime.Pinner)
	tensor(shape onnx.Shape) (onnx.Value, error) // over the first images' values
	read(values int)                             // so many are written: hand them on
}

func newMemory(out *infer.Output) (memory, error) {
	switch out.Elem {
	case onnxfile.Float32:
		return floats(out.Values), nil
	case onnxfile.Float16:
		return &halves{make([]uint16, len(out.Values)), out.Values}, nil
	case onnxfile.Uint8:
		return newIntegers[uint8](out.Values), nil
	case onnxfile.Int32:
		return newIntegers[int32](out.Values), nil
	case onnxfile.Int64:
		return newIntegers[int64](out.Values), nil
	default:
		return nil, fmt.Errorf("output %s is %s, which nothing reads", out.Name, out.Elem)
	}
}

// floats are written where they are read.
type floats []float32

func (f floats) pin(p *runtime.Pinner) { p.Pin(&f[0]) }

func (f floats) tensor(shape onnx.Shape) (onnx.Value, error) {
	return onnx.NewTensor(shape, f[:shape.FlattenedSize()])
}

func (f floats) read(int) {}

const halfBytes = 2

// halves become floats behind each run of a model, or are made of them before it.
type halves struct {
	raw    []uint16
	values []float32
}

func (m *halves) pin(p *runtime.Pinner) { p.Pin(&m.raw[0]) }

func (m *halves) tensor(shape onnx.Shape) (onnx.Value, error) {
	raw := m.raw[:shape.FlattenedSize()]
	//nolint:gosec // the bytes of raw, all of them
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&raw[0])), len(raw)*halfBytes)
	return onnx.NewCustomDataTensor(shape, bytes, onnx.TensorElementDataTypeFloat16)
}

func (m *halves) read(values int) { half.Widen(m.values, m.raw[:values]) }

func (m *halves) write(values int) { half.Narrow(m.raw, m.values[:values]) }

// integers become floats behind each run.
type integers[T uint8 | int32 | int64] struct {
	raw    []T
	values []float32
}

func newIntegers[T uint8 | int32 | int64](values []float32) *integers[T] {
	return &integers[T]{make([]T, len(values)), values}
}

func (m *integers[T]) pin(p *runtime.Pinner) { p.Pin(&m.raw[0]) }

func (m *integers[T]) tensor(shape onnx.Shape) (onnx.Value, error) {
	return onnx.NewTensor(shape, m.raw[:shape.FlattenedSize()])
}

func (m *integers[T]) read(values int) {
	for i, v := range m.raw[:values] {
		m.values[i] = float32(v)
	}
}
