package infer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

const (
	maxValues = 1 << 28 // of an output of one run: 1 GiB
	batchOnly = 0       // the dimension that may be dynamic: the number of images
)

// contract is where a manifest and its model meet. Outputs are in the order that the decoder reads.
type contract struct {
	input     string
	shape     []int64 // of the input
	constants []Constant
	outputs   []onnxfile.Port
	rows      []onnxfile.Rows // outputs of as many rows as are found
	assumed   []string        // outputs whose size the model's file leaves open
	batched   bool            // a run may take several images
}

// agree compares the model's ports with what the manifest says of them.
func agree(s *onnxfile.Model, m *bundle.Manifest, plan *tensor.Plan) (contract, error) {
	images, constants, err := divide(s.Inputs, m.Input.Constants)
	if err != nil {
		return contract{}, err
	}
	in, err := choose("input", images, m.Input.Name)
	if err != nil {
		return contract{}, err
	}
	if len(images) != 1 {
		return contract{}, fmt.Errorf("%w: it has %d inputs (%s): a bundle gives one image, and numbers "+
			"that are always the same by input.constants", onnxfile.ErrModel, len(images), names(images))
	}
	if err = agreeInput(in, m.Input.Type, plan); err != nil {
		return contract{}, err
	}
	c := contract{input: in.Name, shape: shapeOf(in, plan), constants: constants}
	if err = c.find(s, m); err != nil {
		return contract{}, err
	}
	c.batched = anyBatch(in) && len(c.shape) == len(plan.Shape()) && anyBatch(c.outputs...) &&
		len(c.rows) == 0 && len(constants) == 0
	for i := range c.outputs {
		if err = ofOneImage(&c.outputs[i]); err != nil {
			return contract{}, err
		}
	}
	_, err = c.decoder(m)
	return c, err
}

// find finds what the decoder reads, without an optional output that the model lacks and the manifest does
// not name.
func (c *contract) find(s *onnxfile.Model, m *bundle.Manifest) error {
	for _, role := range m.Decoder.Roles() {
		name := m.Decoder.Outputs[role.Key]
		if name == "" && role.Optional {
			if !has(s.Outputs, role.Usual) {
				continue
			}
			name = role.Usual
		}
		out, err := choose("output", s.Outputs, name)
		if err != nil {
			return err
		}
		if dims := decode.Assume(m, role.Key, out.Dims); !slices.Equal(dims, out.Dims) {
			out.Dims = dims
			c.assumed = append(c.assumed, fmt.Sprintf("%q as %s", out.Name, onnxfile.Shape(dims)))
		}
		if axis, count, fill, open := decode.OpenRows(m, role.Key, out.Dims); open {
			out = c.fix(out, axis, count, fill)
		}
		c.outputs = append(c.outputs, out)
	}
	return nil
}

// fix notes an output of as many rows as are found, and returns the one of a fixed number that stands for it.
func (c *contract) fix(out onnxfile.Port, axis int, count, fill int64) onnxfile.Port {
	out.Dims = slices.Clone(out.Dims)
	out.Dims[axis] = count
	if axis > batchOnly && out.Dims[batchOnly] == onnxfile.Dynamic {
		out.Dims[batchOnly] = 1
	}
	fixed := onnxfile.Rows{Port: out, Axis: axis, Fill: fill, Name: out.Name + "/rows"}
	c.rows = append(c.rows, fixed)
	out.Name = fixed.Name
	return out
}

// open says whether an output stands for one of as many rows as are found.
func (c *contract) open(out onnxfile.Port) bool {
	return slices.ContainsFunc(c.rows, func(r onnxfile.Rows) bool { return r.Name == out.Name })
}

// explain adds what a run that failed may be due to.
func (c *contract) explain(err error) error {
	if len(c.assumed) == 0 || !errors.Is(err, ErrRun) {
		return err
	}
	return fmt.Errorf("the model's file does not say how large its outputs are; the input's size is taken, "+
		"%s: if that is wrong, export it for an input of the size that it works with: %w",
		strings.Join(c.assumed, ", "), err)
}

// decoder makes one for a run's outputs of one image.
func (c *contract) decoder(m *bundle.Manifest) (*decode.Decoder, error) {
	ports := make([]decode.Port, 0, len(c.outputs))
	for _, out := range c.outputs {
		ports = append(ports, decode.Port{Name: out.Name, Dims: out.Dims, Open: c.open(out)})
	}
	d, err := decode.New(m, ports)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", onnxfile.ErrModel, err)
	}
	return d, nil
}

// shapeOf is what an input takes: an image, or, as torchvision's detectors, one without the dimension of the
// images.
func shapeOf(in onnxfile.Port, plan *tensor.Plan) []int64 {
	shape := plan.Shape()
	if len(in.Dims) == len(shape)-1 {
		return shape[1:]
	}
	return shape
}

func agreeInput(in onnxfile.Port, kind string, plan *tensor.Plan) error {
	if in.Elem.String() != kind {
		return fmt.Errorf("%w: input %q is %s, bundle.yaml says %s", onnxfile.ErrModel, in.Name, in.Elem,
			kind)
	}
	if !fits(in.Dims, shapeOf(in, plan)) {
		return fmt.Errorf("%w: input %q is %s, bundle.yaml makes %s of the frame: correct input there or "+
			"export the model anew", onnxfile.ErrModel, in.Name, onnxfile.Shape(in.Dims),
			onnxfile.Shape(plan.Shape()))
	}
	return nil
}

// ofOneImage fixes the number of images, where it is not fixed, at one.
func ofOneImage(p *onnxfile.Port) error {
	readable := []onnxfile.Elem{
		onnxfile.Float32, onnxfile.Float16, onnxfile.Uint8, onnxfile.Int32, onnxfile.Int64,
	}
	if !slices.Contains(readable, p.Elem) {
		return fmt.Errorf("%w: output %q is %s, the decoder reads float32, float16, int64, int32 and uint8",
			onnxfile.ErrModel, p.Name, p.Elem)
	}
	if len(p.Dims) > 0 && p.Dims[batchOnly] == onnxfile.Dynamic {
		p.Dims = append([]int64{1}, p.Dims[1:]...)
	}
	return nil
}

// takes says whether one run can have so many images.
func (c *contract) takes(images int) error {
	if images > 1 && !c.batched {
		return fmt.Errorf("%w: it takes one image a run, bundle.yaml says batch %d: leave batch out or "+
			"export the model with a first dimension that is not fixed", onnxfile.ErrModel, images)
	}
	for _, out := range c.outputs {
		if values := images * size(out.Dims); values > maxValues {
			return fmt.Errorf("%w: output %q of %d images has %d values, over %d", onnxfile.ErrModel,
				out.Name, images, values, maxValues)
		}
	}
	return nil
}

// anyBatch says that no port fixes the number of images.
func anyBatch(ports ...onnxfile.Port) bool {
	return !slices.ContainsFunc(ports, func(p onnxfile.Port) bool {
		return len(p.Dims) == 0 || p.Dims[batchOnly] != onnxfile.Dynamic
	})
}

func has(ports []onnxfile.Port, name string) bool {
	return slices.ContainsFunc(ports, func(p onnxfile.Port) bool { return p.Name == name })
}

func choose(what string, ports []onnxfile.Port, name string) (onnxfile.Port, error) {
	if name == "" && len(ports) == 1 {
		return ports[0], nil
	}
	for _, p := range ports {
		if p.Name == name && name != "" {
			return p, nil
		}
	}
	if name == "" {
		return onnxfile.Port{}, fmt.Errorf("%w: it has %d %ss (%s): name one in bundle.yaml",
			onnxfile.ErrModel, len(ports), what, names(ports))
	}
	return onnxfile.Port{}, fmt.Errorf("%w: it has no %s %q, only %s", onnxfile.ErrModel, what, name,
		names(ports))
}

// fits compares dimensions; one that is not fixed fits all.
func fits(dims, want []int64) bool {
	if len(dims) != len(want) {
		return false
	}
	for i, d := range dims {
		if d != onnxfile.Dynamic && d != want[i] {
			return false
		}
	}
	return true
}

func names(ports []onnxfile.Port) string {
	list := make([]string, 0, len(ports))
	for _, p := range ports {
		list = append(list, fmt.Sprintf("%q", p.Name))
	}
	return strings.Join(list, ", ")
}
