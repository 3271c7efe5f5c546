package broker

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const (
	connectTimeout = 5 * time.Second
	writeTimeout   = 2 * time.Second
	quiesceMs      = 250
	subscribeFail  = 0x80
)

// Session is one connection from its begin to its loss. What is published on one session arrives in order,
// and nothing of it is sent again by itself. Safe for concurrent use.
type Session struct {
	client  mqtt.Client
	guard   *guard
	publish chan request
}

// request travels to the session's writer, since the library's Publish can block for longer than a context
// allows.
type request struct {
	message Message
	token   chan mqtt.Token // takes one
}

// Receipt is an unfinished publication.
type Receipt struct {
	token   chan mqtt.Token
	session *Session
}

// Lost is closed when the connection has ended.
func (s *Session) Lost() <-chan struct{} { return s.guard.lost }

// Drop ends the connection, for a peer that answers pings and nothing else. A new one follows.
func (s *Session) Drop() { _ = s.guard.Close() }

// Publish hands the message to the connection and returns without waiting for the acknowledgement.
func (s *Session) Publish(ctx context.Context, m Message) (Receipt, error) {
	if err := m.check(); err != nil {
		return Receipt{}, err
	}
	r := request{message: m, token: make(chan mqtt.Token, 1)}
	select {
	case s.publish <- r:
		return Receipt{token: r.token, session: s}, nil
	case <-s.guard.lost:
		return Receipt{}, ErrLost
	case <-ctx.Done():
		return Receipt{}, fmt.Errorf("broker: publish: %w", ctx.Err())
	}
}

// Wait returns nil if the broker has acknowledged the message on this connection while it lived. A library
// token that completes is not believed once the connection is lost.
func (r Receipt) Wait(ctx context.Context) error {
	var token mqtt.Token
	select {
	case token = <-r.token:
	case <-r.session.guard.lost:
		return ErrLost
	case <-ctx.Done():
		return fmt.Errorf("broker: wait for acknowledgement: %w", ctx.Err())
	}
	select {
	case <-token.Done():
	case <-r.session.guard.lost:
		return ErrLost
	case <-ctx.Done():
		return fmt.Errorf("broker: wait for acknowledgement: %w", ctx.Err())
	}
	select {
	case <-r.session.guard.lost:
		return ErrLost
	default:
	}
	if err := token.Error(); err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return nil
}

// write is the session's writer goroutine. It ends with the connection.
func (s *Session) write() {
	for {
		select {
		case r := <-s.publish:
			m := r.message
			r.token <- s.client.Publish(m.Topic, m.QoS, m.Retained, m.Payload)
		case <-s.guard.lost:
			return
		}
	}
}

func (s *Session) subscribe(ctx context.Context, filter string) error {
	token, ok := s.client.Subscribe(filter, 1, nil).(*mqtt.SubscribeToken)
	if !ok {
		return fmt.Errorf("subscribe to %s: no token", filter)
	}
	timer := time.NewTimer(connectTimeout)
	defer timer.Stop()
	select {
	case <-token.Done():
	case <-s.guard.lost:
		return ErrLost
	case <-timer.C:
		return fmt.Errorf("subscribe to %s: no answer in %s", filter, connectTimeout)
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := token.Error(); err != nil {
		return fmt.Errorf("subscribe to %s: %w", filter, err)
	}
	if token.Result()[filter] == subscribeFail {
		return fmt.Errorf("the broker refuses to subscribe %s: allow it in the broker's access rules", filter)
	}
	return nil
}

// connect makes one attempt and returns a session that is up, its writer not yet started.
func connect(ctx context.Context, o Options, u *url.URL, subs []*subscription) (*Session, error) {
	s := &Session{publish: make(chan request)}
	library, err := o.library(u)
	if err != nil {
		return nil, err
	}
	var stop func() bool
	library.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		conn, err := o.open(ctx, u)
		if err != nil {
			return nil, err
		}
		s.guard = newGuard(conn, o.MaxInbound)
		stop = context.AfterFunc(ctx, func() { _ = s.guard.Close() })
		return s.guard, nil
	})
	s.client = mqtt.NewClient(library)
	for _, sub := range subs {
		s.client.AddRoute(sub.filter, sub.offer)
	}
	token := s.client.Connect()
	<-token.Done() // bounded: dial and handshake have deadlines
	if stop != nil {
		stop()
	}
	if err := token.Error(); err != nil {
		return nil, fmt.Errorf("connect: %w%s", err, o.remedy(err))
	}
	for _, sub := range subs {
		if err := s.subscribe(ctx, sub.filter); err != nil {
			s.client.Disconnect(quiesceMs)
			return nil, err
		}
	}
	return s, nil
}

// library turns our options into the library's. Reconnecting, resending and resubscribing are ours: each
// connection gets a client of its own, whose memory ends with it.
func (o Options) library(u *url.URL) (*mqtt.ClientOptions, error) {
	password, err := o.password()
	if err != nil {
		return nil, err
	}
	// The library counts whole seconds and looks every quarter of its interval, or every 5 s when that is
	// over 10 s. With half of our keepalive as its interval and half of that for the answer, silence is
	// noticed after (1/2 + 1/8 + 1/4 + 1/8) of ours, or 3/4 of ours and 10 s: either is below one and a half.
	interval := max(o.KeepAlive/2, time.Second)
	l := mqtt.NewClientOptions().AddBroker(u.String()).SetClientID(o.ClientID).SetProtocolVersion(4).
		SetUsername(o.Username).SetPassword(password).
		SetCleanSession(o.CleanSession).SetAutoReconnect(false).SetConnectRetry(false).
		SetConnectTimeout(connectTimeout).SetWriteTimeout(writeTimeout).
		SetKeepAlive(interval).SetPingTimeout(interval / 2)
	if o.Will != nil {
		l.SetBinaryWill(o.Will.Topic, o.Will.Payload, o.Will.QoS, o.Will.Retained)
	}
	return l, nil
}

func (o Options) open(ctx context.Context, u *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dialer := &net.Dialer{}
	switch {
	case u.Scheme == "unix":
		return dialer.DialContext(ctx, "unix", u.Path)
	case secure(u.Scheme):
		config, err := o.tlsConfig(u.Hostname())
		if err != nil {
			return nil, err
		}
		return secured(ctx, dialer, u.Host, config)
	default:
		return dialer.DialContext(ctx, "tcp", u.Host)
	}
}
