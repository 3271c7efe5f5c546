package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/app"
	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/samples"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/topic"
)

// panel is what an operator says overrides with.
type panel struct {
	t     *testing.T
	conn  *broker.Conn
	place topic.Station
	mu    sync.Mutex
	heard []event.OverrideAckMessage
}

func operatorOf(line *guided, place topic.Station) *panel {
	line.t.Helper()
	p := &panel{t: line.t, place: place}
	p.conn = line.client("operator-line3", func(d broker.Delivery) {
		var m event.OverrideAckMessage
		if err := json.Unmarshal(d.Payload, &m); err != nil {
			p.t.Error(err)
		}
		p.mu.Lock()
		p.heard = append(p.heard, m)
		p.mu.Unlock()
	}, place.Topic(topic.OverrideAck))
	_, err := p.conn.Session(p.t.Context())
	require.NoError(p.t, err)
	return p
}

// say publishes and returns the answer.
func (p *panel) say(payload string) (answer event.OverrideAckMessage) {
	p.t.Helper()
	p.mu.Lock()
	before := len(p.heard)
	p.mu.Unlock()
	require.NoError(p.t, p.conn.Publish(p.t.Context(), broker.Message{
		Topic: p.place.Topic(topic.Override), QoS: 1, Payload: []byte(payload),
	}))
	require.Eventually(p.t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.heard) == before {
			return false
		}
		answer = p.heard[before]
		return true
	}, 15*time.Second, time.Millisecond, "no answer to %.60s", payload)
	return answer
}

// rejecting answers each part with one defect and sends the frames that are wanted.
func rejecting(t *testing.T) fakeworker.Script {
	t.Helper()
	var frame bytes.Buffer
	require.NoError(t, png.Encode(&frame, image.NewGray(image.Rect(0, 0, 64, 48))))
	return fakeworker.Script{
		Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
			p.Answer(m, &wire.Detection{Score: 0.99, X2: 20, Y2: 20})
		},
		Settle: func(p *fakeworker.Peer, m *wire.Settle) {
			if m.GetSample() {
				p.Send(wire.KindEvidence, &wire.Evidence{
					Job: m.GetJob(), N: wire.PlainFrame, Jpeg: frame.Bytes(),
				})
			}
		},
	}
}

// With real mosquitto and the guide's rights: an operator's word becomes a sample with its frame, whatever
// cannot be one is answered, and nobody else has that right.
func TestAnOperatorsOverrideBecomesASample(t *testing.T) {
	line := startLine(t)
	cfg := configured(t, 1, "")
	own := line.login("node-line3")
	cfg.MQTT.Local, cfg.MQTT.Username, cfg.MQTT.PasswordFile = line.url, own.Username, own.PasswordFile
	p := connectPLCAs(t, line.url, line.login("plc-line3"))
	stop := runAgent(t, app.Options{
		Config: cfg, Log: slog.New(slog.DiscardHandler), Launch: fakeworker.Launch(rejecting(t)),
	})
	p.awaitState(event.Ready)
	p.trigger("PCB-1")
	result := p.await(1)[0]
	o := operatorOf(line, p.place)

	got := o.say(`{"partId":"PCB-1","verdict":"PASS","operator":"mei"}`)
	require.True(t, got.Accepted, "%+v", got)
	require.Equal(t, result.ResultID, got.ResultID)
	require.Equal(t, "PCB-1", got.PartID)
	got = o.say(fmt.Sprintf(`{"resultId":%q,"verdict":"FAIL","operator":"li","defects":
		[{"class":"short","box":[4,5,20,30]}]}`, result.ResultID))
	require.True(t, got.Accepted, "%+v", got)

	for payload, reason := range map[string]string{
		`{"partId":"PCB-9","verdict":"PASS"}`: "unknown_part",
		`{"partId":"PCB-1"}`:                  "malformed",
		`not JSON`:                            "malformed",
		`{"partId":"PCB-1","verdict":"PASS","x":"` + strings.Repeat("x", 40<<10) + `"}`: "malformed",
		strings.Repeat("x", 1<<20): "malformed",
	} {
		got = o.say(payload)
		require.False(t, got.Accepted)
		require.Equal(t, reason, got.Reason)
		require.NotEmpty(t, got.Detail)
	}
	stranger := line.client("scada", func(broker.Delivery) {})
	require.NoError(t, stranger.Publish(t.Context(), broker.Message{
		Topic: p.place.Topic(topic.Override), QoS: 1,
		Payload: []byte(`{"partId":"PCB-1","verdict":"REWORK"}`),
	}))
	denied := func() bool { return strings.Contains(line.said(), "Denied PUBLISH from as-scada") }
	require.Eventually(t, denied, 10*time.Second, 10*time.Millisecond)
	require.NotContains(t, line.said(), "Denied PUBLISH from node-7")
	stop()

	all, err := samples.List(t.Context(), cfg.Samples.Dir, samples.Filter{})
	require.NoError(t, err)
	require.Len(t, all.Samples, 1)
	s := all.Samples[0]
	require.Equal(t, samples.Overridden, s.Reason)
	require.Equal(t, event.Fail, s.Verdict, "the part keeps the verdict that it had")
	require.Equal(t, event.Fail, s.Override.Verdict)
	require.Equal(t, "li", s.Override.Operator, "the last word counts")
	require.Equal(t, []samples.Label{{Class: "short", Box: [4]float32{4, 5, 20, 30}}}, s.Override.Labels)
	require.Equal(t, 64, s.Picture.Width)
	require.Len(t, p.taken(), 1, "an override is no second result")
}

func TestWithoutSamplesOverridesAreRefused(t *testing.T) {
	line := startLine(t)
	cfg := configured(t, 1, "samples: {dir: \"off\"}\n")
	own := line.login("node-line3")
	cfg.MQTT.Local, cfg.MQTT.Username, cfg.MQTT.PasswordFile = line.url, own.Username, own.PasswordFile
	p := connectPLCAs(t, line.url, line.login("plc-line3"))
	runAgent(t, app.Options{
		Config: cfg, Log: slog.New(slog.DiscardHandler), Launch: fakeworker.Launch(rejecting(t)),
	})
	p.awaitState(event.Ready)
	p.trigger("PCB-1")
	p.await(1)
	got := operatorOf(line, p.place).say(`{"partId":"PCB-1","verdict":"PASS"}`)
	require.Equal(t, "not_kept", got.Reason)
	require.Contains(t, got.Detail, "samples.dir is off")
}
