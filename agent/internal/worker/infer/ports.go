package infer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// TensorProto.DataType of what this package feeds and reads.
const (
	elemFloat = 1
	elemUint8 = 2
)

const (
	boxRows   = 4       // of a yolov8 output, before the classes
	maxCells  = 1 << 20 // of an output: 4096×4096 at stride 4
	batchOnly = 0       // the dimension that may be dynamic: one frame is inferred at a time
)

// contract is where a manifest and its model meet.
type contract struct {
	input, output string
	inputShape    []int64
	outputShape   []int64
	cells         int
}

// agree compares the model's ports with what the manifest says of them.
func agree(s *signature, m *bundle.Manifest, plan *tensor.Plan) (contract, error) {
	in, err := choose("input", realInputs(s), m.Input.Name)
	if err != nil {
		return contract{}, err
	}
	out, err := choose("output", s.outputs, m.Decoder.Output)
	if err != nil {
		return contract{}, err
	}
	if len(realInputs(s)) != 1 {
		return contract{}, fmt.Errorf("%w: it has %d inputs (%s): a detection bundle gives one image",
			ErrModel, len(realInputs(s)), names(realInputs(s)))
	}
	c := contract{input: in.name, output: out.name, inputShape: plan.Shape()}
	if err = agreeInput(in, plan); err != nil {
		return c, err
	}
	err = c.agreeOutput(out, m)
	return c, err
}

func agreeInput(in port, plan *tensor.Plan) error {
	wanted := uint64(elemFloat)
	if plan.Bytes() {
		wanted = elemUint8
	}
	if in.elem != wanted {
		return fmt.Errorf("%w: input %q is %s, bundle.yaml says %s", ErrModel, in.name, elem(in.elem),
			elem(wanted))
	}
	if !fits(in.dims, plan.Shape()) {
		return fmt.Errorf("%w: input %q is %s, bundle.yaml makes %s of the frame: correct input there or "+
			"export the model anew", ErrModel, in.name, shape(in.dims), shape(plan.Shape()))
	}
	return nil
}

func (c *contract) agreeOutput(out port, m *bundle.Manifest) error {
	rows := int64(boxRows + len(m.Classes))
	switch {
	case out.elem != elemFloat:
		return fmt.Errorf("%w: output %q is %s, the decoder reads float32", ErrModel, out.name,
			elem(out.elem))
	case len(out.dims) != 3 || out.dims[batchOnly] > 1:
		return fmt.Errorf("%w: output %q is %s, the decoder %s reads [1 %d N]",
			ErrModel, out.name, shape(out.dims), m.Decoder.Family, rows)
	case out.dims[1] == dynamic || out.dims[2] == dynamic:
		return fmt.Errorf("%w: output %q is %s: export the model with fixed sizes", ErrModel, out.name,
			shape(out.dims))
	case out.dims[1] != rows:
		return fmt.Errorf("%w: output %q is %s, which means %d classes; bundle.yaml names %d", ErrModel,
			out.name,
			shape(out.dims), out.dims[1]-boxRows, len(m.Classes))
	case out.dims[2] > maxCells:
		return fmt.Errorf("%w: output %q has %d cells, over %d", ErrModel, out.name, out.dims[2], maxCells)
	}
	c.cells = int(out.dims[2])
	c.outputShape = []int64{1, rows, out.dims[2]}
	return nil
}

// realInputs leaves out the weights, which old models list as inputs, too.
func realInputs(s *signature) []port {
	return slices.DeleteFunc(slices.Clone(s.inputs), func(p port) bool { return s.initializers[p.name] })
}

func choose(what string, ports []port, name string) (port, error) {
	if name == "" && len(ports) == 1 {
		return ports[0], nil
	}
	for _, p := range ports {
		if p.name == name && name != "" {
			return p, nil
		}
	}
	if name == "" {
		return port{}, fmt.Errorf("%w: it has %d %ss (%s): name one in bundle.yaml", ErrModel, len(ports),
			what, names(ports))
	}
	return port{}, fmt.Errorf("%w: it has no %s %q, only %s", ErrModel, what, name, names(ports))
}

// fits compares dimensions; one that is not fixed fits all.
func fits(dims, want []int64) bool {
	if len(dims) != len(want) {
		return false
	}
	for i, d := range dims {
		if d != dynamic && d != want[i] {
			return false
		}
	}
	return true
}

func names(ports []port) string {
	list := make([]string, 0, len(ports))
	for _, p := range ports {
		list = append(list, fmt.Sprintf("%q", p.name))
	}
	return strings.Join(list, ", ")
}

func shape(dims []int64) string {
	return strings.ReplaceAll(fmt.Sprint(dims), "-1", "?")
}

func elem(e uint64) string {
	switch e {
	case elemFloat:
		return "float32"
	case elemUint8:
		return "uint8"
	default:
		return fmt.Sprintf("of ONNX type %d", e)
	}
}
