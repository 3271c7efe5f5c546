package infer

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
)

// ErrModel is wrapped by errors about an ONNX file that is broken, hostile or not what its manifest says.
var ErrModel = errors.New("model refused")

// maxDepth bounds graphs within graphs (If, Loop): real models have three at most.
const maxDepth = 16

const dynamic = decode.Dynamic

// compiled is the operator whose node holds, or names a file with, an engine that some other machine built:
// machine code, which a provider runs without a look at it. TensorRT minds its name and not its domain.
const compiled = "EPContext"

// Field numbers of onnx.proto3, by message.
const (
	modelGraph, modelTraining, modelFunctions            = 7, 20, 25
	trainingInit, trainingAlgorithm                      = 1, 2
	functionNode, functionAttribute                      = 7, 11
	graphNode, graphInitializer, graphInput, graphOutput = 1, 5, 11, 12
	graphSparse                                          = 15
	nodeOperator, nodeAttribute                          = 4, 5
	attrTensor, attrGraph, attrTensors, attrGraphs       = 5, 6, 10, 11
	attrSparse, attrSparses                              = 22, 23
	sparseValues, sparseIndices                          = 1, 2
	tensorName, tensorExternal, tensorLocation           = 8, 13, 14
	valueName, valueType                                 = 1, 2
	typeTensor, tensorElem, tensorShape                  = 1, 1, 2
	shapeDim, dimValue                                   = 1, 1
)

// port is an input or output of the graph. Dims has dynamic where no size is fixed.
type port struct {
	name string
	elem Elem
	dims []int64
}

// signature is what inspect finds in a model.
type signature struct {
	inputs, outputs []port
	initializers    map[string]bool
}

// inspect walks an ONNX file before ONNX Runtime sees it: it must parse, nest only so deep, keep all data
// inside, and have no compiled engine.
func inspect(model []byte) (*signature, error) {
	s := &signature{initializers: map[string]bool{}}
	graphs := 0
	err := fields(model, func(number protowire.Number, value []byte, _ uint64) error {
		switch int32(number) {
		case modelGraph:
			graphs++
			return s.graph(value, 0)
		case modelTraining:
			training := func(v []byte) error { return (&signature{}).graph(v, 1) }
			return within(value, training, trainingInit, trainingAlgorithm)
		case modelFunctions:
			return s.function(value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if graphs != 1 {
		return nil, fmt.Errorf("%w: %d graphs in the file: it is no ONNX model", ErrModel, graphs)
	}
	return s, nil
}

func (s *signature) graph(raw []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: graphs are nested over %d deep", ErrModel, maxDepth)
	}
	return fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		switch int32(number) {
		case graphNode:
			return s.node(value, depth)
		case graphInitializer:
			name, err := weights(value)
			if depth == 0 {
				s.initializers[name] = true
			}
			return err
		case graphSparse:
			return sparse(value)
		case graphInput:
			return s.add(&s.inputs, value, depth)
		case graphOutput:
			return s.add(&s.outputs, value, depth)
		}
		return nil
	})
}

func (s *signature) function(raw []byte) error {
	return fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		switch int32(number) {
		case functionNode:
			return s.node(value, 0)
		case functionAttribute:
			return s.attribute(value, 0)
		}
		return nil
	})
}

func (s *signature) node(raw []byte, depth int) error {
	return fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		switch int32(number) {
		case nodeOperator:
			if string(value) == compiled {
				return fmt.Errorf("%w: it has a node %s, an engine compiled elsewhere, which is a program; "+
					"export the model as plain ONNX: each node of the line builds its own engine", ErrModel,
					compiled)
			}
		case nodeAttribute:
			return s.attribute(value, depth)
		}
		return nil
	})
}

func (s *signature) attribute(raw []byte, depth int) error {
	return fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		switch int32(number) {
		case attrTensor, attrTensors:
			_, err := weights(value)
			return err
		case attrGraph, attrGraphs:
			return s.graph(value, depth+1)
		case attrSparse, attrSparses:
			return sparse(value)
		}
		return nil
	})
}

func sparse(raw []byte) error {
	return within(raw, func(v []byte) error {
		_, err := weights(v)
		return err
	}, sparseValues, sparseIndices)
}

// weights refuses a tensor whose data is in another file: absolute, "..", linked and hard-linked paths have
// all been holes.
func weights(raw []byte) (name string, err error) {
	err = fields(raw, func(number protowire.Number, value []byte, varint uint64) error {
		if number == tensorName {
			name = string(value)
		}
		if number == tensorExternal || number == tensorLocation && varint != 0 {
			return fmt.Errorf("%w: weights are in another file; save it as one file, without external data",
				ErrModel)
		}
		return nil
	})
	return name, err
}

func (s *signature) add(ports *[]port, raw []byte, depth int) error {
	if depth > 0 {
		return nil
	}
	var p port
	err := fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		switch int32(number) {
		case valueName:
			p.name = string(value)
		case valueType:
			return within(value, p.describe, typeTensor)
		}
		return nil
	})
	*ports = append(*ports, p)
	return err
}

func (p *port) describe(raw []byte) error {
	return fields(raw, func(number protowire.Number, value []byte, varint uint64) error {
		switch int32(number) {
		case tensorElem:
			p.elem = Elem(varint)
		case tensorShape:
			return within(value, p.dim, shapeDim)
		}
		return nil
	})
}

func (p *port) dim(raw []byte) error {
	size := int64(dynamic)
	err := fields(raw, func(number protowire.Number, _ []byte, varint uint64) error {
		if number == dimValue && int64(varint) > 0 {
			size = int64(varint)
		}
		return nil
	})
	p.dims = append(p.dims, size)
	return err
}

// within calls visit for each of the named fields of a message.
func within(raw []byte, visit func([]byte) error, numbers ...protowire.Number) error {
	return fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		for _, n := range numbers {
			if n == number && value != nil {
				return visit(value)
			}
		}
		return nil
	})
}

// fields calls visit for each field of a message: value for bytes, varint for integers. It copies nothing.
func fields(raw []byte, visit func(number protowire.Number, value []byte, varint uint64) error) error {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return broken(n)
		}
		raw = raw[n:]
		var value []byte
		var varint uint64
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(raw)
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(raw)
		default:
			n = protowire.ConsumeFieldValue(number, kind, raw)
		}
		if n < 0 {
			return broken(n)
		}
		raw = raw[n:]
		if err := visit(number, value, varint); err != nil {
			return err
		}
	}
	return nil
}

func broken(n int) error {
	return fmt.Errorf("%w: it is cut off or no ONNX file: %w", ErrModel, protowire.ParseError(n))
}
