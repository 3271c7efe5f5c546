package station

import (
	"errors"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/part"
	"github.com/sightline-edge/sightline/agent/internal/plc"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// trigger opens a part for the PLC's trigger. Whatever is wrong, the part gets a verdict: exactly one.
func (s *Station) trigger(t plc.Trigger) {
	order := s.order(t)
	switch {
	case t.Fault != nil && !s.ledger.Remembers(order.PartID):
		p := s.stillborn(order, ReasonBadTrigger, t.Fault.Error())
		s.refuse(p, plc.RefusedMalformed, t.Fault.Error())
	case t.Fault != nil:
		s.refuse(&inspected{Order: order}, plc.RefusedMalformed, t.Fault.Error())
	case t.Redelivered && s.ledger.Remembers(order.PartID):
		s.refuse(&inspected{Order: order}, plc.RefusedDuplicate, "the broker delivered this trigger before")
	case s.ledger.Repeats(order.PartID, order.TriggerNs, int64(s.opts.Trigger.RepeatWindow)):
		const why = "this part had its trigger and its verdict just now"
		s.refuse(&inspected{Order: order}, plc.RefusedDuplicate, why)
	case !s.ready():
		s.unready(order)
	default:
		s.open(order)
	}
}

func (s *Station) order(t plc.Trigger) part.Order {
	return part.Order{
		PartID: t.PartID, ProductID: t.ProductID, TriggerNs: t.AtNs,
		DeadlineNs: t.AtNs + int64(s.opts.Trigger.Deadline), At: t.At,
	}
}

// unready answers a trigger at a station that cannot inspect. A part of the same name that is still open
// keeps its own verdict.
func (s *Station) unready(order part.Order) {
	why := s.status().Reason
	p, err := s.ledger.Open(order)
	switch {
	case errors.Is(err, part.ErrDuplicate):
		s.refuse(&inspected{Order: order}, plc.RefusedDuplicate, err.Error())
		return
	case err != nil:
		p = s.stillborn(order, ReasonNotReady, why)
	default:
		s.close(p, verdict.Unknown(ReasonNotReady, why))
	}
	s.refuse(p, plc.RefusedNotReady, why)
}

func (s *Station) open(order part.Order) {
	p, err := s.ledger.Open(order)
	switch {
	case errors.Is(err, part.ErrDuplicate):
		s.refuse(&inspected{Order: order}, plc.RefusedDuplicate, err.Error())
		return
	case err != nil:
		p = s.stillborn(order, ReasonOverrun, err.Error())
		s.refuse(p, plc.RefusedOverrun, err.Error())
		return
	}
	err = s.inspect(p)
	if s.opts.Trigger.Mode == config.ModeMQTT {
		s.line.Answer(event.TriggerAckMessage{
			PartID: p.PartID, Accepted: true, JobID: p.JobID, AcquisitionID: p.Job,
		})
	}
	if err != nil {
		s.counters.add(CountWorkerRefused, "")
		s.close(p, verdict.Unknown(ReasonNotReady, err.Error()))
	}
}

func (s *Station) inspect(p *inspected) error {
	return s.worker.Inspect(&wire.Inspect{
		Station: uint32(s.opts.Index), Job: p.Job, DeadlineNs: p.DeadlineNs, TriggerNs: p.TriggerNs,
	})
}

func (s *Station) refuse(p *inspected, reason, detail string) {
	s.counters.add(CountRefused, reason)
	s.warn.Warn("trigger refused", "reason", reason, "detail", detail, "part", p.PartID)
	s.line.Answer(event.TriggerAckMessage{
		PartID: p.PartID, Reason: reason, Detail: clip(detail), JobID: p.JobID, AcquisitionID: p.Job,
	})
}

// stillborn publishes the verdict of a part that can only be UNKNOWN.
func (s *Station) stillborn(order part.Order, reason, detail string) *inspected {
	p := s.ledger.Stillborn(order)
	s.publish(p, verdict.Unknown(reason, detail))
	return p
}

// interval opens a part at each tick, once the station was ready for the first time: before, no part was
// promised.
func (s *Station) interval() {
	now := s.opts.Now()
	order := s.order(plc.Trigger{AtNs: now, At: time.Now()})
	switch {
	case s.halted != "": // the source has ended
	case s.ready():
		s.open(order)
	case s.met:
		s.stillborn(order, ReasonNotReady, s.status().Reason)
	default:
		s.counters.add(CountSkipped, "")
	}
}
