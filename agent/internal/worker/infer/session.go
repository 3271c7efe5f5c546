package infer

import (
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Errors of Infer, beside detect.ErrOutput.
var (
	ErrCancelled = errors.New("deadline passed during inference")
	ErrRun       = errors.New("inference failed")
)

// Session is a bundle that runs. One goroutine at a time.
type Session struct {
	Bundle         *bundle.Bundle
	Plan           *tensor.Plan
	Provider       string
	FellBack       bool   // Provider is not the bundle's first
	FallbackReason string // why not, one sentence for each provider before it

	input   *tensor.Input
	outputs [][]float32
	runner  Runner
	decoder *detect.Decoder
	fuse    *fuse
}

// Result of one inference. Detections are valid until the next one.
type Result struct {
	Detections                    []detect.Detection
	FillNs, InferenceNs, DecodeNs int64
}

// Infer runs the model on what the canvas holds. With a deadline (CLOCK_MONOTONIC, 0: none) the run is
// broken off when it passes.
func (s *Session) Infer(c *tensor.Canvas, deadlineNs int64) (Result, error) {
	start := monotime.Now()
	c.Fill(s.input)
	filled := monotime.Now()
	r := Result{FillNs: filled - start}
	if deadlineNs != 0 && filled >= deadlineNs {
		return r, ErrCancelled
	}
	cancelled, err := s.run(deadlineNs)
	ran := monotime.Now()
	r.InferenceNs = ran - filled
	if cancelled && err != nil {
		return r, ErrCancelled
	}
	if err != nil {
		return r, fmt.Errorf("%w on %s: %w", ErrRun, s.Provider, err)
	}
	r.Detections, err = s.decoder.Decode(s.outputs, c.Geometry())
	r.DecodeNs = monotime.Now() - ran
	return r, err
}

func (s *Session) run(deadlineNs int64) (cancelled bool, err error) {
	if deadlineNs == 0 {
		return false, s.runner.Run()
	}
	s.fuse.arm(deadlineNs)
	err = s.runner.Run()
	cancelled, rearm := s.fuse.disarm()
	return cancelled, errors.Join(err, rearm)
}

// Close frees the model.
func (s *Session) Close() error {
	s.fuse.stop()
	return s.runner.Close()
}
