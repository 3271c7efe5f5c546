//go:build cgo

package ort

import (
	"fmt"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// constants makes tensors of the inputs that are the same in each run.
func (r *runner) constants(s infer.Spec) ([]onnx.Value, error) {
	var all []onnx.Value
	for _, c := range s.Constants {
		value, err := r.constant(c)
		if err != nil {
			return nil, fmt.Errorf("bind input %s: %w", c.Name, err)
		}
		r.values, all = append(r.values, value), append(all, value)
	}
	return all, nil
}

func (r *runner) constant(c infer.Constant) (onnx.Value, error) {
	switch c.Elem {
	case onnxfile.Float32:
		return numbers[float32](r, c)
	case onnxfile.Int32:
		return numbers[int32](r, c)
	case onnxfile.Int64:
		return numbers[int64](r, c)
	default:
		return nil, fmt.Errorf("%s is no type of a constant", c.Elem)
	}
}

func numbers[T float32 | int32 | int64](r *runner, c infer.Constant) (onnx.Value, error) {
	values := make([]T, len(c.Values))
	for i, v := range c.Values {
		values[i] = T(v)
	}
	r.pinner.Pin(&values[0])
	return onnx.NewTensor(onnx.Shape(c.Shape), values)
}
