package station

import (
	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/drift"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// watch compares a part with the reference of the bundle that it was inspected with, and tells when what the
// station sees has drifted away from it.
func (s *Station) watch(p *inspected, answer *wire.Inspected) {
	recipe := s.of(answer)
	reference := recipe.Reference
	if reference == nil || reference.Images == 0 || answer.GetFault() != wire.Fault_FAULT_NONE ||
		p.View.outcome.Reason == verdict.ReasonBadOutput {
		return
	}
	if recipe.drift == nil || recipe.drift.Of() != reference {
		recipe.drift = drift.New(reference)
	}
	news := recipe.drift.Add(drift.Seen{
		Passed: p.View.outcome.Verdict == event.Pass, Score: recipe.Rules.Highest(answer),
		Looked: answer.GetLooked(),
		Mean:   float64(answer.GetInputMean()), Deviation: float64(answer.GetInputDeviation()),
		Sharpness: float64(answer.GetInputSharpness()),
	})
	if recipe != s.live {
		return // a last answer of what was inspected with before
	}
	levels := recipe.drift.Levels()
	s.levels.Store(&levels)
	if news {
		if said := recipe.drift.Sentence(); said != "" {
			s.opts.Log.Warn("drift", "station", s.opts.Place.Path(), "says", said)
		}
		s.report()
	}
}

// drifted is what the station's state says of what it inspects with.
func (s *Station) drifted() string {
	if s.live.drift == nil {
		return ""
	}
	return s.live.drift.Sentence()
}

// Drift are the levels of what the station saw last beside its bundle's reference, in parts of their limits:
// none without a reference, or before enough was seen.
func (s *Station) Drift() []drift.Level {
	if levels := s.levels.Load(); levels != nil {
		return *levels
	}
	return nil
}
