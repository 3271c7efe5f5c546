//go:build cgo

package ort

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/engines"
)

// runner is one session with its input and output for life.
type runner struct {
	session session
	options *onnx.RunOptions
	values  []onnx.Value
	outputs []memory
	sizes   []int          // values of each output of one image
	narrow  *halves        // the input of a model that takes them, else nil
	size    int            // values of the input of one image
	pinner  runtime.Pinner // the tensors' Go memory, to which C keeps pointers
	engine  *engines.Entry // nil: none is kept
}

// session runs a model on its own memory.
type session interface {
	run(images int, options *onnx.RunOptions) error
	Destroy() error
}

// bound takes one image a run, and allocates nothing.
type bound struct{ *onnx.AdvancedSession }

func (b bound) run(_ int, options *onnx.RunOptions) error { return b.RunWithOptions(options) }

// batched takes one image or more. The library allocates two short lists a run, whatever its size.
type batched struct {
	*onnx.DynamicAdvancedSession

	inputs, outputs [][]onnx.Value // of one image, of two, …
}

func (b *batched) run(images int, options *onnx.RunOptions) error {
	return b.RunWithOptions(b.inputs[images-1], b.outputs[images-1], options)
}

// Open makes a session on the execution provider of the spec. Where an engine that was kept does not load, it
// is built anew.
func (r *Runtime) Open(s infer.Spec) (run infer.Runner, err error) {
	err = undisturbed(func() error {
		run, err = r.open(s)
		return err
	})
	return run, r.told(err, s.Provider.Name)
}

func (r *Runtime) open(s infer.Spec) (infer.Runner, error) {
	engine, err := r.engine(s)
	if err != nil {
		return nil, err
	}
	run, err := open(s, engine)
	if err == nil || engine == nil || !engine.Ready() {
		return run, err
	}
	engine.Drop(err.Error())
	if engine, err = r.engine(s); err != nil {
		return nil, err
	}
	return open(s, engine)
}

// open makes a session, which ends the use of the engine, also where it fails.
func open(s infer.Spec, engine *engines.Entry) (infer.Runner, error) {
	run, dir := &runner{engine: engine}, ""
	if engine != nil {
		dir = engine.Dir()
	}
	options, err := sessionOptions(s, dir)
	if err != nil {
		return nil, errors.Join(err, run.close())
	}
	defer func() { _ = options.Destroy() }()
	if err := run.open(s, options); err != nil {
		return nil, errors.Join(err, run.close())
	}
	return run, nil
}

func (r *runner) open(s infer.Spec, options *onnx.SessionOptions) (err error) {
	if r.options, err = onnx.NewRunOptions(); err != nil {
		return fmt.Errorf("make run options: %w", err)
	}
	if err = r.pin(s); err != nil {
		return err
	}
	var inputs, outputs [][]onnx.Value
	for images := 1; images <= s.Images; images++ {
		in, out, bad := r.bind(s, int64(images))
		if bad != nil {
			return bad
		}
		inputs, outputs = append(inputs, in), append(outputs, out)
	}
	inputNames := []string{s.InputName}
	for _, c := range s.Constants {
		inputNames = append(inputNames, c.Name)
	}
	var names []string
	for _, out := range s.Outputs {
		names = append(names, out.Name)
	}
	if s.Images == 1 {
		var fixed *onnx.AdvancedSession
		fixed, err = onnx.NewAdvancedSessionWithONNXData(s.Model, inputNames, names, inputs[0], outputs[0],
			options)
		r.session = bound{fixed}
	} else {
		var dynamic *onnx.DynamicAdvancedSession
		dynamic, err = onnx.NewDynamicAdvancedSessionWithONNXData(s.Model, inputNames, names, options)
		r.session = &batched{dynamic, inputs, outputs}
	}
	if err != nil {
		r.session = nil
		return fmt.Errorf("load model: %w", partly(err, s.Provider.Name))
	}
	return nil
}

// partly explains that a provider leaves some of a model to the CPU.
func partly(err error, provider string) error {
	if !strings.Contains(err.Error(), "fallback to CPU EP has been explicitly disabled") {
		return err
	}
	return fmt.Errorf("%s does not run all of its operators, and the CPU would slow it down: export it with "+
		"fixed sizes and with operators that %s has, or take %s out of providers.order: %w", provider,
		provider, provider, err)
}

func (r *runner) pin(s infer.Spec) error {
	switch {
	case s.Input.Bytes != nil:
		r.pinner.Pin(&s.Input.Bytes[0])
	case s.Half:
		r.narrow = &halves{make([]uint16, len(s.Input.Floats)), s.Input.Floats}
		r.narrow.pin(&r.pinner)
		r.size = len(s.Input.Floats) / s.Images
	default:
		r.pinner.Pin(&s.Input.Floats[0])
	}
	for i := range s.Outputs {
		out, err := newMemory(&s.Outputs[i])
		if err != nil {
			return err
		}
		out.pin(&r.pinner)
		r.outputs = append(r.outputs, out)
		r.sizes = append(r.sizes, len(s.Outputs[i].Values)/s.Images)
	}
	return nil
}

// bind makes tensors of the first images in memory.
func (r *runner) bind(s infer.Spec, images int64) (inputs, outputs []onnx.Value, err error) {
	input, err := r.input(s, images)
	if err != nil {
		return nil, nil, fmt.Errorf("bind input: %w", err)
	}
	r.values = append(r.values, input)
	for i, out := range s.Outputs {
		shape := of(out.Shape, images)
		value, bad := r.outputs[i].tensor(shape)
		if bad != nil {
			return nil, nil, fmt.Errorf("bind output %s: %w", out.Name, bad)
		}
		r.values, outputs = append(r.values, value), append(outputs, value)
	}
	constants, err := r.constants(s)
	if err != nil {
		return nil, nil, err
	}
	return append([]onnx.Value{input}, constants...), outputs, nil
}

func (r *runner) input(s infer.Spec, images int64) (onnx.Value, error) {
	shape := of(s.InputShape, images)
	switch {
	case s.Input.Bytes != nil:
		return onnx.NewTensor(shape, s.Input.Bytes[:shape.FlattenedSize()])
	case r.narrow != nil:
		return r.narrow.tensor(shape)
	default:
		return onnx.NewTensor(shape, s.Input.Floats[:shape.FlattenedSize()])
	}
}

// of is the shape of so many images. Of one it may lack the dimension that counts them.
func of(shape []int64, images int64) onnx.Shape {
	all := slices.Clone(shape)
	if images > 1 {
		all[0] = images
	}
	return all
}

// Run implements infer.Runner.
func (r *runner) Run(images int) error {
	if r.narrow != nil {
		r.narrow.write(images * r.size)
	}
	if err := r.session.run(images, r.options); err != nil {
		return err
	}
	for i, out := range r.outputs {
		out.read(images * r.sizes[i])
	}
	return nil
}

// Terminate implements infer.Runner.
func (r *runner) Terminate() { _ = r.options.Terminate() } // fails only for options that do not exist

// Rearm implements infer.Runner.
func (r *runner) Rearm() error { return r.options.UnsetTerminate() }

// Close implements infer.Runner.
func (r *runner) Close() error { return undisturbed(r.close) }

func (r *runner) close() error {
	var errs []error
	if r.session != nil {
		errs = append(errs, r.session.Destroy())
		r.session = nil
	}
	if r.options != nil {
		errs = append(errs, r.options.Destroy())
		r.options = nil
	}
	for _, v := range r.values {
		errs = append(errs, v.Destroy())
	}
	r.values = nil
	r.pinner.Unpin()
	if r.engine != nil {
		errs = append(errs, r.engine.Close())
		r.engine = nil
	}
	return errors.Join(errs...)
}
