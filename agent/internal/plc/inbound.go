package plc

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/topic"
)

// inbox bounds each kind of message from the PLC that waits for us.
const inbox = 256

// CommandReset forgets held results and clears the overrun flag.
const CommandReset = "reset"

// Why a trigger is refused, in the words of the trigger's acknowledgement.
const (
	RefusedNotReady  = "not_ready"
	RefusedOverrun   = "overrun"
	RefusedMalformed = "malformed"
	RefusedDuplicate = "duplicate"
	RefusedRetained  = "retained"
)

var (
	errTooLarge = errors.New("the message is larger than a trigger may be")
	errOverride = errors.New("the message is larger than an override may be")
	errForeign  = errors.New("it came on another topic")
)

// Trigger is one trigger as received. With Fault the message could not be read; PartID is then set only where
// it could be told and is safe to repeat.
type Trigger struct {
	PartID, ProductID string
	AtNs              int64 // receipt from the connection, however long the message then waited to be read
	At                time.Time
	Redelivered       bool // the broker may have delivered it before
	Fault             error
}

// Subscriptions are what the handshake listens to.
func (h *Handshake) Subscriptions() []broker.Subscription {
	s := h.opts.Station
	all := []broker.Subscription{
		{Filter: s.Topic(topic.ResultAck), Depth: inbox, Handle: h.onAck},
		{Filter: s.Topic(topic.Command), Depth: inbox, Handle: h.onCommand},
		{Filter: s.Topic(topic.Override), Depth: inbox, Handle: h.onOverride},
	}
	if h.opts.Triggered {
		trigger := broker.Subscription{Filter: s.Topic(topic.Trigger), Depth: inbox, Handle: h.onTrigger}
		all = append(all, trigger)
	}
	return all
}

func (h *Handshake) onTrigger(d broker.Delivery) {
	if h.spoofed(d) {
		h.Answer(event.TriggerAckMessage{Reason: RefusedRetained, Detail: "a trigger must not be retained"})
		return
	}
	waited := time.Since(d.At)
	t := Trigger{AtNs: h.opts.Now() - int64(waited), At: d.At, Redelivered: d.Duplicate}
	m, err := h.read(d)
	if err != nil {
		t.Fault = err
		h.counts.Malformed.Add(1)
		h.warn.Warn("trigger is malformed", "error", err, "bytes", len(d.Payload))
	}
	t.PartID, t.ProductID = m.PartID, m.ProductID
	h.opts.Trigger(t)
}

func (h *Handshake) read(d broker.Delivery) (event.TriggerMessage, error) {
	switch {
	case d.Topic != h.opts.Station.Topic(topic.Trigger):
		return event.TriggerMessage{}, errForeign
	case d.Truncated:
		return event.TriggerMessage{}, errTooLarge
	}
	m, err := event.DecodeTrigger(d.Payload)
	if err != nil {
		return event.TriggerMessage{PartID: salvage(m.PartID)}, err
	}
	return m, nil
}

// salvage keeps the name of a part whose trigger is broken elsewhere, where it passes the checks by itself.
func salvage(partID string) string {
	b, err := json.Marshal(event.TriggerMessage{PartID: partID})
	if err != nil {
		return ""
	}
	m, err := event.DecodeTrigger(b)
	if err != nil {
		return ""
	}
	return m.PartID
}

func (h *Handshake) onAck(d broker.Delivery) {
	if h.spoofed(d) {
		return
	}
	m, err := event.DecodeResultAck(d.Payload)
	if err != nil || d.Truncated {
		h.counts.Malformed.Add(1)
		h.warn.Warn("result acknowledgement is malformed", "error", err)
		return
	}
	h.mu.Lock()
	known := h.results.ack(m.ResultID)
	h.mu.Unlock()
	if !known && h.opts.Triggered {
		h.counts.UnknownAcks.Add(1)
	}
	wake(h.changed)
}

func (h *Handshake) onCommand(d broker.Delivery) {
	if h.spoofed(d) {
		return
	}
	m, err := event.DecodeCommand(d.Payload)
	switch {
	case err != nil || d.Truncated:
		h.counts.Malformed.Add(1)
		h.warn.Warn("command is malformed", "error", err)
	case m.Command != CommandReset:
		h.counts.Refused.Add(1)
		h.warn.Warn("command is not known, only reset is", "bytes", len(d.Payload))
	default:
		h.opts.Log.Info("reset by the PLC", "station", h.opts.Station.Path())
		h.mu.Lock()
		h.results.reset()
		h.mu.Unlock()
		wake(h.changed)
	}
}

// spoofed refuses a message that the broker kept from some earlier time: it does not speak of a part in
// position now.
func (h *Handshake) spoofed(d broker.Delivery) bool {
	if d.Retained {
		h.counts.Retained.Add(1)
		h.warn.Warn("retained message refused: publish it without the retain flag", "topic", d.Topic)
	}
	return d.Retained
}
