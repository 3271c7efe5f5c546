package infer

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Parity runs the golden samples on the provider that the policy leaves, and the same model on the CPU, and
// says how far apart they are. A bundle whose samples disagree is no error here.
func (l *Loader) Parity(b *bundle.Bundle, policy string) (out *wire.Parity, err error) {
	if len(b.Manifest.Golden.Samples) == 0 {
		return nil, fmt.Errorf("%w: bundle %s has no golden samples to compare: add some under "+
			"golden.samples", ErrGolden, b.Manifest.Name)
	}
	c, err := newCandidate(b)
	if err != nil {
		return nil, err
	}
	used, policy := bundle.Provider{}, cmp.Or(policy, b.Manifest.Providers.Policy)
	here, err := l.first(c, policy, func(p bundle.Provider) (*Session, error) {
		used = p
		return l.started(c, p)
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, here.Close()) }()
	out = &wire.Parity{Provider: here.Provider, Model: used.Model, FallbackReason: here.FallbackReason}
	var cpu *Session
	if used.Name != bundle.ProviderCPU {
		twin := bundle.Provider{Name: bundle.ProviderCPU, Model: used.Model, Then: used.Then, Batch: 1}
		if cpu, err = l.started(c, twin); err != nil {
			out.CPUReason = firstLine(err)
		} else {
			defer func() { err = errors.Join(err, cpu.Close()) }()
		}
	}
	for _, sample := range b.Manifest.Golden.Samples {
		one, bad := here.parity(cpu, sample)
		if bad != nil {
			return nil, bad
		}
		out.Samples = append(out.Samples, one)
	}
	return out, nil
}

// started makes a session that runs, whatever its golden samples say.
func (l *Loader) started(c *candidate, p bundle.Provider) (*Session, error) {
	s, err := l.start(c, p, 1)
	if err != nil {
		return nil, err
	}
	canvas := tensor.NewCanvas(s.Plan)
	defer canvas.Close()
	if err := s.proveBlank(canvas); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// parity compares one sample; cpu may be nil.
func (s *Session) parity(cpu *Session, sample bundle.GoldenSample) (wire.SampleParity, error) {
	one := wire.SampleParity{Image: sample.Image}
	expected, err := s.Bundle.Expected(sample)
	if err != nil {
		return one, fmt.Errorf("%w: %w", ErrGolden, err)
	}
	found, err := s.findings(sample)
	if errors.Is(err, decode.ErrOutput) {
		one.Fault = err.Error()
		return one, nil
	}
	if err != nil {
		return one, err
	}
	one.Expected = s.apart(found, expected)
	if cpu == nil {
		return one, nil
	}
	others, err := cpu.findings(sample)
	if err != nil {
		return one, fmt.Errorf("on the CPU: %w", err)
	}
	one.CPU = s.apart(found, cpu.named(others))
	return one, nil
}

// findings are what the model finds on a sample, valid until the next run.
func (s *Session) findings(sample bundle.GoldenSample) ([]detect.Detection, error) {
	canvas := tensor.NewCanvas(s.Plan)
	defer canvas.Close()
	release, err := s.show(canvas, sample)
	if err != nil {
		return nil, err
	}
	defer release()
	result := s.Infer([]*tensor.Canvas{canvas}, 0)[0]
	if result.Err != nil {
		return nil, fmt.Errorf("run golden sample %s: %w", sample.Image, result.Err)
	}
	return result.Detections, nil
}

// named are those findings that reach their thresholds, as golden samples list them.
func (s *Session) named(found []detect.Detection) []bundle.Detection {
	var list []bundle.Detection
	for _, d := range found {
		if class := s.Bundle.Manifest.Classes[d.Class]; d.Score >= float32(class.Threshold) {
			list = append(list, bundle.Detection{Class: class.Name, Score: d.Score, Box: d.Box, Area: d.Area})
		}
	}
	return list
}

// apart pairs what was found with what is wanted as compare does, and measures the pairs.
func (s *Session) apart(found []detect.Detection, wanted []bundle.Detection) *wire.Apart {
	a := &wire.Apart{
		Wanted: len(wanted), Found: len(s.named(found)), Beyond: s.compare(found, wanted),
	}
	used := make([]bool, len(found))
	for _, want := range wanted {
		best := s.nearest(found, used, want)
		if best < 0 {
			a.Missing++
			continue
		}
		used[best] = true
		a.Box = max(a.Box, far(found[best].Box, want.Box))
		a.Score = max(a.Score, math.Abs(float64(found[best].Score-want.Score)))
		a.Area = max(a.Area, unlike(found[best].Area, want.Area))
	}
	for i, d := range found {
		if !used[i] && d.Score >= float32(s.Bundle.Manifest.Classes[d.Class].Threshold) {
			a.Extra++
		}
	}
	return a
}
