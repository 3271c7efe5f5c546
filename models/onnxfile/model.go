// Package onnxfile reads what an ONNX file says of itself before anything runs it: what goes in and out, who
// wrote it, and whether it is one file of plain operators.
package onnxfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrModel is wrapped by errors about an ONNX file that is broken, hostile or not what its manifest says.
var ErrModel = errors.New("model refused")

// maxDepth bounds graphs within graphs (If, Loop): real models have three at most.
const maxDepth = 16

// Dynamic is a dimension without a fixed size.
const Dynamic = -1

const (
	maxMetadata = 256     // entries that are read
	maxText     = 1 << 20 // bytes of one that are read
	// maxOperators is how many different ones are counted: ONNX has two hundred.
	maxOperators = 1024
	maxOperator  = 256  // bytes of its name that are read
	maxPorts     = 1024 // that a run is given, or gives: real models have some hundred at most
	maxDims      = 16   // of a port: providers run eight
	// maxWeights is how many tensors may have names, and how many of them an old model may list as inputs:
	// the largest models have some ten thousand. With maxNames, all of them take some 32 MiB.
	maxWeights = 1 << 16
	maxNames   = 8 << 20 // bytes of the names of ports and weights together
)

// compiled is the operator whose node holds, or names a file with, an engine that some other machine built:
// machine code, which a provider runs without a look at it. TensorRT minds its name and not its domain.
const compiled = "EPContext"

// Field numbers of onnx.proto3, by message.
const (
	modelProducer, modelProducerVersion, modelGraph      = 2, 3, 7
	modelOpset, modelMetadata                            = 8, 14
	modelTraining, modelFunctions                        = 20, 25
	opsetDomain, opsetVersion                            = 1, 2
	entryKey, entryValue                                 = 1, 2
	trainingInit, trainingAlgorithm                      = 1, 2
	functionNode, functionAttribute                      = 7, 11
	graphNode, graphInitializer, graphInput, graphOutput = 1, 5, 11, 12
	graphSparse                                          = 15
	nodeOperator, nodeAttribute                          = 4, 5
	attrTensor, attrGraph, attrTensors, attrGraphs       = 5, 6, 10, 11
	attrSparse, attrSparses                              = 22, 23
	sparseValues, sparseIndices                          = 1, 2
	tensorType, tensorName                               = 2, 8
	tensorExternal, tensorLocation                       = 13, 14
	valueName, valueType                                 = 1, 2
	typeTensor, tensorElem, tensorShape                  = 1, 1, 2
	shapeDim, dimValue                                   = 1, 1
)

// Model is what a file says of itself.
type Model struct {
	Producer  string            // program and version that wrote it
	Opset     int64             // of the operators without a domain
	Metadata  map[string]string // as the exporter wrote it
	Operators map[string]int    // how many nodes of each, in all graphs
	Weights   map[Elem]int      // how many tensors of each type
	// Inputs are those that a run must be given: old models list their weights as inputs, too.
	Inputs, Outputs []Port

	initializers map[string]bool
	named        int // bytes of names that are kept
}

// Port is an input or output of the graph. Dims has Dynamic where no size is fixed.
type Port struct {
	Name string
	Elem Elem
	Dims []int64
}

// Shape writes dimensions, with ? for one without a fixed size.
func Shape(dims []int64) string {
	return strings.ReplaceAll(fmt.Sprint(dims), "-1", "?")
}

// Parse walks an ONNX file: it must parse, nest only so deep, keep all data inside, and have no compiled
// engine.
func Parse(raw []byte) (*Model, error) {
	m := &Model{
		Metadata: map[string]string{}, Operators: map[string]int{}, Weights: map[Elem]int{},
		initializers: map[string]bool{},
	}
	graphs := 0
	err := fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		switch int32(number) {
		case modelGraph:
			graphs++
			return m.graph(value, 0)
		case modelTraining:
			return within(value, m.aside, trainingInit, trainingAlgorithm)
		case modelFunctions:
			return m.function(value)
		default:
			return m.origin(number, value)
		}
	})
	if err != nil {
		return nil, err
	}
	if graphs != 1 {
		return nil, fmt.Errorf("%w: %d graphs in the file: it is no ONNX model", ErrModel, graphs)
	}
	given := func(p Port) bool { return m.initializers[p.Name] }
	m.Inputs = slices.Clone(slices.DeleteFunc(m.Inputs, given)) // a copy: the weights' share is given back
	m.initializers = nil
	if len(m.Inputs) > maxPorts {
		return nil, tooMany(maxPorts, "inputs beside its weights")
	}
	return m, nil
}

func tooMany(limit int, what string) error {
	return fmt.Errorf("%w: it has over %d %s, as no real model has: export it anew", ErrModel, limit, what)
}

// keep counts a name that is kept.
func (m *Model) keep(name string) error {
	if m.named += len(name); m.named > maxNames {
		return tooMany(maxNames, "bytes of names")
	}
	return nil
}

// origin reads who wrote the model, and what it says there.
func (m *Model) origin(number protowire.Number, value []byte) error {
	switch int32(number) {
	case modelProducer:
		m.Producer = text(value)
	case modelProducerVersion:
		m.Producer = strings.TrimSpace(m.Producer + " " + text(value))
	case modelOpset:
		return m.opset(value)
	case modelMetadata:
		return m.entry(value)
	}
	return nil
}

func (m *Model) opset(raw []byte) error {
	domain, version := "", uint64(0)
	err := fields(raw, func(number protowire.Number, value []byte, varint uint64) error {
		switch int32(number) {
		case opsetDomain:
			domain = text(value)
		case opsetVersion:
			version = varint
		}
		return nil
	})
	if domain == "" || domain == "ai.onnx" {
		m.Opset = int64(version)
	}
	return err
}

func (m *Model) entry(raw []byte) error {
	var key, value string
	err := fields(raw, func(number protowire.Number, bytes []byte, _ uint64) error {
		switch int32(number) {
		case entryKey:
			key = text(bytes)
		case entryValue:
			value = text(bytes)
		}
		return nil
	})
	if len(m.Metadata) < maxMetadata {
		m.Metadata[key] = value
	}
	return err
}

// text is a string of the file, cut where it is absurdly long.
func text(raw []byte) string {
	return strings.ToValidUTF8(string(raw[:min(len(raw), maxText)]), "?")
}

// aside walks a graph that no run sees: what is hostile in it is refused, and its ports are its own.
func (m *Model) aside(raw []byte) error {
	return (&Model{Operators: m.Operators, Weights: m.Weights, initializers: map[string]bool{}}).graph(raw, 1)
}

func (m *Model) graph(raw []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: graphs are nested over %d deep", ErrModel, maxDepth)
	}
	return fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		switch int32(number) {
		case graphNode:
			return m.node(value, depth)
		case graphInitializer:
			name, err := m.weights(value)
			if err != nil || depth > 0 {
				return err
			}
			return m.initializer(name)
		case graphSparse:
			return m.sparse(value)
		case graphInput:
			return m.add(&m.Inputs, value, depth, maxWeights+maxPorts)
		case graphOutput:
			return m.add(&m.Outputs, value, depth, maxPorts)
		}
		return nil
	})
}

func (m *Model) initializer(name string) error {
	if m.initializers[name] {
		return nil
	}
	if len(m.initializers) == maxWeights {
		return tooMany(maxWeights, "tensors of weights")
	}
	m.initializers[name] = true
	return m.keep(name)
}

func (m *Model) function(raw []byte) error {
	return fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		switch int32(number) {
		case functionNode:
			return m.node(value, 0)
		case functionAttribute:
			return m.attribute(value, 0)
		}
		return nil
	})
}

func (m *Model) node(raw []byte, depth int) error {
	return fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		switch int32(number) {
		case nodeOperator:
			if len(m.Operators) < maxOperators {
				m.Operators[text(value[:min(len(value), maxOperator)])]++
			}
			if string(value) == compiled {
				return fmt.Errorf("%w: it has a node %s, an engine compiled elsewhere, which is a program; "+
					"export the model as plain ONNX: each node of the line builds its own engine", ErrModel,
					compiled)
			}
		case nodeAttribute:
			return m.attribute(value, depth)
		}
		return nil
	})
}

func (m *Model) attribute(raw []byte, depth int) error {
	return fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		switch int32(number) {
		case attrTensor, attrTensors:
			_, err := m.weights(value)
			return err
		case attrGraph, attrGraphs:
			return m.graph(value, depth+1)
		case attrSparse, attrSparses:
			return m.sparse(value)
		}
		return nil
	})
}

func (m *Model) sparse(raw []byte) error {
	return within(raw, func(v []byte) error {
		_, err := m.weights(v)
		return err
	}, sparseValues, sparseIndices)
}

// weights refuses a tensor whose data is in another file: absolute, "..", linked and hard-linked paths have
// all been holes.
func (m *Model) weights(raw []byte) (name string, err error) {
	err = fields(raw, func(number protowire.Number, value []byte, varint uint64) error {
		switch {
		case number == tensorType:
			m.Weights[known(Elem(varint))]++
		case number == tensorName:
			name = text(value)
		case number == tensorExternal || number == tensorLocation && varint != 0:
			return fmt.Errorf("%w: weights are in another file; save it as one file, without external data",
				ErrModel)
		}
		return nil
	})
	return name, err
}

func (m *Model) add(ports *[]Port, raw []byte, depth, limit int) error {
	if depth > 0 {
		return nil
	}
	if len(*ports) == limit {
		return tooMany(limit, "inputs or outputs")
	}
	var p Port
	err := fields(raw, func(number protowire.Number, value []byte, _ uint64) error {
		switch int32(number) {
		case valueName:
			p.Name = text(value)
		case valueType:
			return within(value, p.describe, typeTensor)
		}
		return nil
	})
	if err != nil {
		return err
	}
	*ports = append(*ports, p)
	return m.keep(p.Name)
}

func (p *Port) describe(raw []byte) error {
	return fields(raw, func(number protowire.Number, value []byte, varint uint64) error {
		switch int32(number) {
		case tensorElem:
			p.Elem = Elem(varint)
		case tensorShape:
			return within(value, p.dim, shapeDim)
		}
		return nil
	})
}

func (p *Port) dim(raw []byte) error {
	if len(p.Dims) == maxDims {
		return tooMany(maxDims, "dimensions of an input or output")
	}
	size := int64(Dynamic)
	err := fields(raw, func(number protowire.Number, _ []byte, varint uint64) error {
		if number == dimValue && int64(varint) > 0 {
			size = int64(varint)
		}
		return nil
	})
	p.Dims = append(p.Dims, size)
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
