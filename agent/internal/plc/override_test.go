package plc_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/plc"
	"github.com/sightline-edge/sightline/agent/topic"
)

func (r *rig) overrideAcks() (all []event.OverrideAckMessage) {
	r.t.Helper()
	synctest.Wait()
	for _, m := range r.conn.of(topic.OverrideAck) {
		var ack event.OverrideAckMessage
		require.NoError(r.t, json.Unmarshal(m.Payload, &ack))
		all = append(all, ack)
	}
	return all
}

func TestOverridesThatNobodyCanTakeAreAnsweredAndCounted(t *testing.T) {
	said := []byte(`{"partId":"P","verdict":"PASS"}`)
	inBubble(t, true, func(r *rig) {
		t := r.t
		for _, c := range []struct {
			d      broker.Delivery
			reason string
		}{
			{broker.Delivery{Payload: said, Retained: true}, "retained"},
			{broker.Delivery{Payload: []byte(`{"partId":"P"`)}, "malformed"},
			{broker.Delivery{Payload: said, Truncated: true}, "malformed"},
			{broker.Delivery{Payload: []byte(strings.Repeat("x", 40<<10))}, "malformed"},
			{broker.Delivery{Payload: said}, plc.RefusedNotKept},
		} {
			before := len(r.overrideAcks())
			r.deliver(topic.Override, c.d)
			acks := r.overrideAcks()
			require.Len(t, acks, before+1)
			require.False(t, acks[before].Accepted)
			require.Equal(t, c.reason, acks[before].Reason)
			require.NotEmpty(t, acks[before].Detail)
			require.WithinDuration(t, time.Now(), acks[before].Time, time.Second)
		}
		require.EqualValues(t, 3, r.Counts().Malformed.Load())
		require.EqualValues(t, 1, r.Counts().Retained.Load())
		require.EqualValues(t, 1, r.Counts().NotKept.Load())
	})
}
