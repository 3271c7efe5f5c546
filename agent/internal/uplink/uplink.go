// Package uplink empties the outbox into the cloud's broker: at least once, in order, each record
// acknowledged to the outbox only after the broker's acknowledgement on the connection that it was sent on.
// Order of a station is the contract, so there is one line for all; what has waited through an outage is
// marked as historical.
package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/outbox"
)

const (
	defaultWindow          = 64
	defaultHistoricalAfter = 30 * time.Second
	defaultAckTimeout      = 30 * time.Second
	retryAfter             = 50 * time.Millisecond
	firstStuck             = time.Second // until somebody has made room below refused/
	longestStuck           = time.Minute
)

// Options have defaults; Broker and Outbox must be set.
type Options struct {
	Broker          *broker.Conn
	Outbox          *outbox.Outbox
	Window          int           // messages in flight, default 64
	HistoricalAfter time.Duration // age from which an event is marked, default 30 s
	AckTimeout      time.Duration // without acknowledgement for so long: a new connection; default 30 s
	Log             *slog.Logger
}

// Stats are counts since New.
type Stats struct {
	Sent       uint64 // acknowledged by the broker
	Historical uint64 // of those, sent with the mark
	Refused    uint64 // records that the broker never takes, put aside
	Sessions   uint64 // connections used
}

// Uplink is used by one Run; Stats is safe for concurrent use.
type Uplink struct {
	options Options
	suspect suspect       // used by Run only
	stuck   time.Duration // the last pause for a record that cannot be put aside; used by Run only

	sent, historical, refused, sessions atomic.Uint64
}

// flight is a message on its way.
type flight struct {
	record     outbox.Record
	receipt    broker.Receipt
	historical bool
	refused    error // why no broker takes it
}

// New makes an uplink; Run does the work.
func New(o Options) *Uplink {
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	if o.HistoricalAfter == 0 {
		o.HistoricalAfter = defaultHistoricalAfter
	}
	if o.AckTimeout == 0 {
		o.AckTimeout = defaultAckTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Uplink{options: o}
}

// Stats returns the counts so far.
func (u *Uplink) Stats() Stats {
	return Stats{
		Sent: u.sent.Load(), Historical: u.historical.Load(),
		Refused: u.refused.Load(), Sessions: u.sessions.Load(),
	}
}

// Run sends until ctx ends or the outbox is closed, and returns nil then.
func (u *Uplink) Run(ctx context.Context) error {
	for {
		session, err := u.options.Broker.Session(ctx)
		if ended(ctx, err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("uplink: %w", err)
		}
		u.sessions.Add(1)
		u.options.Outbox.Rewind()
		err = u.attempt(ctx, session)
		if ended(ctx, err) {
			return nil
		}
		u.wait(ctx, err)
	}
}

// wait says why an attempt has failed, and waits before the next one: for a broker a moment, for somebody
// who makes room for a record that has to be put aside longer and longer.
func (u *Uplink) wait(ctx context.Context, err error) {
	backlog := u.options.Outbox.Stats().Backlog
	switch {
	case err == nil:
		u.stuck = 0
		return
	case !errors.Is(err, errStuck):
		u.stuck = 0
		u.options.Log.InfoContext(ctx, "uplink waits for its broker", "error", err, "backlog", backlog)
		pause(ctx, retryAfter)
		return
	}
	u.stuck = min(max(2*u.stuck, firstStuck), longestStuck)
	u.options.Log.ErrorContext(ctx, "uplink stands still until refused/ in the outbox has room",
		"error", err, "backlog", backlog, "retry_in_ms", u.stuck.Milliseconds())
	pause(ctx, u.stuck)
}

// ended says whether there is nothing left to do: stopped, or the outbox or the broker's Conn was closed.
func ended(ctx context.Context, err error) bool {
	closed := errors.Is(err, broker.ErrNotConnected) || errors.Is(err, outbox.ErrClosed)
	return closed || context.Cause(ctx) != nil
}

// attempt works on one connection, until it is lost or, after several that nothing was delivered on, for one
// record.
func (u *Uplink) attempt(ctx context.Context, session *broker.Session) error {
	before := u.sent.Load() + u.refused.Load()
	work := u.serve
	if u.suspect.alone() {
		work = u.try
	}
	err := work(ctx, session)
	u.suspect.settled(u.sent.Load()+u.refused.Load() > before, err)
	return err
}

// serve works on one connection until it is lost. One goroutine sends, one takes the acknowledgements, in the
// same order, so that nothing is acknowledged to the outbox before everything ahead of it.
func (u *Uplink) serve(ctx context.Context, session *broker.Session) error {
	group, ctx := errgroup.WithContext(ctx)
	flights := make(chan flight, u.options.Window)
	group.Go(func() error { return u.send(ctx, session, flights) })
	group.Go(func() error { return u.settle(ctx, session, flights) })
	return group.Wait()
}

func (u *Uplink) send(ctx context.Context, session *broker.Session, flights chan<- flight) error {
	for {
		records, err := u.options.Outbox.Next(ctx, u.options.Window)
		if err != nil {
			return err
		}
		for _, r := range records {
			f, err := u.publish(ctx, session, r)
			if err != nil {
				return err
			}
			select {
			case flights <- f:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func (u *Uplink) publish(ctx context.Context, session *broker.Session, r outbox.Record) (flight, error) {
	f := flight{record: r}
	payload := r.Payload
	if age, known := u.options.Outbox.Age(r); !known || age >= u.options.HistoricalAfter {
		if marked, err := event.MarkHistorical(payload); err == nil {
			payload, f.historical = marked, true
		}
	}
	var err error
	f.receipt, err = session.Publish(ctx, broker.Message{Topic: r.Topic, QoS: 1, Payload: payload})
	if err == nil || ctx.Err() != nil || errors.Is(err, broker.ErrLost) {
		return f, err
	}
	f.refused = err
	return f, nil
}

func (u *Uplink) settle(ctx context.Context, session *broker.Session, flights <-chan flight) error {
	for {
		select {
		case f := <-flights:
			if err := u.land(ctx, session, f); err != nil {
				return err
			}
		case <-session.Lost():
			return broker.ErrLost
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// land waits for one acknowledgement and passes it on.
func (u *Uplink) land(ctx context.Context, session *broker.Session, f flight) error {
	if f.refused != nil {
		return u.refuse(ctx, f.record, f.refused)
	}
	waiting, cancel := context.WithTimeout(ctx, u.options.AckTimeout)
	defer cancel()
	if err := f.receipt.Wait(waiting); err != nil {
		if ctx.Err() == nil && waiting.Err() != nil {
			session.Drop()
		}
		return err
	}
	u.sent.Add(1)
	if f.historical {
		u.historical.Add(1)
	}
	u.options.Outbox.Ack(f.record.Sequence)
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
