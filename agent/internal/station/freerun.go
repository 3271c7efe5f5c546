package station

import (
	"time"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/part"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// asking says whether the station asks by itself: in mode continuous, as long as there are frames.
func (s *Station) asking() bool {
	return s.opts.Trigger.Mode == config.ModeContinuous && s.ready() && !s.over
}

// ask keeps the worker busy in mode continuous.
func (s *Station) ask() {
	if !s.asking() || s.opts.Now() < s.askAtNs {
		return
	}
	for len(s.asked) < s.opts.Prefetch {
		job := s.ledger.Reserve()
		err := s.worker.Inspect(&wire.Inspect{
			Station: uint32(s.opts.Index), Job: job, BudgetNs: int64(s.opts.Trigger.Deadline),
		})
		if err != nil {
			s.ledger.Release(job)
			s.counters.add(CountWorkerRefused, "")
			s.pause()
			return
		}
		s.asked[job] = true
	}
}

// pause holds requests back for a moment: the last one failed, and the next would too.
func (s *Station) pause() { s.askAtNs = s.opts.Now() + int64(askAgain) }

// arrived opens the part of an exposure in mode continuous.
func (s *Station) arrived(job uint64, exposedNs int64) {
	order := part.Order{
		TriggerNs: exposedNs, DeadlineNs: exposedNs + int64(s.opts.Trigger.Deadline), At: time.Now(),
	}
	if _, err := s.ledger.OpenAs(job, order); err != nil {
		s.stillborn(order, ReasonOverrun, err.Error())
	}
}

// unexposed handles the answer to a request in mode continuous that came without an exposure, and says
// whether it belongs to a part: to one that the camera saw but could not show, not to one that never came.
func (s *Station) unexposed(m *wire.Inspected) bool {
	switch fault := m.GetFault(); fault {
	case wire.Fault_FAULT_NO_FRAME, wire.Fault_FAULT_NOT_READY, wire.Fault_FAULT_END:
		s.counters.add(CountFrames, FaultReason(fault))
		s.pause()
		s.end(m)
		return false
	default: // there was a frame, or half of one
	}
	seen := m.GetExposedNs()
	if seen == 0 {
		seen = s.opts.Now()
		s.pause()
	}
	s.arrived(m.GetJob(), seen)
	return true
}

// end notes an answer that says that the source has no more frames, and halts the station once everything
// taken from it is answered. The worker's own report of the end is not enough: its last frame may still wait
// for a request.
func (s *Station) end(m *wire.Inspected) {
	s.over = s.over || m.GetFault() == wire.Fault_FAULT_END
	if !s.over || len(s.asked) > 0 || s.halted != "" {
		return
	}
	s.halted = "source ended"
	s.opts.Log.Info("source ended", "station", s.opts.Place.Path())
	s.report()
}

// close closes an open part with an outcome.
func (s *Station) close(p *inspected, out verdict.Outcome) {
	if s.ledger.Close(p) {
		s.publish(p, out)
	}
}
