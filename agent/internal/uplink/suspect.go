package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/outbox"
)

const (
	fruitlessLimit = 2               // connections in a row that nothing was delivered on
	accusedLimit   = 3               // times that one record alone ended its connection at once
	quickLoss      = 2 * time.Second // what counts as at once: a network that fails is slower to be noticed
)

// errStuck is a record that the broker does not take and that cannot be put aside: it holds up all others.
var errStuck = errors.New("record cannot be put aside")

// suspect finds the record that a broker answers by closing the connection, such as one over its size limit.
// Without it, that record would hold up all others for ever.
type suspect struct {
	fruitless int
	sequence  uint64 // of the accused record
	accused   int
}

// alone says whether records are to be sent one by one.
func (s *suspect) alone() bool { return s.fruitless >= fruitlessLimit }

// settled is told how an attempt has ended. Once records are sent one by one, that goes on until a whole
// window of them has passed: the broker's reset can swallow the acknowledgements of those before the guilty
// one.
func (s *suspect) settled(progress bool, err error) {
	switch {
	case err == nil, progress && !s.alone():
		*s = suspect{}
	default:
		s.fruitless++
	}
}

func (s *suspect) accuse(sequence uint64) (guilty bool) {
	if s.sequence != sequence {
		s.sequence, s.accused = sequence, 0
	}
	s.accused++
	return s.accused >= accusedLimit
}

// try sends a window of records one by one and returns nil when they are out of the way: delivered, or the
// last one put aside because it has ended its connection at once too often.
func (u *Uplink) try(ctx context.Context, session *broker.Session) error {
	group, both := errgroup.WithContext(ctx)
	done := make(chan struct{})
	var last trial
	group.Go(func() error {
		select {
		case <-session.Lost():
			return broker.ErrLost
		case <-done:
		case <-both.Done():
		}
		return nil
	})
	group.Go(func() error {
		defer close(done)
		var err error
		for i := 0; i < u.options.Window && err == nil; i++ {
			last, err = u.tryOne(both, session)
		}
		return err
	})
	err := group.Wait()
	atOnce := last.sent && time.Since(last.begin) < quickLoss
	if !errors.Is(err, broker.ErrLost) || !atOnce || !u.suspect.accuse(last.record.Sequence) {
		return err
	}
	reason := errors.New("the broker closes the connection whenever this record is sent")
	return u.refuse(ctx, last.record, reason)
}

// trial is a record that was sent alone.
type trial struct {
	record outbox.Record
	begin  time.Time
	sent   bool // handed to a living connection
}

func (u *Uplink) tryOne(ctx context.Context, session *broker.Session) (trial, error) {
	records, err := u.options.Outbox.Next(ctx, 1)
	if err != nil {
		return trial{}, err
	}
	t := trial{record: records[0], begin: time.Now()}
	f, err := u.publish(ctx, session, t.record)
	if err != nil {
		return t, err
	}
	t.sent = true
	return t, u.land(ctx, session, f)
}

// refuse puts a record aside and goes on behind it. If it cannot be put aside it stays where it is.
func (u *Uplink) refuse(ctx context.Context, r outbox.Record, reason error) error {
	if err := u.options.Outbox.Refuse(r, reason.Error()); err != nil {
		return fmt.Errorf("%w: number %d on %s: %w", errStuck, r.Sequence, r.Topic, err)
	}
	u.options.Log.ErrorContext(ctx, "record cannot be sent and is put aside, see refused/ in the outbox",
		"sequence", r.Sequence, "topic", r.Topic, "payload_bytes", len(r.Payload), "reason", reason)
	u.refused.Add(1)
	u.options.Outbox.Ack(r.Sequence)
	return nil
}
