package plc

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/topic"
)

// sendResults is the results' own goroutine, so that nothing stands before a verdict on its way to the PLC.
func (h *Handshake) sendResults(ctx context.Context, c conn) {
	for {
		last := h.isStopping() // asked first: what came before the stop is still seen
		h.mu.Lock()
		e, ok := h.results.next()
		h.mu.Unlock()
		if !ok && last {
			return
		}
		if !ok {
			select {
			case <-h.pending:
			case <-h.stopping:
			case <-ctx.Done():
				return
			}
			continue
		}
		if err := h.publish(ctx, c, broker.Message{
			Topic: h.opts.Station.Topic(topic.Result), QoS: 1, Payload: e.payload,
		}); err != nil {
			if !h.undelivered(ctx, err) {
				return
			}
			continue
		}
		h.mu.Lock()
		h.results.sentOut(e.id)
		h.mu.Unlock()
	}
}

// undelivered waits before the next attempt and returns false when there is none.
func (h *Handshake) undelivered(ctx context.Context, err error) bool {
	h.counts.NotDelivered.Add(1)
	if !errors.Is(err, broker.ErrNotConnected) {
		h.warn.Warn("result not taken by the local broker, trying on", "error", err)
	}
	timer := time.NewTimer(retryAfter)
	defer timer.Stop()
	select {
	case <-h.pending:
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// sendMessages sends acknowledgements and acquisitions in order. One that fails is not sent again: it speaks
// of a moment that has passed, and the result follows in any case.
func (h *Handshake) sendMessages(ctx context.Context, c conn) {
	for {
		last := h.isStopping() // asked first, as above
		select {
		case m := <-h.messages:
			h.sendMessage(ctx, c, m)
			continue
		default:
		}
		if last {
			return
		}
		select {
		case m := <-h.messages:
			h.sendMessage(ctx, c, m)
		case <-h.stopping:
		case <-ctx.Done():
			return
		}
	}
}

func (h *Handshake) isStopping() bool {
	select {
	case <-h.stopping:
		return true
	default:
		return false
	}
}

func (h *Handshake) sendMessage(ctx context.Context, c conn, m broker.Message) {
	if err := h.publish(ctx, c, m); err != nil {
		h.counts.Lost.Add(1)
		h.warn.Warn("message not taken by the local broker", "topic", m.Topic, "error", err)
	}
}

// sendStates says the state each second, at once when it changes, and to each new connection.
func (h *Handshake) sendStates(ctx context.Context, c conn) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	began := h.opts.Now()
	var said event.StateData
	for due := true; ; {
		now := h.State()
		now.Heartbeat = uint64(h.opts.Now()-began) / uint64(heartbeat)
		if news(said, now) {
			due = true
		}
		if due {
			h.sayState(ctx, c, now, news(said, now))
			said = now
		}
		select {
		case <-ticker.C:
			due = true
			h.repeat()
		case <-h.connected:
			due = true
		case <-h.changed:
			due = false
		case <-h.stopping: // a goodbye in order sends no will: leave the state of the end with the broker
			h.sayState(ctx, c, h.State(), true)
			return
		case <-ctx.Done():
			return
		}
	}
}

func (h *Handshake) sayState(ctx context.Context, c conn, s event.StateData, announce bool) {
	m, err := h.stateMessage(s)
	if err != nil {
		h.warn.Warn("state not encoded", "error", err)
		return
	}
	if announce {
		h.opts.Announce(m.Payload)
	}
	_ = h.publish(ctx, c, m) // said again at the next beat
}

func news(before, now event.StateData) bool {
	before.Heartbeat, before.HeldResults = now.Heartbeat, now.HeldResults
	return before != now
}

func (h *Handshake) publish(ctx context.Context, c conn, m broker.Message) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.Publish(ctx, m)
}

func (h *Handshake) say(leaf topic.Leaf, m any) {
	payload, err := json.Marshal(m)
	if err == nil {
		select {
		case h.messages <- broker.Message{Topic: h.opts.Station.Topic(leaf), QoS: 1, Payload: payload}:
			return
		default:
		}
	}
	h.counts.Lost.Add(1)
	h.warn.Warn("message dropped: the local broker does not keep up", "leaf", leaf)
}

func (h *Handshake) stateMessage(s event.StateData) (broker.Message, error) {
	id, err := event.NewID()
	if err != nil {
		return broker.Message{}, err
	}
	payload, err := event.Encode(id, event.TypeState, h.opts.Station, "", time.Now(), s)
	if err != nil {
		return broker.Message{}, err
	}
	to := h.opts.Station.Topic(topic.State)
	return broker.Message{Topic: to, QoS: 1, Retained: true, Payload: payload}, nil
}
