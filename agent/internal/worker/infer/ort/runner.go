//go:build cgo

package ort

import (
	"errors"
	"fmt"
	"runtime"

	onnx "github.com/yalue/onnxruntime_go"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
)

// runner is one session bound to its input and output for life: a run allocates nothing.
type runner struct {
	session *onnx.AdvancedSession
	options *onnx.RunOptions
	values  []onnx.Value
	pinner  runtime.Pinner // the tensors' Go memory, to which C keeps pointers
}

// Open makes a session on the execution provider of the spec.
func (r *Runtime) Open(s infer.Spec) (infer.Runner, error) {
	options, err := sessionOptions(s)
	if err != nil {
		return nil, err
	}
	defer func() { _ = options.Destroy() }()
	run := &runner{}
	if err := run.open(s, options); err != nil {
		return nil, errors.Join(err, run.Close())
	}
	return run, nil
}

func (r *runner) open(s infer.Spec, options *onnx.SessionOptions) error {
	input, err := r.bindInput(s)
	if err != nil {
		return fmt.Errorf("bind input: %w", err)
	}
	r.values = append(r.values, input)
	var names []string
	var outputs []onnx.Value
	var value onnx.Value
	for _, out := range s.Outputs {
		r.pinner.Pin(&out.Values[0])
		value, err = onnx.NewTensor(onnx.NewShape(out.Shape...), out.Values)
		if err != nil {
			return fmt.Errorf("bind output %s: %w", out.Name, err)
		}
		names, outputs, r.values = append(names, out.Name), append(outputs, value), append(r.values, value)
	}
	if r.options, err = onnx.NewRunOptions(); err != nil {
		return fmt.Errorf("make run options: %w", err)
	}
	r.session, err = onnx.NewAdvancedSessionWithONNXData(s.Model, []string{s.InputName},
		names, []onnx.Value{input}, outputs, options)
	if err != nil {
		return fmt.Errorf("load model: %w", err)
	}
	return nil
}

func (r *runner) bindInput(s infer.Spec) (onnx.Value, error) {
	shape := onnx.NewShape(s.InputShape...)
	if s.Input.Bytes != nil {
		r.pinner.Pin(&s.Input.Bytes[0])
		return onnx.NewTensor(shape, s.Input.Bytes)
	}
	r.pinner.Pin(&s.Input.Floats[0])
	return onnx.NewTensor(shape, s.Input.Floats)
}

// Run implements infer.Runner.
func (r *runner) Run() error { return r.session.RunWithOptions(r.options) }

// Terminate implements infer.Runner.
func (r *runner) Terminate() { _ = r.options.Terminate() } // fails only for options that do not exist

// Rearm implements infer.Runner.
func (r *runner) Rearm() error { return r.options.UnsetTerminate() }

// Close implements infer.Runner.
func (r *runner) Close() error {
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
	return errors.Join(errs...)
}
