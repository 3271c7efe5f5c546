package onnxfile

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Rows is an output of as many rows as there are, made one of a fixed number of them.
type Rows struct {
	Port Port   // as the file has it, but with Count for the size along Axis
	Axis int    // of the rows
	Fill int64  // what rows beyond those that there are hold
	Name string // of the output of a fixed number
}

// sliceOpset is the first in which a slice takes its bounds as inputs.
const sliceOpset = 10

// Field numbers and values of onnx.proto3 that are only written.
const (
	nodeInput, nodeOutput, nodeName = 1, 2, 3
	attrName, attrInt, attrType     = 1, 3, 20
	attrTypeInt, attrTypeTensor     = 2, 4
	tensorDims, tensorRaw           = 1, 9
)

// FixRows appends to a model, for each output, nodes that fill it up to a fixed number of rows and cut off
// what is beyond, and an output of that. Nothing of the model itself changes: the message that is appended is
// one with it for whoever parses both, as protobuf has it.
func FixRows(raw []byte, opset int64, all []Rows) ([]byte, error) {
	if len(all) == 0 {
		return raw, nil
	}
	if opset < sliceOpset {
		return nil, fmt.Errorf("%w: it has outputs of as many rows as are found, and opset %d: export it "+
			"with opset %d or more", ErrModel, opset, sliceOpset)
	}
	var graph []byte
	for i := range all {
		more, err := all[i].encode()
		if err != nil {
			return nil, err
		}
		graph = append(graph, more...)
	}
	return message(slices.Clip(raw), modelGraph, graph), nil
}

// encode is a GraphProto with the nodes and the output.
func (r *Rows) encode() ([]byte, error) {
	fill, err := r.fill()
	if err != nil {
		return nil, err
	}
	empty, long := r.Name+"/empty", r.Name+"/long" // rows, and those of the model before them
	from, to, axis := r.Name+"/from", r.Name+"/to", r.Name+"/axis"
	along := varint(varint(attribute("axis"), attrInt, uint64(r.Axis)), attrType, attrTypeInt)
	var graph []byte
	for _, n := range [][]byte{
		constants(empty, r.Port.Elem, r.Port.Dims, fill),
		constants(from, Int64, []int64{1}, integer(0)),
		constants(to, Int64, []int64{1}, integer(r.Port.Dims[r.Axis])),
		constants(axis, Int64, []int64{1}, integer(int64(r.Axis))),
		node("Concat", []string{r.Port.Name, empty}, long, along),
		node("Slice", []string{long, from, to, axis}, r.Name, nil),
	} {
		graph = message(graph, graphNode, n)
	}
	return message(graph, graphOutput, r.output()), nil
}

// fill is the memory of rows that hold nothing.
func (r *Rows) fill() ([]byte, error) {
	values := int64(1)
	for _, d := range r.Port.Dims {
		if d < 1 || d > math.MaxInt32/values {
			return nil, fmt.Errorf("%w: output %q is %s", ErrModel, r.Port.Name, Shape(r.Port.Dims))
		}
		values *= d
	}
	var one []byte
	switch r.Port.Elem {
	case Float32:
		one = binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(r.Fill)))
	case Int32:
		one = binary.LittleEndian.AppendUint32(nil, uint32(r.Fill))
	case Int64:
		one = integer(r.Fill)
	default:
		return nil, fmt.Errorf("%w: output %q of as many rows as are found is %s: export it as float32 "+
			"or int64", ErrModel, r.Port.Name, r.Port.Elem)
	}
	return slices.Repeat(one, int(values)), nil
}

// output is a ValueInfoProto.
func (r *Rows) output() []byte {
	var shape []byte
	for _, d := range r.Port.Dims {
		shape = message(shape, shapeDim, varint(nil, dimValue, uint64(d)))
	}
	tensor := message(varint(nil, tensorElem, uint64(r.Port.Elem)), tensorShape, shape)
	return message(message(nil, valueName, []byte(r.Name)), valueType, message(nil, typeTensor, tensor))
}

// node is a NodeProto of one output, with an attribute or none.
func node(operator string, inputs []string, output string, extra []byte) []byte {
	var n []byte
	for _, in := range inputs {
		n = message(n, nodeInput, []byte(in))
	}
	n = message(n, nodeOutput, []byte(output))
	n = message(n, nodeName, []byte(output))
	n = message(n, nodeOperator, []byte(operator))
	if extra != nil {
		n = message(n, nodeAttribute, extra)
	}
	return n
}

// constants is a node that gives a tensor: files of any age take it, where some want weights as inputs.
func constants(name string, elem Elem, dims []int64, values []byte) []byte {
	var tensor []byte
	for _, d := range dims {
		tensor = varint(tensor, tensorDims, uint64(d))
	}
	tensor = message(varint(tensor, tensorType, uint64(elem)), tensorRaw, values)
	return node("Constant", nil, name,
		varint(message(attribute("value"), attrTensor, tensor), attrType, attrTypeTensor))
}

// attribute is the begin of an AttributeProto: its name.
func attribute(name string) []byte { return message(nil, attrName, []byte(name)) }

func integer(v int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(v)) }

func message(to []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
}

func varint(to []byte, number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(to, number, protowire.VarintType), value)
}
