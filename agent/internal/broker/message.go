package broker

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	maxTopicBytes   = 1024
	maxPayloadBytes = 8 << 20
)

// Errors that a caller tells apart. After either the message may or may not have arrived: send it again.
var (
	ErrNotConnected = errors.New("broker: not connected")
	ErrLost         = errors.New("broker: connection lost before the acknowledgement")
)

// Message is what is published. Payload is not changed and must not be until the publication has ended.
type Message struct {
	Topic    string
	QoS      byte // 0 or 1
	Retained bool
	Payload  []byte // at most 8 MiB
}

// check refuses what a broker answers by closing the connection.
func (m Message) check() error {
	switch {
	case m.Topic == "" || len(m.Topic) > maxTopicBytes:
		return fmt.Errorf("broker: a topic has 1 to %d bytes, this has %d", maxTopicBytes, len(m.Topic))
	case strings.ContainsAny(m.Topic, "+#\x00"):
		return fmt.Errorf("broker: topic %q holds a wildcard or a zero byte", m.Topic)
	case len(m.Payload) > maxPayloadBytes:
		return fmt.Errorf("broker: payload of %d bytes is over %d", len(m.Payload), maxPayloadBytes)
	case m.QoS > 1:
		return fmt.Errorf("broker: QoS %d is not 0 or 1", m.QoS)
	}
	return nil
}

// Delivery is an incoming message. The payload belongs to the receiver.
type Delivery struct {
	Topic     string
	Payload   []byte
	Retained  bool
	Duplicate bool
	Truncated bool // the packet was over Options.MaxInbound and lost its end
	// At is when the message was read from the connection, by both of Go's clocks: handling may be later.
	At time.Time
}
