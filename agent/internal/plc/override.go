package plc

import (
	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/topic"
)

// Why an override is refused, besides RefusedMalformed and RefusedRetained.
const (
	RefusedUnknown = "unknown_part" // never inspected here, or too long ago
	RefusedNotKept = "not_kept"     // no samples are kept, or the disk does not take them
)

// onOverride takes what an operator says of a part, and answers it in any case.
func (h *Handshake) onOverride(d broker.Delivery) {
	at := d.At.UTC()
	if h.spoofed(d) {
		h.say(topic.OverrideAck, event.OverrideAckMessage{
			Reason: RefusedRetained, Detail: "an override must not be retained", Time: at,
		})
		return
	}
	m, err := event.DecodeOverride(d.Payload)
	switch {
	case d.Truncated:
		err = errOverride
	case err == nil && h.opts.Override == nil:
		h.overridden(event.OverrideAckMessage{
			ResultID: m.ResultID, PartID: m.PartID, Reason: RefusedNotKept,
			Detail: "the agent keeps no samples: samples.dir is off", Time: at,
		})
		return
	}
	if err != nil {
		h.counts.Malformed.Add(1)
		h.warn.Warn("override is malformed", "error", err, "bytes", len(d.Payload))
		h.say(topic.OverrideAck, event.OverrideAckMessage{
			PartID: salvage(m.PartID), Reason: RefusedMalformed, Detail: err.Error(), Time: at,
		})
		return
	}
	h.opts.Override(m, at, h.overridden)
}

// overridden answers an override.
func (h *Handshake) overridden(m event.OverrideAckMessage) {
	if !m.Accepted {
		h.counts.NotKept.Add(1)
		h.warn.Warn("override not kept", "reason", m.Reason, "detail", m.Detail, "part", m.PartID)
	}
	h.say(topic.OverrideAck, m)
}
