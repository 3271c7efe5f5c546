// Package fake is a runtime without ONNX Runtime, for tests: a function writes the output.
package fake

import (
	"errors"
	"sync/atomic"

	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
)

// ErrTerminated is what Run returns after Terminate.
var ErrTerminated = errors.New("fake run terminated")

// Runtime opens runners that call Script. Absent names providers that it pretends not to have.
type Runtime struct {
	// Script fills the values of s.Outputs for s.Images images, those of this run, and returns ErrTerminated
	// when stop closes before it is done. nil: no detection.
	Script func(s infer.Spec, stop <-chan struct{}) error
	Absent map[string]error
	Opened atomic.Int64 // runners opened so far
	Closed atomic.Int64 // of these
}

// Open makes a runner.
func (r *Runtime) Open(s infer.Spec) (infer.Runner, error) {
	if err, absent := r.Absent[s.Provider.Name]; absent {
		return nil, err
	}
	r.Opened.Add(1)
	run := &runner{script: r.Script, spec: s, closed: &r.Closed}
	stop := make(chan struct{})
	run.stop.Store(&stop)
	return run, nil
}

type runner struct {
	script func(infer.Spec, <-chan struct{}) error
	spec   infer.Spec
	closed *atomic.Int64
	stop   atomic.Pointer[chan struct{}]
}

// Run implements infer.Runner.
func (r *runner) Run(images int) error {
	if r.script == nil {
		for _, out := range r.spec.Outputs {
			clear(out.Values)
		}
		return nil
	}
	spec := r.spec
	spec.Images = images
	return r.script(spec, *r.stop.Load())
}

// Terminate implements infer.Runner.
func (r *runner) Terminate() { close(*r.stop.Load()) }

// Rearm implements infer.Runner.
func (r *runner) Rearm() error {
	stop := make(chan struct{})
	r.stop.Store(&stop)
	return nil
}

// Close implements infer.Runner.
func (r *runner) Close() error {
	r.closed.Add(1)
	return nil
}
