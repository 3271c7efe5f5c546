package infer

import (
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Errors of Infer, beside decode.ErrOutput.
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

	inputs   []*tensor.Input // of one image each
	outputs  []Output        // of all images, one behind the other
	decoders []*decode.Decoder
	results  []Result
	reads    [][]float32 // outputs of the image that is decoded
	images   int
	runner   Runner
	fuse     *fuse
	crops    *crops // a second model; nil without one
	began    func() // nil: nobody wants to know
}

// Result is what was found in one image. Detections are valid until the next run. InferenceNs is the image's
// share of the run.
type Result struct {
	Detections                    []detect.Detection
	Cut                           detect.Cut   // what else was found
	Heat                          *detect.Heat // of a model for anomalies
	Err                           error        // then nothing was
	FillNs, InferenceNs, DecodeNs int64
}

// Images is how many images one run takes at most: as many as are fastest here.
func (s *Session) Images() int { return s.images }

// Infer runs the model, and the second one on what it finds, on what the canvases hold, at most Images of
// them, and says of each what it took even when it fails. With a deadline (CLOCK_MONOTONIC, 0: none) the run
// is broken off when it passes. A run that fails fails for all of them, an output that cannot be believed for
// its own image. Results are valid until the next run.
func (s *Session) Infer(canvases []*tensor.Canvas, deadlineNs int64) []Result {
	results := s.Find(canvases, deadlineNs)
	if s.crops != nil {
		s.crops.judge(canvases, results, deadlineNs)
	}
	return results
}

// Find is Infer without the second model.
func (s *Session) Find(canvases []*tensor.Canvas, deadlineNs int64) []Result {
	results := s.results[:len(canvases)]
	start := monotime.Now()
	for i, c := range canvases {
		c.Fill(s.inputs[i])
		filled := monotime.Now()
		results[i], start = Result{FillNs: filled - start}, filled
	}
	err := s.runFor(len(canvases), start, deadlineNs)
	share := (monotime.Now() - start) / int64(len(canvases))
	for i, c := range canvases {
		r := &results[i]
		if r.InferenceNs, r.Err = share, err; err == nil {
			r.Err = s.decode(i, c.Geometry())
		}
	}
	return results
}

// Watch has a function called before each run of either model: one that hangs in a driver never comes back.
func (s *Session) Watch(began func()) {
	s.began = began
	if s.crops != nil {
		s.crops.session.began = began
	}
}

// Judge runs the second model, if there is one, on what was found in parts of a frame, and changes the result
// as Infer does.
func (s *Session) Judge(f *frame.Frame, r *Result, deadlineNs int64) {
	if s.crops != nil {
		s.crops.judgeFrame(f, r, deadlineNs)
	}
}

// runFor runs the model on so many images, unless it is too late.
func (s *Session) runFor(images int, nowNs, deadlineNs int64) error {
	if deadlineNs != 0 && nowNs >= deadlineNs {
		return ErrCancelled
	}
	if s.began != nil {
		s.began()
	}
	cancelled, err := s.run(images, deadlineNs)
	switch {
	case err == nil:
		return nil
	case cancelled:
		return ErrCancelled
	default:
		return fmt.Errorf("%w on %s: %w", ErrRun, s.Provider, err)
	}
}

// decode reads the outputs of one image.
func (s *Session) decode(image int, g tensor.Geometry) (err error) {
	start := monotime.Now()
	for i, out := range s.outputs {
		values := size(out.Shape)
		s.reads[i] = out.Values[image*values:][:values]
	}
	r := &s.results[image]
	r.Detections, err = s.decoders[image].Decode(s.reads, g)
	r.Cut, r.Heat = s.decoders[image].Cut(), s.decoders[image].Heat()
	r.DecodeNs = monotime.Now() - start
	return err
}

func (s *Session) run(images int, deadlineNs int64) (cancelled bool, err error) {
	if deadlineNs == 0 {
		return false, s.runner.Run(images)
	}
	s.fuse.arm(deadlineNs)
	err = s.runner.Run(images)
	cancelled, rearm := s.fuse.disarm()
	return cancelled, errors.Join(err, rearm)
}

// Close frees the model, and the second one.
func (s *Session) Close() error {
	s.fuse.stop()
	return errors.Join(s.crops.close(), s.runner.Close())
}
