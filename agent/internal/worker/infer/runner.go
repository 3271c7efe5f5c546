// Package infer loads a bundle onto an execution provider, proves it by its golden samples, and runs it.
package infer

import (
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// Spec is all that a runtime needs to open a model. Input and Outputs are the memory of each run, of so many
// images one behind the other: C keeps pointers to it until Close, so it stays referenced and pinned. Shapes
// are those of one image.
type Spec struct {
	Model      []byte
	Provider   bundle.Provider
	Threads    int    // of one run; 0: one per core
	Spinning   string // when threads wait busily: SpinRun (also if empty), SpinAlways or SpinNever
	Images     int    // the most of one run; above 1 the model's first dimension is not fixed
	InputName  string
	InputShape []int64
	Input      *tensor.Input
	Half       bool       // the model takes float16, to which the floats of Input become before each run
	Constants  []Constant // the model's other inputs; without any where Images is above 1
	Outputs    []Output
}

// Output is one output of the model and the memory it is written to: float16, too, becomes float32, and
// integers, of which it holds those up to 2^24, more than there are classes.
type Output struct {
	Name   string
	Elem   onnxfile.Elem
	Shape  []int64
	Values []float32
}

// When the threads of a model wait busily. Waking a thread that sleeps takes up to 0.1 ms, and a run wakes
// each of them for each step of the model; a thread that is awake takes its core from everything else.
const (
	SpinRun    = "run"    // within a run, and no longer
	SpinAlways = "always" // between two runs, too
	SpinNever  = "never"
)

// Runner is an opened model. Only Terminate is safe to call while Run runs.
type Runner interface {
	Run(images int) error // the first images of Spec.Input → those of Spec.Outputs
	Terminate()           // makes Run return an error soon, now and until Rearm
	Rearm() error         // after Terminate
	Close() error
}

// builder is a Runner that compiles the model, which can take minutes. What it built is loaded at the next
// start when Keep was called before Close. Keep wraps ErrIdle where the provider had nothing to compile.
type builder interface {
	Keep() error
	Drop(reason string) // what was built before, and is wrong
}

// runtime opens models: ONNX Runtime, or the fake in tests. An error means that the provider is absent.
type runtime interface {
	Open(s Spec) (Runner, error)
}
