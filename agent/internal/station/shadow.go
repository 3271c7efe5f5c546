package station

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// shadowPicture is how often a disagreement is drawn at most: a candidate that is wrong is so at each part,
// and the pictures of parts that failed are worth more.
const shadowPicture = 10 * time.Second

// Shadow is what else sees the station's parts. It has no say in any verdict.
type Shadow struct {
	Rules     *verdict.Rules
	Candidate event.Candidate // as the state shows it
}

// shadowed compares what the shadow says of a part with its verdict, and has a disagreement drawn now and
// then.
func (s *Station) shadowed(m *wire.Inspected) {
	p, r := s.ledger.Closed(m.GetJob()), s.recipe(m.GetGeneration())
	settle := &wire.Settle{Station: uint32(s.opts.Index), Job: m.GetJob(), Shadow: true}
	if p == nil || r == nil || r.Shadow == nil {
		s.counters.add(CountStray, "")
		s.release(settle)
		return
	}
	out := verdict.Unknown(FaultReason(m.GetFault()), m.GetFaultText())
	if m.GetFault() == wire.Fault_FAULT_NONE {
		out = r.Shadow.Rules.Judge(m)
	}
	live := p.View.outcome.Verdict
	s.counters.add(CountShadow, string(live)+"/"+string(out.Verdict))
	settle.Sample = s.disagreed(p, out.Verdict)
	if now := s.opts.Now(); live != out.Verdict && out.Verdict != event.Unknown && now >= s.drawAtNs {
		s.drawAtNs = now + int64(shadowPicture)
		settle.Evidence = true
		settle.Verdict = fmt.Sprintf("%s by %s %s, not %s", out.Verdict, r.Shadow.Candidate.Model.Name,
			r.Shadow.Candidate.Model.Version, live)
		for _, d := range out.Defects {
			settle.Defects = append(settle.Defects, &wire.Detection{
				Class: int32(slices.Index(r.Shadow.Rules.Classes(), d.Class)), Score: d.Score,
				X1: d.Box[0], Y1: d.Box[1], X2: d.Box[2], Y2: d.Box[3],
				Outline: wire.AppendPoints(nil, d.Outline), Area: d.Area,
			})
		}
	}
	s.release(settle)
}

// withdraw tells that there is no shadow any more, which the worker may have died of.
func (s *Station) withdraw(why error) {
	if s.live.Shadow == nil || errors.Is(why, vision.ErrRecycled) || errors.Is(why, vision.ErrParted) {
		return
	}
	c := s.live.Shadow.Candidate
	c.Phase, c.Reason = event.CandidateRefused, clip("the vision worker died while it looked on")
	s.live.Shadow, s.candidate = nil, &c
}

// release tells the worker that the frame which the shadow has seen is looked at no more.
func (s *Station) release(m *wire.Settle) {
	if err := s.worker.Settle(m); err != nil {
		s.warn.Warn("worker not told of a part that its shadow has seen", "error", err)
	}
}
