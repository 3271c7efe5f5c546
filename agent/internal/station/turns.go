package station

import (
	"context"
	"fmt"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/plc"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// run takes one trigger or message after the other until ctx ends. No turn waits for anything.
func (s *Station) run(ctx context.Context) {
	timer := time.NewTimer(farAway)
	defer timer.Stop()
	ticks, stop := s.clock()
	defer stop()
	s.report()
	for {
		timer.Reset(s.due())
		s.busyNs.Store(0)
		select {
		case t := <-s.triggers:
			s.begin()
			s.trigger(t)
		case m := <-s.messages:
			s.begin()
			s.message(m)
		case <-ticks:
			s.begin()
			s.interval()
		case <-timer.C:
			s.begin()
		case <-ctx.Done():
			s.shutdown()
			return
		}
		s.ask()
	}
}

// begin begins a turn. Whatever comes after a part's deadline is too late for it, also when it was read
// first.
func (s *Station) begin() {
	s.busyNs.Store(s.opts.Now())
	s.expire()
}

// Alive returns an error when the station's goroutine does not come back: then no part gets a verdict any
// more.
func (s *Station) Alive() error {
	if since := s.busyNs.Load(); since != 0 && time.Duration(s.opts.Now()-since) > hangs {
		return fmt.Errorf("busy with one message for more than %s", hangs)
	}
	return nil
}

// clock ticks in mode interval only.
func (s *Station) clock() (<-chan time.Time, func()) {
	if s.opts.Trigger.Mode != config.ModeInterval {
		return nil, func() {}
	}
	ticker := time.NewTicker(s.opts.Trigger.Interval)
	return ticker.C, ticker.Stop
}

// due is the time to the next deadline, or to the next request after a failed one.
func (s *Station) due() time.Duration {
	next, ok := s.ledger.NextDeadline()
	if s.asking() && len(s.asked) < s.opts.Prefetch && (!ok || s.askAtNs < next) {
		next, ok = s.askAtNs, true
	}
	if !ok {
		return farAway
	}
	return max(time.Duration(next-s.opts.Now()), 0)
}

// expire gives each part whose deadline has come its verdict.
func (s *Station) expire() {
	now := s.opts.Now()
	for p := s.ledger.Expire(now); p != nil; p = s.ledger.Expire(now) {
		s.publish(p, verdict.Unknown(ReasonDeadline, "no answer within "+s.opts.Trigger.Deadline.String()))
	}
}

// closeAll gives all open parts the same verdict, in the order of their opening.
func (s *Station) closeAll(reason, detail string) {
	for p := s.ledger.CloseOldest(); p != nil; p = s.ledger.CloseOldest() {
		s.publish(p, verdict.Unknown(reason, detail))
	}
}

// linger keeps the pictures that come after the last verdict, since their parts were rejected before it. All
// parts are closed: other messages have nothing to say any more.
func (s *Station) linger() {
	for m := range s.messages {
		if picture, ok := m.(*wire.Evidence); ok {
			s.evidence(picture)
		}
	}
}

// shutdown leaves no part without a verdict, also those whose trigger nobody has looked at yet. What comes
// later is refused: the lock waits for those that are about to enter the channel.
func (s *Station) shutdown() {
	s.halted = stopped
	s.closeAll(ReasonShutdown, stopped)
	close(s.gone)
	s.intake.Lock()
	defer s.intake.Unlock()
	for {
		select {
		case t := <-s.triggers:
			p := s.stillborn(s.order(t), ReasonShutdown, stopped)
			s.refuse(p, plc.RefusedNotReady, stopped)
		default:
			s.report()
			return
		}
	}
}
