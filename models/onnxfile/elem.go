package onnxfile

import "fmt"

// Elem is the type of a tensor's elements, by TensorProto.DataType of onnx.proto3.
type Elem uint64

// The types that there are names for here.
const (
	Float32  Elem = 1
	Uint8    Elem = 2
	Int8     Elem = 3
	Int32    Elem = 6
	Int64    Elem = 7
	Bool     Elem = 9
	Float16  Elem = 10
	Float64  Elem = 11
	BFloat16 Elem = 16
)

// maxElem is beyond the types that ONNX has, and those that it may soon have.
const maxElem Elem = 63

// known is the type, or 0, ONNX's own for none, for all numbers that no type has.
func known(e Elem) Elem {
	if e > maxElem {
		return 0
	}
	return e
}

// Floating says that the elements are numbers with a fraction, as scores and boxes are.
func (e Elem) Floating() bool {
	switch e {
	case Float32, Float16, Float64, BFloat16:
		return true
	default:
		return false
	}
}

func (e Elem) String() string {
	switch e {
	case Float32:
		return "float32"
	case Uint8:
		return "uint8"
	case Int8:
		return "int8"
	case Int32:
		return "int32"
	case Int64:
		return "int64"
	case Bool:
		return "bool"
	case Float16:
		return "float16"
	case Float64:
		return "float64"
	case BFloat16:
		return "bfloat16"
	default:
		return fmt.Sprintf("of ONNX type %d", uint64(e))
	}
}
