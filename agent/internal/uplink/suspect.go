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

// suspect finds the record that a broker answers by closing the connection, such as one over its size limit.
// Without it, that record would hold up all others for ever.
type suspect struct {
	fruitless int
	sequence  uint64 // of the accused record
	accused   int
}

// settled is told how a connection ended.
func (s *suspect) settled(progress bool) {
	if progress {
		*s = suspect{}
		return
	}
	s.fruitless++
}

func (s *suspect) accuse(sequence uint64) (guilty bool) {
	if s.sequence != sequence {
		s.sequence, s.accused = sequence, 0
	}
	s.accused++
	return s.accused >= accusedLimit
}

// try sends the oldest record alone and returns nil once it is out of the way: delivered, or put aside
// because it has ended its connection at once too often.
func (u *Uplink) try(ctx context.Context, session *broker.Session) error {
	var tried outbox.Record
	var begin time.Time
	group, both := errgroup.WithContext(ctx)
	done := make(chan struct{})
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
		records, err := u.options.Outbox.Next(both, 1)
		if err != nil {
			return err
		}
		tried, begin = records[0], time.Now()
		f, err := u.publish(both, session, tried)
		if err != nil {
			return err
		}
		return u.land(both, session, f)
	})
	err := group.Wait()
	atOnce := !begin.IsZero() && time.Since(begin) < quickLoss
	if !errors.Is(err, broker.ErrLost) || !atOnce || ctx.Err() != nil || !u.suspect.accuse(tried.Sequence) {
		return err
	}
	return u.refuse(ctx, tried, errors.New("the broker closes the connection whenever this record is sent"))
}

// refuse puts a record aside and goes on behind it. If it cannot be put aside it stays where it is.
func (u *Uplink) refuse(ctx context.Context, r outbox.Record, reason error) error {
	if err := u.options.Outbox.Refuse(r, reason.Error()); err != nil {
		return fmt.Errorf("put record %d aside: %w", r.Sequence, err)
	}
	u.options.Log.ErrorContext(ctx, "record cannot be sent and is put aside, see refused/ in the outbox",
		"sequence", r.Sequence, "topic", r.Topic, "payload_bytes", len(r.Payload), "reason", reason)
	u.refused.Add(1)
	u.options.Outbox.Ack(r.Sequence)
	return nil
}
