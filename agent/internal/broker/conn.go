// Package broker is the only place on the device that speaks MQTT. It keeps one connection up for ever, says
// when a message has truly been acknowledged, and never lets a slow handler or a dead peer hold the caller.
//
// Reconnecting is done here and not by the MQTT library: every connection is a Session of its own, so that a
// publication belongs to exactly one connection and its acknowledgement cannot be mistaken for another's.
package broker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const failureLogEvery = 30 * time.Second

// Conn is a connection that comes back. Safe for concurrent use.
type Conn struct {
	options Options
	url     *url.URL
	cancel  context.CancelFunc
	closed  <-chan struct{}
	owned   sync.WaitGroup
	changed chan struct{} // a subscription was added

	mu      sync.Mutex
	session *Session      // nil while down
	up      chan struct{} // closed while up
	subs    []*subscription

	connects, failures, losses, takeovers atomic.Uint64
}

// Stats are counts since Dial.
type Stats struct {
	Connects  uint64 // connections that came up
	Failures  uint64 // attempts to connect that failed
	Losses    uint64
	Takeovers uint64 // quick ends in a row: another client has our client id
	Overflows uint64 // incoming messages dropped because a handler was slow
}

// Dial checks the options and connects in the background, for ever. A broker that is away is no error;
// options that can never work are.
func Dial(o Options) (*Conn, error) {
	u, err := o.check()
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	o.Log = o.Log.With("url", u.Redacted(), "client_id", o.ClientID)
	ctx, cancel := context.WithCancel(context.Background())
	c := &Conn{
		options: o, url: u, cancel: cancel, closed: ctx.Done(),
		changed: make(chan struct{}, 1), up: make(chan struct{}),
	}
	for _, s := range o.Subscriptions {
		if err := c.Subscribe(s.Filter, s.Depth, s.Handle); err != nil {
			c.Close()
			return nil, err
		}
	}
	c.owned.Go(func() { c.run(ctx) })
	return c, nil
}

// Close says goodbye to the broker, without the will, and waits for every goroutine and running handler.
func (c *Conn) Close() {
	c.cancel()
	c.owned.Wait()
}

// Connected says whether the connection is up and subscribed.
func (c *Conn) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session != nil
}

// Stats returns the counts so far.
func (c *Conn) Stats() Stats {
	s := Stats{
		Connects: c.connects.Load(), Failures: c.failures.Load(), Losses: c.losses.Load(),
		Takeovers: c.takeovers.Load(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, sub := range c.subs {
		s.Overflows += sub.overflowed.Load()
	}
	return s
}

// Session waits for the connection to be up.
func (c *Conn) Session(ctx context.Context) (*Session, error) {
	for {
		c.mu.Lock()
		session, up := c.session, c.up
		c.mu.Unlock()
		if session != nil {
			return session, nil
		}
		select {
		case <-up:
		case <-c.closed:
			return nil, fmt.Errorf("%w: closed", ErrNotConnected)
		case <-ctx.Done():
			return nil, fmt.Errorf("broker: wait for connection: %w", ctx.Err())
		}
	}
}

// Publish returns nil once the broker has acknowledged the message (QoS 0: once it is written). It never
// waits for a connection to come back, and never longer than ctx.
func (c *Conn) Publish(ctx context.Context, m Message) error {
	c.mu.Lock()
	session := c.session
	c.mu.Unlock()
	if session == nil {
		return ErrNotConnected
	}
	receipt, err := session.Publish(ctx, m)
	if err != nil {
		return err
	}
	return receipt.Wait(ctx)
}

// Subscribe calls handle for each message that matches the filter, one after the other on a goroutine of its
// own, now and after every reconnect. Up to depth messages wait; more are dropped and counted.
// Filters of one Conn must not overlap: what two of them match may be handled more than once.
func (c *Conn) Subscribe(filter string, depth int, handle func(Delivery)) error {
	if filter == "" || len(filter) > maxTopicBytes || strings.Contains(filter, "\x00") || depth < 1 {
		return errors.New("broker: a subscription needs a filter of 1 to 1024 bytes and a depth of 1 or more")
	}
	sub := &subscription{
		filter: filter, handle: handle, queue: make(chan Delivery, depth),
		maxInbound: c.options.MaxInbound, log: c.options.Log,
	}
	if err := c.remember(sub); err != nil {
		return err
	}
	c.owned.Go(func() { sub.run(c.closed) })
	select {
	case c.changed <- struct{}{}:
	default:
	}
	return nil
}

func (c *Conn) remember(sub *subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.subs {
		if other.filter == sub.filter {
			return fmt.Errorf("broker: %s is subscribed already", sub.filter)
		}
	}
	c.subs = append(c.subs, sub)
	return nil
}

func (c *Conn) subscriptions() []*subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.subs)
}

// run is the goroutine that keeps the connection up.
func (c *Conn) run(ctx context.Context) {
	p := pace{longest: c.options.MaxPause}
	var loggedAt time.Time
	log := c.options.Log
	for ctx.Err() == nil {
		subs := c.subscriptions()
		session, err := connect(ctx, c.options, c.url, subs)
		if err != nil {
			loggedAt = c.failed(ctx, err, loggedAt)
			pause(ctx, p.failed())
			continue
		}
		loggedAt = time.Time{}
		begin := time.Now()
		c.live(ctx, session, len(subs))
		wait, takeover := p.ended(time.Since(begin))
		if takeover && ctx.Err() == nil {
			c.takeovers.Add(1)
			log.ErrorContext(ctx, "connection is ended again and again: another client has this "+
				"client id, or the broker refuses what is sent; give each agent its own mqtt.client_id",
				"pause_ms", wait.Milliseconds())
		}
		pause(ctx, wait)
	}
}

// failed counts an attempt to connect, and logs one now and then. It returns when it logged last.
func (c *Conn) failed(ctx context.Context, why error, loggedAt time.Time) time.Time {
	if ctx.Err() != nil {
		return loggedAt
	}
	c.failures.Add(1)
	if time.Since(loggedAt) < failureLogEvery {
		return loggedAt
	}
	c.options.Log.WarnContext(ctx, "broker is not reachable, trying on", "error", why)
	return time.Now()
}

// live serves one session until it is lost or the Conn is closed. The first n subscriptions are in place.
func (c *Conn) live(ctx context.Context, s *Session, n int) {
	c.connects.Add(1)
	c.owned.Go(s.write)
	c.setSession(s)
	c.options.Log.InfoContext(ctx, "broker connected")
	c.options.OnState(true)
	c.serve(ctx, s, n)
	c.setSession(nil)
	if ctx.Err() == nil {
		c.losses.Add(1)
		c.options.Log.WarnContext(ctx, "broker connection lost")
	}
	c.options.OnState(false)
	s.client.Disconnect(quiesceMs)
	_ = s.guard.Close()
}

// serve adds subscriptions that came later. One that fails costs the connection, so that the reason is met
// again and logged at the next connect.
func (c *Conn) serve(ctx context.Context, s *Session, n int) {
	for {
		for _, sub := range c.subscriptions()[n:] {
			s.client.AddRoute(sub.filter, sub.offer)
			if err := s.subscribe(ctx, sub.filter); err != nil {
				c.options.Log.WarnContext(ctx, "subscription failed", "filter", sub.filter, "error", err)
				return
			}
			n++
		}
		select {
		case <-c.changed:
		case <-s.guard.lost:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (c *Conn) setSession(s *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	if s != nil {
		close(c.up)
	} else {
		c.up = make(chan struct{})
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
