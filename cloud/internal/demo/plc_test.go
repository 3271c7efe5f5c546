package demo

import (
	"log/slog"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/internal/embedded"
)

var station = topic.Station{Enterprise: "demo", Site: "laptop", Area: "smt", Line: "line1", Name: "aoi-1"}

// say publishes an event on a leaf of the station, as its agent would.
func say(t *testing.T, c mqtt.Client, leaf topic.Leaf, id, kind string, data any) {
	t.Helper()
	payload, err := event.Encode(id, kind, station, "", time.Now(), data)
	require.NoError(t, err)
	require.NoError(t, wait(c.Publish(station.Topic(leaf), 1, leaf == topic.State, payload)))
}

func TestThePLCTriggersAReadyStationAndTakesEachVerdictOver(t *testing.T) {
	broker, err := embedded.StartBroker("127.0.0.1:0", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, broker.Close()) })
	agent := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(broker.URL()).SetClientID("agent"))
	require.NoError(t, wait(agent.Connect()))
	t.Cleanup(func() { agent.Disconnect(100) })
	triggers := make(chan struct{}, 3)
	acks := make(chan struct{}, 3)
	require.NoError(t, wait(agent.Subscribe(station.Topic(topic.Trigger), 1,
		func(mqtt.Client, mqtt.Message) { triggers <- struct{}{} })))
	require.NoError(t, wait(agent.Subscribe(station.Topic(topic.ResultAck), 1,
		func(mqtt.Client, mqtt.Message) { acks <- struct{}{} })))
	say(t, agent, topic.State, "s", event.TypeState, event.StateData{State: event.Ready, TriggerReady: true})

	tally := NewTally(time.Now())
	done := make(chan error, 1)
	p := newPLC(station, tally, slog.New(slog.DiscardHandler), func(Part) {})
	require.NoError(t, p.connect(broker.URL()))
	t.Cleanup(p.close)
	go func() { done <- p.run(t.Context(), 2, time.Millisecond) }()
	for _, part := range []string{"P000001", "P000002"} {
		<-triggers
		say(t, agent, topic.Result, "r-"+part, event.TypeInspection, event.Inspection{
			ResultID: "r-" + part, JobID: "j", PartID: part, Verdict: event.Pass, Accept: true,
		})
		<-acks
	}
	require.NoError(t, <-done)
	s := tally.Summarize(0)
	require.Equal(t, 2, s.PLC)
	require.Equal(t, 2, s.Kinds[event.Pass])
}

func TestAStationThatNeverGetsReadyIsGivenUpWithItsReason(t *testing.T) {
	p := newPLC(station, NewTally(time.Now()), slog.New(slog.DiscardHandler), func(Part) {})
	payload, err := event.Encode("s", event.TypeState, station, "", time.Now(),
		event.StateData{State: event.Error, Reason: "ONNX Runtime does not load"})
	require.NoError(t, err)
	require.NoError(t, p.state(payload))
	require.NoError(t, p.tick(), "nothing is triggered")
	require.Zero(t, p.sent)
	require.ErrorContains(t, p.neverReady(), "not ready within 30s: Error ONNX Runtime does not load")
}
