package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/internal/record"
)

const (
	atLeastOnce    = 1
	connectTimeout = 10 * time.Second
	quiesce        = 250 // milliseconds for the goodbye
	lastReconnect  = 2 * time.Second
	lastTakeover   = 30 * time.Second
	shortLife      = 10 * time.Second
	refusedQoS     = 0x80
	topicBytes     = 2 + 1<<16 + 2 // length, topic, packet id: what a message has before its payload, at most
)

var errSubscribe = errors.New("the broker refuses the subscription")

// filters are the uplink's leaves of every station. They do not overlap, so that nothing comes twice.
func filters() map[string]byte {
	all := map[string]byte{}
	for _, leaf := range []topic.Leaf{
		topic.Inspection, topic.State, topic.Metrics, topic.Update, topic.Evidence + "/#",
	} {
		all[topic.Root+"/+/+/+/+/+/"+string(leaf)] = atLeastOnce
	}
	return all
}

// listen keeps a session until ctx ends. Each connection has an MQTT client of its own, so that an
// acknowledgement can never reach another connection than the one its message came by.
func (b *Bridge) listen(ctx context.Context) {
	wait, takeovers := firstBackoff, 0
	for ctx.Err() == nil {
		begin := time.Now()
		subscribed, err := b.session(ctx)
		b.metrics.subscribed.Store(false)
		if ctx.Err() != nil {
			return
		}
		limit := lastReconnect
		switch {
		case subscribed && time.Since(begin) < shortLife:
			takeovers++
			if takeovers > 2 {
				limit = lastTakeover
				b.log.ErrorContext(ctx,
					"the mqtt connection is lost again and again; does another bridge use this client id?",
					"client_id", b.options.MQTT.ClientID, "times", takeovers)
			}
		case subscribed:
			wait, takeovers = firstBackoff, 0
		}
		b.log.WarnContext(ctx, "mqtt session ended; connecting again",
			"error", err, "wait_ms", wait.Milliseconds())
		if pause(ctx, nil, wait) != nil {
			return
		}
		wait = min(2*wait, limit)
	}
}

// session connects, subscribes and stays until the connection is lost or ctx ends.
func (b *Bridge) session(ctx context.Context) (subscribed bool, err error) {
	line := &line{bridge: b, failed: make(chan error, 1)}
	dialing, stopDialing := context.WithCancel(ctx)
	client := mqtt.NewClient(b.clientOptions(dialing, line))
	defer line.hangUp()
	defer client.Disconnect(quiesce)
	defer stopDialing() // before Disconnect, which waits for a dial
	if err := await(ctx, client.Connect(), line, connectTimeout); err != nil {
		line.hangUp()
		return false, fmt.Errorf("connect to the mqtt broker: %w", err)
	}
	b.metrics.sessions.Inc()
	subscribe := client.SubscribeMultiple(filters(), nil)
	if err := await(ctx, subscribe, line, 0); err != nil {
		return false, fmt.Errorf("subscribe: %w", err)
	}
	answer, _ := subscribe.(*mqtt.SubscribeToken) // its documented type
	for filter, granted := range answer.Result() {
		if granted == refusedQoS {
			return false, fmt.Errorf("%w to %s: allow it in the broker's access list",
				errSubscribe, filter)
		}
	}
	b.metrics.subscribed.Store(true)
	b.log.InfoContext(ctx, "subscribed at the mqtt broker", "client_id", b.options.MQTT.ClientID)
	select {
	case err := <-line.failed:
		return true, err
	case <-ctx.Done():
		return true, nil
	}
}

// await waits for a token that may hang (paho #613): the line's own end and a deadline end it, too. Without a
// limit it waits for as long as the line lives, because the answer may stand behind messages at a closed
// gate.
func await(ctx context.Context, token mqtt.Token, line *line, limit time.Duration) error {
	var timeout <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-token.Done():
		return token.Error() //nolint:wrapcheck // the caller names the step
	case err := <-line.failed:
		return err
	case <-timeout:
		return fmt.Errorf("no answer within %s", limit)
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the end of the bridge
	}
}

func (b *Bridge) clientOptions(ctx context.Context, line *line) *mqtt.ClientOptions {
	from := b.options.MQTT
	return mqtt.NewClientOptions().
		AddBroker(from.URL).
		SetClientID(from.ClientID).
		SetUsername(from.Username).
		SetPassword(from.Password).
		SetTLSConfig(from.TLS).
		SetProtocolVersion(4).
		SetCleanSession(false).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(connectTimeout).
		SetKeepAlive(from.KeepAlive).
		SetPingTimeout(from.KeepAlive / 2).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { line.fail(err) }).
		SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			return line.open(ctx, u)
		})
}

// line is one connection to the broker.
type line struct {
	bridge *Bridge
	conn   atomic.Pointer[conn]
	failed chan error
}

func (l *line) open(ctx context.Context, at *url.URL) (net.Conn, error) {
	socket, err := dial(ctx, at, l.bridge.options.MQTT.TLS)
	if err != nil {
		return nil, err
	}
	b := l.bridge
	var c *conn
	c = newConn(socket, b.gate, record.MaxPayload+1+topicBytes, func(m inbound) { b.receive(c, m) }, l.fail)
	l.conn.Store(c)
	if err := ctx.Err(); err != nil { // hangUp may have come too early for this connection
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (l *line) fail(err error) {
	select {
	case l.failed <- err:
	default:
	}
}

// hangUp closes a connection that the client has left open.
func (l *line) hangUp() {
	if c := l.conn.Load(); c != nil {
		_ = c.Close() // closed by the client as a rule
	}
}

// receive is called by the only goroutine that reads from the connection. It never blocks: the queue has room
// for everything that the gate lets in.
func (b *Bridge) receive(by *conn, m inbound) {
	d := delivery{
		in: record.Input{Topic: m.topic, Payload: m.payload, Received: time.Now()},
		id: m.id,
		by: by,
	}
	b.metrics.received.WithLabelValues(leafName(m.topic)).Inc()
	b.gate.add(d.in.Received, d.size())
	select {
	case b.queue <- d:
	case <-by.lost():
		b.gate.undo(d.size())
		b.metrics.abandoned.Inc()
	}
}

// leafName labels a message for its counter; a topic may be anything.
func leafName(name string) string {
	rest := strings.SplitN(name, "/", 9)
	if len(rest) < 8 {
		return "other"
	}
	switch leaf := topic.Leaf(rest[7]); leaf {
	case topic.Inspection, topic.State, topic.Metrics, topic.Update, topic.Evidence:
		return string(leaf)
	default:
		return "other"
	}
}
