package station

import (
	"math"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/samples"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/topic"
)

const (
	// holdEvery: so often a frame is held in case its part is overridden. Where each part fails, nobody
	// overrides one by one.
	holdEvery = 500 * time.Millisecond
	// maxSampled detections are described.
	maxSampled = 300
	// maxChunks of a frame are taken: the largest is some hundred.
	maxChunks = 1024
)

// sampler takes what a model can learn from. No call blocks.
type sampler interface {
	Wants(place topic.Station, reason samples.Reason, margin float32, at time.Time) bool
	Holds() bool
	Note(r *samples.Record)
	Sampled(resultID string, picture samples.Chunks) error
}

// partial is a frame of which more is to come.
type partial struct {
	job     uint64
	picture samples.Chunks
	bytes   int
	endless bool // it is larger than a picture may be
}

// sample says whether the frame of a closed part is wanted as it came: since the model was not sure, or in
// case an operator overrides its verdict. The part is described in any case, for that operator.
func (s *Station) sample(p *inspected) bool {
	to, answer := s.opts.Samples, p.View.answer
	if to == nil || answer == nil || answer.GetFault() != wire.Fault_FAULT_NONE ||
		p.View.outcome.Reason == verdict.ReasonBadOutput {
		return false
	}
	now := time.Now().UTC()
	r := s.describe(p, now)
	reason, margin := s.uncertain(p)
	if reason != "" && to.Wants(s.opts.Place, reason, margin, now) {
		r.Reason, r.Margin = reason, margin
		s.counters.add(CountSamples, string(reason))
	}
	to.Note(r)
	return r.Reason != "" || s.hold(p)
}

// disagreed says whether the frame of a part is wanted as it came since the shadow says another verdict.
// Where one of the two knows none, it does not.
func (s *Station) disagreed(p *inspected, shadow event.Verdict) bool {
	to, answer, live := s.opts.Samples, p.View.answer, p.View.outcome.Verdict
	now := time.Now().UTC()
	if to == nil || answer == nil || live == shadow || live == event.Unknown || shadow == event.Unknown ||
		!to.Wants(s.opts.Place, samples.Disagreement, 0, now) {
		return false
	}
	r := s.describe(p, now)
	r.Reason = samples.Disagreement
	s.counters.add(CountSamples, string(r.Reason))
	to.Note(r)
	return true
}

// uncertain says how unsure the model was, if it was.
func (s *Station) uncertain(p *inspected) (samples.Reason, float32) {
	margin := s.of(p.View.answer).Rules.Doubt(p.View.answer)
	switch out := &p.View.outcome; {
	case out.Reason == verdict.ReasonUnsure:
		if math.IsInf(float64(margin), 1) {
			margin = 1
		}
		return samples.Unsure, margin
	case out.Verdict == event.Unknown: // that of a frame which nobody judged
	case float64(margin) <= s.opts.Margin && s.opts.Margin > 0:
		return samples.Uncertain, margin
	}
	return "", 0
}

// hold says whether to keep the frame of a part that did not pass for a while.
func (s *Station) hold(p *inspected) bool {
	now := s.opts.Now()
	if p.View.outcome.Verdict == event.Pass || !s.opts.Samples.Holds() || now < s.holdAtNs {
		return false
	}
	s.holdAtNs = now + int64(holdEvery)
	return true
}

// describe makes the record of a part.
func (s *Station) describe(p *inspected, at time.Time) *samples.Record {
	answer, out, recipe := p.View.answer, p.View.outcome, s.of(p.View.answer)
	model := recipe.model
	r := &samples.Record{
		ResultID: p.ResultID, Station: s.opts.Place.Path(), PartID: p.PartID, ProductID: p.ProductID,
		RecipeID: recipe.ID, Time: at, Verdict: out.Verdict, VerdictReason: out.Reason,
		Classes: recipe.Rules.Classes(), Simulated: answer.GetSimulated(),
		Model: event.Model{
			Name: model.GetName(), Version: model.GetVersion(), Digest: model.GetDigest(),
			Provider: recipe.provider, Template: model.GetTemplate(),
		},
	}
	counted := out.Defects // in the order of the detections
	for _, d := range answer.GetDetections() {
		if len(r.Detections) == maxSampled {
			break
		}
		found := samples.Detection{
			Class: recipe.Rules.Class(d.GetClass()), Score: d.GetScore(), Area: d.GetArea(),
			Box: [4]float32{d.GetX1(), d.GetY1(), d.GetX2(), d.GetY2()}, Outline: wire.Points(d.GetOutline()),
		}
		if len(counted) > 0 && counted[0].Box == found.Box && counted[0].Class == found.Class {
			found.Counted, counted = true, counted[1:]
		}
		r.Detections = append(r.Detections, found)
	}
	for _, t := range s.truth(answer) {
		r.Truth = append(r.Truth, samples.Label{Class: t.Class, Box: t.Box})
	}
	return r
}

// framed takes a part of a frame as it came, and hands the frame on when it is all there. Nothing of it is
// copied here, where triggers wait.
func (s *Station) framed(m *wire.Evidence) {
	if s.opts.Samples == nil {
		return
	}
	job, part := m.GetJob(), m.GetJpeg()
	if s.frame.job != job {
		s.frame = partial{job: job}
	}
	s.frame.bytes += len(part)
	if s.frame.bytes > samples.MaxPictureBytes || len(s.frame.picture) == maxChunks {
		s.frame.endless, s.frame.picture = true, nil
	}
	if !s.frame.endless {
		s.frame.picture = append(s.frame.picture, part)
	}
	if m.GetMore() {
		return
	}
	picture, endless := s.frame.picture, s.frame.endless
	s.frame = partial{}
	p := s.ledger.Closed(job)
	if p == nil || endless {
		s.counters.add(CountSamplesLost, "")
		return
	}
	if err := s.opts.Samples.Sampled(p.ResultID, picture); err != nil {
		s.counters.add(CountSamplesLost, "")
		s.warn.Warn("sample dropped", "error", err)
	}
}
