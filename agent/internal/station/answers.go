package station

import (
	"errors"
	"slices"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/part"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

func (s *Station) message(m any) {
	switch m := m.(type) {
	case *wire.Inspected:
		s.answered(m)
	case *wire.Exposed:
		s.exposed(m)
	case *wire.StationState:
		s.changed(m)
	case *wire.Evidence:
		s.evidence(m)
	case *wire.Changed:
		s.settled(m)
	case vision.Shadowed:
		s.shadowed(m.Inspected)
	case Recipe:
		s.adopt(m)
	case announcement:
		s.announce(m.candidate)
	case vision.Died:
		s.died(m)
	}
}

// exposed notes the exposure; in mode continuous it opens the part.
func (s *Station) exposed(m *wire.Exposed) {
	job := m.GetJob()
	if s.asked[job] && s.ledger.Release(job) {
		s.arrived(job, m.GetExposedNs())
	}
	p, err := s.ledger.Expose(job, m.GetExposedNs())
	if err != nil {
		return // the part was closed before: its answer will be counted as late
	}
	if s.opts.Trigger.Mode == config.ModeMQTT {
		s.line.Exposed(event.AcquisitionMessage{
			PartID: p.PartID, JobID: p.JobID, AcquisitionID: p.Job, Done: true,
		})
	}
}

// answered closes the part of an answer, and no other part.
func (s *Station) answered(m *wire.Inspected) {
	job := m.GetJob()
	if s.asked[job] {
		delete(s.asked, job)
		if s.ledger.Release(job) && !s.unexposed(m) {
			return
		}
	}
	p, err := s.ledger.Attach(job, sight{answer: m, begunNs: s.opts.Now()})
	switch {
	case err == nil:
		if m.GetExposedNs() != 0 {
			p.ExposedNs = m.GetExposedNs()
		}
		s.close(p, s.judge(p, m))
		s.settle(p, m)
		s.watch(p, m)
		s.end(m)
	case errors.Is(err, part.ErrLate):
		s.counters.add(CountLate, "")
		s.settle(p, m)
		s.end(m)
	case errors.Is(err, part.ErrAnswered):
		s.counters.add(CountDuplicate, "")
	default:
		s.counters.add(CountStray, "")
	}
}

// judge turns an answer into the part's outcome.
func (s *Station) judge(p *inspected, m *wire.Inspected) verdict.Outcome {
	if m.GetFault() != wire.Fault_FAULT_NONE {
		return verdict.Unknown(FaultReason(m.GetFault()), m.GetFaultText())
	}
	if s.seen.GetPaced() && p.TriggerNs != 0 && m.GetExposedNs() < p.TriggerNs {
		return verdict.Unknown(ReasonStale, "the frame is older than the trigger: it shows an earlier part")
	}
	return s.of(m).Rules.Judge(m)
}

// settle frees the part's frame in the worker and asks for pictures of what is not PASS. It is due once for
// each answer that has a frame behind it, which is one with an exposure.
func (s *Station) settle(p *inspected, answer *wire.Inspected) {
	if answer.GetExposedNs() == 0 {
		return
	}
	out, rules := p.View.outcome, s.of(answer).Rules
	m := &wire.Settle{
		Station: uint32(s.opts.Index), Job: p.Job,
		Evidence: out.Verdict != event.Pass, Verdict: string(out.Verdict), Sample: s.sample(p),
	}
	for _, d := range out.Defects {
		m.Defects = append(m.Defects, &wire.Detection{
			Class: int32(slices.Index(rules.Classes(), d.Class)), Score: d.Score,
			X1: d.Box[0], Y1: d.Box[1], X2: d.Box[2], Y2: d.Box[3],
			Outline: wire.AppendPoints(nil, d.Outline), Area: d.Area,
		})
	}
	if err := s.worker.Settle(m); err != nil {
		s.warn.Warn("worker not told of a closed part", "error", err)
		if m.GetEvidence() {
			s.counters.add(CountEvidenceLost, "")
		}
	}
}

// changed takes the worker's report of the station.
func (s *Station) changed(m *wire.StationState) {
	s.seen = m
	s.described(m)
	s.met = s.met || s.ready()
	s.report()
}

// died gives the open parts their verdict at once: nobody will answer for them.
func (s *Station) died(m vision.Died) {
	for job := range s.asked {
		delete(s.asked, job)
		s.ledger.Release(job)
	}
	detail := "the vision worker died"
	if m.Err != nil {
		detail = m.Err.Error()
	}
	s.seen, s.frame = &wire.StationState{Reason: "the vision worker is being restarted: " + detail}, partial{}
	s.withdraw(m.Err)
	s.closeAll(ReasonWorkerDied, detail)
	s.end(nil)
	s.report()
}

// evidence passes a picture on to the store under its result's id.
func (s *Station) evidence(m *wire.Evidence) {
	if m.GetN() == wire.PlainFrame {
		s.framed(m)
		return
	}
	p := s.ledger.Closed(m.GetJob())
	if p == nil {
		s.counters.add(CountEvidenceLost, "")
		return
	}
	if err := s.opts.Evidence(p.ResultID, int(m.GetN()), m.GetJpeg()); err != nil {
		s.counters.add(CountEvidenceLost, "")
		s.warn.Warn("evidence dropped", "error", err)
		return
	}
	s.counters.add(CountEvidence, "")
}
