// Package infer loads a bundle onto an execution provider, proves it by its golden samples, and runs it.
package infer

import (
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Spec is all that a runtime needs to open a model. Input and Outputs are the memory of each run, of so many
// images one behind the other: C keeps pointers to it until Close, so it stays referenced and pinned. Shapes
// are those of one image.
type Spec struct {
	Model      []byte
	Provider   bundle.Provider
	Threads    int  // of one run; 0: one per core
	Spinning   bool // threads spin between runs: faster alone, slower beside other load
	Images     int  // the most of one run; above 1 the model's first dimension is not fixed
	InputName  string
	InputShape []int64
	Input      *tensor.Input
	Outputs    []Output
}

// Output is one output of the model and the memory it is written to.
type Output struct {
	Name   string
	Shape  []int64
	Values []float32
}

// Runner is an opened model. Only Terminate is safe to call while Run runs.
type Runner interface {
	Run(images int) error // the first images of Spec.Input → those of Spec.Outputs
	Terminate()           // makes Run return an error soon, now and until Rearm
	Rearm() error         // after Terminate
	Close() error
}

// runtime opens models: ONNX Runtime, or the fake in tests. An error means that the provider is absent.
type runtime interface {
	Open(s Spec) (Runner, error)
}
