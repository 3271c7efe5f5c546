// Package stopwatch is a subscriber that measures: it takes the time of each message when its first byte is
// read, before anything is decoded or handed to another goroutine. What it measures is the publisher and the
// broker, and as little as possible of itself.
package stopwatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/sightline-edge/sightline/agent/internal/broker"
)

const (
	handshake = 5 * time.Second
	protocol  = 4       // MQTT 3.1.1
	maxPacket = 1 << 20 // bytes; of a longer message the rest is thrown away
)

// Watch is one subscription at QoS 0. Not safe for concurrent use.
type Watch struct {
	conn net.Conn
	stop func() bool
}

// Lap is one message and when it was there.
type Lap struct {
	At      time.Time
	Payload []byte
}

// Dial subscribes the filter at a broker, tcp://host:port. It ends with ctx.
func Dial(ctx context.Context, address, clientID, filter string) (*Watch, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "tcp" {
		return nil, fmt.Errorf("stopwatch: broker %q: write tcp://host:port", address)
	}
	conn, err := (&net.Dialer{Timeout: handshake}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("stopwatch: no broker answers at %s: %w", address, err)
	}
	w := &Watch{conn: broker.Bounded(conn, maxPacket)}
	if err := w.subscribe(clientID, filter); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	w.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return w, nil
}

func (w *Watch) subscribe(clientID, filter string) error {
	if err := w.conn.SetDeadline(time.Now().Add(handshake)); err != nil {
		return fmt.Errorf("stopwatch: %w", err)
	}
	connect, _ := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion = "MQTT", protocol
	connect.CleanSession, connect.ClientIdentifier = true, clientID
	if err := w.ask(connect); err != nil {
		return fmt.Errorf("stopwatch: connect: %w", err)
	}
	subscribe, _ := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	subscribe.MessageID, subscribe.Topics, subscribe.Qoss = 1, []string{filter}, []byte{0}
	if err := w.ask(subscribe); err != nil {
		return fmt.Errorf("stopwatch: subscribe: %w", err)
	}
	return w.conn.SetDeadline(time.Time{})
}

// ask sends a packet and reads the broker's consent.
func (w *Watch) ask(p packets.ControlPacket) error {
	if err := p.Write(w.conn); err != nil {
		return err
	}
	answer, err := packets.ReadPacket(w.conn)
	if err != nil {
		return err
	}
	switch answer := answer.(type) {
	case *packets.ConnackPacket:
		if answer.ReturnCode != packets.Accepted {
			return fmt.Errorf("refused: %w", packets.ConnErrors[answer.ReturnCode])
		}
	case *packets.SubackPacket:
		if len(answer.ReturnCodes) != 1 || answer.ReturnCodes[0] != 0 {
			return errors.New("refused")
		}
	default:
		return fmt.Errorf("the broker answered %s", answer)
	}
	return nil
}

// Next waits for the next message.
func (w *Watch) Next() (Lap, error) {
	var first [1]byte
	if _, err := io.ReadFull(w.conn, first[:]); err != nil {
		return Lap{}, fmt.Errorf("stopwatch: %w", err)
	}
	at := time.Now()
	p, err := packets.ReadPacket(io.MultiReader(bytes.NewReader(first[:]), w.conn))
	if err != nil {
		return Lap{}, fmt.Errorf("stopwatch: %w", err)
	}
	publish, ok := p.(*packets.PublishPacket)
	if !ok {
		return Lap{}, fmt.Errorf("stopwatch: the broker sent %s", p)
	}
	return Lap{At: at, Payload: publish.Payload}, nil
}

// Collect passes each message on, until the connection or ctx ends.
func (w *Watch) Collect(ctx context.Context, laps chan<- Lap) error {
	for {
		lap, err := w.Next()
		if err != nil {
			return err
		}
		select {
		case laps <- lap:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends the subscription.
func (w *Watch) Close() error {
	w.stop()
	return w.conn.Close()
}
