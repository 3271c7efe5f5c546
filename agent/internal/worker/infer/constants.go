package infer

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/sightline-edge/sightline/models/onnxfile"
)

// Constant is an input of the model that is the same in each run.
type Constant struct {
	Name   string
	Elem   onnxfile.Elem // float32, int32 or int64
	Shape  []int64
	Values []float64
}

// divide parts the inputs that the manifest gives numbers for from the others.
func divide(inputs []onnxfile.Port, given map[string][]float64) (images []onnxfile.Port, all []Constant,
	err error,
) {
	left := maps.Clone(given)
	for _, in := range inputs {
		values, found := given[in.Name]
		if !found {
			images = append(images, in)
			continue
		}
		delete(left, in.Name)
		constant, bad := newConstant(in, values)
		if bad != nil {
			return nil, nil, bad
		}
		all = append(all, constant)
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		return nil, nil, fmt.Errorf("%w: it has no input %q, only %s: correct input.constants",
			onnxfile.ErrModel, name, names(inputs))
	}
	return images, all, nil
}

func newConstant(in onnxfile.Port, values []float64) (Constant, error) {
	known := []onnxfile.Elem{onnxfile.Float32, onnxfile.Int32, onnxfile.Int64}
	if !slices.Contains(known, in.Elem) {
		return Constant{}, fmt.Errorf("%w: input %q is %s, constants are float32, int32 or int64",
			onnxfile.ErrModel, in.Name, in.Elem)
	}
	for _, v := range values {
		if in.Elem != onnxfile.Float32 && v != math.Trunc(v) {
			return Constant{}, fmt.Errorf("%w: input %q is %s, input.constants gives it %g: write whole "+
				"numbers", onnxfile.ErrModel, in.Name, in.Elem, v)
		}
	}
	shape, fit := filled(in.Dims, int64(len(values)))
	if !fit {
		return Constant{}, fmt.Errorf("%w: input %q is %s, input.constants gives it %d numbers",
			onnxfile.ErrModel, in.Name, onnxfile.Shape(in.Dims), len(values))
	}
	return Constant{in.Name, in.Elem, shape, values}, nil
}

// filled fixes at most one dimension that is not fixed, so that the shape has so many values.
func filled(dims []int64, values int64) (shape []int64, fit bool) {
	shape, left := slices.Clone(dims), values
	open := -1
	for i, d := range dims {
		switch {
		case d == onnxfile.Dynamic && open < 0:
			open = i
		case d <= 0 || left%d != 0:
			return nil, false
		default:
			left /= d
		}
	}
	if open < 0 {
		return shape, left == 1
	}
	shape[open] = left
	return shape, true
}
