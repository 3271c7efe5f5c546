package infer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	maxValues = 1 << 28 // of an output of one run: 1 GiB
	batchOnly = 0       // the dimension that may be dynamic: the number of images
)

// contract is where a manifest and its model meet. Outputs are in the order that the decoder reads.
type contract struct {
	input   string
	outputs []port
	batched bool // a run may take several images
}

// agree compares the model's ports with what the manifest says of them.
func agree(s *signature, m *bundle.Manifest, plan *tensor.Plan) (contract, error) {
	in, err := choose("input", realInputs(s), m.Input.Name)
	if err != nil {
		return contract{}, err
	}
	if len(realInputs(s)) != 1 {
		return contract{}, fmt.Errorf("%w: it has %d inputs (%s): a detection bundle gives one image",
			ErrModel, len(realInputs(s)), names(realInputs(s)))
	}
	if err = agreeInput(in, plan); err != nil {
		return contract{}, err
	}
	c := contract{input: in.name}
	for _, role := range m.Decoder.Roles() {
		out, bad := choose("output", s.outputs, m.Decoder.Outputs[role.Key])
		if bad != nil {
			return contract{}, bad
		}
		c.outputs = append(c.outputs, out)
	}
	c.batched = anyBatch(in) && anyBatch(c.outputs...)
	for i := range c.outputs {
		if err = c.outputs[i].ofOneImage(); err != nil {
			return contract{}, err
		}
	}
	_, err = c.decoder(m)
	return c, err
}

// decoder makes one for a run's outputs of one image.
func (c *contract) decoder(m *bundle.Manifest) (*decode.Decoder, error) {
	ports := make([]decode.Port, 0, len(c.outputs))
	for _, out := range c.outputs {
		ports = append(ports, decode.Port{Name: out.name, Dims: out.dims})
	}
	d, err := decode.New(m, ports)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	return d, nil
}

func agreeInput(in port, plan *tensor.Plan) error {
	wanted := Float32
	if plan.Bytes() {
		wanted = Uint8
	}
	if in.elem != wanted {
		return fmt.Errorf("%w: input %q is %s, bundle.yaml says %s", ErrModel, in.name, in.elem, wanted)
	}
	if !fits(in.dims, plan.Shape()) {
		return fmt.Errorf("%w: input %q is %s, bundle.yaml makes %s of the frame: correct input there or "+
			"export the model anew", ErrModel, in.name, decode.Shape(in.dims), decode.Shape(plan.Shape()))
	}
	return nil
}

// ofOneImage fixes the number of images, where it is not fixed, at one.
func (p *port) ofOneImage() error {
	if !slices.Contains([]Elem{Float32, Uint8, Int32, Int64}, p.elem) {
		return fmt.Errorf("%w: output %q is %s, the decoder reads float32, int64, int32 and uint8", ErrModel,
			p.name, p.elem)
	}
	if len(p.dims) > 0 && p.dims[batchOnly] == dynamic {
		p.dims = append([]int64{1}, p.dims[1:]...)
	}
	return nil
}

// takes says whether one run can have so many images.
func (c *contract) takes(images int) error {
	if images > 1 && !c.batched {
		return fmt.Errorf("%w: it takes one image a run, bundle.yaml says batch %d: leave batch out or "+
			"export the model with a first dimension that is not fixed", ErrModel, images)
	}
	for _, out := range c.outputs {
		if values := images * size(out.dims); values > maxValues {
			return fmt.Errorf("%w: output %q of %d images has %d values, over %d", ErrModel, out.name, images,
				values, maxValues)
		}
	}
	return nil
}

// anyBatch says that no port fixes the number of images.
func anyBatch(ports ...port) bool {
	return !slices.ContainsFunc(ports, func(p port) bool {
		return len(p.dims) == 0 || p.dims[batchOnly] != dynamic
	})
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
