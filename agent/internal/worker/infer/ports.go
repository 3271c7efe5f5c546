package infer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
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
	maxValues = 1 << 28 // of an output of one run: 1 GiB
	sides     = 4       // of a box, in a dfl output
	maxBins   = 64      // of the distance to a side
	batchOnly = 0       // the dimension that may be dynamic: the number of images
)

// contract is where a manifest and its model meet. Outputs are in the order that the decoder reads.
type contract struct {
	input   string
	outputs []port
	batched bool // a run may take several images
	grid    detect.Grid
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
	wanted := []string{m.Decoder.Output}
	if m.Decoder.Family == bundle.FamilyDFL {
		wanted = append(wanted, m.Decoder.Distances)
	}
	for _, name := range wanted {
		out, bad := choose("output", s.outputs, name)
		if bad != nil {
			return contract{}, bad
		}
		c.outputs = append(c.outputs, out)
	}
	c.batched = anyBatch(in) && anyBatch(c.outputs...)
	if m.Decoder.Family == bundle.FamilyDFL {
		err = c.agreeGrid(m)
	} else {
		err = c.agreeRows(m)
	}
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

// agreeRows reads the one output of the family yolov8.
func (c *contract) agreeRows(m *bundle.Manifest) error {
	out, rows := &c.outputs[0], int64(boxRows+len(m.Classes))
	wanted := fmt.Sprintf("the decoder %s reads [1 %d N]", m.Decoder.Family, rows)
	if err := out.readable(3, wanted); err != nil {
		return err
	}
	switch {
	case out.dims[1] != rows:
		return fmt.Errorf("%w: output %q is %s, which means %d classes; bundle.yaml names %d", ErrModel,
			out.name, shape(out.dims), out.dims[1]-boxRows, len(m.Classes))
	case out.dims[2] > maxCells:
		return fmt.Errorf("%w: output %q has %d cells, over %d", ErrModel, out.name, out.dims[2], maxCells)
	}
	c.grid = detect.Grid{Columns: int(out.dims[2]), Rows: 1}
	return nil
}

// agreeGrid reads the two outputs of the family dfl.
func (c *contract) agreeGrid(m *bundle.Manifest) error {
	scores, distances := &c.outputs[0], &c.outputs[1]
	if err := errors.Join(scores.readable(4, "the decoder dfl reads scores [1 classes h w]"),
		distances.readable(4, "the decoder dfl reads distances [1 4×bins h w]")); err != nil {
		return err
	}
	h, w := scores.dims[2], scores.dims[3]
	bins := distances.dims[1] / sides
	switch {
	case scores.dims[1] != int64(len(m.Classes)):
		return fmt.Errorf("%w: output %q is %s, which means %d classes; bundle.yaml names %d", ErrModel,
			scores.name, shape(scores.dims), scores.dims[1], len(m.Classes))
	case distances.dims[1]%sides != 0 || bins < 2 || bins > maxBins:
		return fmt.Errorf("%w: output %q is %s: its second size must be four times 2 to %d bins", ErrModel,
			distances.name, shape(distances.dims), maxBins)
	case distances.dims[2] != h || distances.dims[3] != w || h*w > maxCells:
		return fmt.Errorf("%w: outputs %q %s and %q %s must have one grid of at most %d cells", ErrModel,
			scores.name, shape(scores.dims), distances.name, shape(distances.dims), maxCells)
	case int64(m.Input.Width)%w != 0 || int64(m.Input.Height)%h != 0 ||
		int64(m.Input.Width)/w != int64(m.Input.Height)/h:
		return fmt.Errorf("%w: a grid of %d×%d cells does not divide an input of %d×%d into squares",
			ErrModel, w, h, m.Input.Width, m.Input.Height)
	}
	c.grid = detect.Grid{
		Columns: int(w), Rows: int(h), Bins: int(bins), Stride: float32(m.Input.Width) / float32(w),
	}
	return nil
}

// readable says whether a decoder can read an output: float32, of so many fixed dimensions, one frame at a
// time.
func (p *port) readable(dims int, wanted string) error {
	switch {
	case p.elem != elemFloat:
		return fmt.Errorf("%w: output %q is %s, the decoder reads float32", ErrModel, p.name, elem(p.elem))
	case len(p.dims) != dims || p.dims[batchOnly] > 1:
		return fmt.Errorf("%w: output %q is %s, %s", ErrModel, p.name, shape(p.dims), wanted)
	case slices.Contains(p.dims[1:], dynamic):
		return fmt.Errorf("%w: output %q is %s: export the model with fixed sizes", ErrModel, p.name,
			shape(p.dims))
	}
	p.dims = append([]int64{1}, p.dims[1:]...)
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
