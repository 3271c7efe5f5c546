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
	p := newPLC(station, tally, time.Second, slog.New(slog.DiscardHandler), func(Part) {})
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

// course is what a station says, one state after the other.
type course []struct {
	state event.StateData
	lasts time.Duration
}

func TestAStationThatDoesNotGetReadyIsGivenUpWithItsReason(t *testing.T) {
	ready := event.StateData{State: event.Ready, TriggerReady: true}
	loading := event.StateData{State: event.Preoperational, Reason: event.ReasonLoading}
	opening := event.StateData{State: event.Preoperational, Reason: "opening the camera"}
	broken := event.StateData{State: event.Error, Reason: "ONNX Runtime does not load"}
	dying := course{}
	for range 20 {
		dying = append(dying, course{{loading, 20 * time.Second}, {opening, 2 * time.Second}}...)
	}
	for name, c := range map[string]struct {
		course course
		says   string
	}{
		"never ready": {
			course{{broken, 31 * time.Second}}, "30s beside the loading of its model: Error ONNX Runtime",
		},
		"a long load": {
			course{{opening, 20 * time.Second}, {loading, 30 * time.Minute}, {ready, time.Hour}}, "",
		},
		"a load without end": {
			course{{loading, 32 * time.Minute}}, "31m0s: Preoperational loading the bundle; check",
		},
		"loads without end": {dying, "30s beside the loading of its model: Preoperational"},
		"ready for a while": {
			course{{ready, time.Hour}, {broken, 31 * time.Second}}, "Error ONNX Runtime does not load",
		},
		"ready now and then": {
			course{{broken, 29 * time.Second}, {ready, time.Second}, {broken, 29 * time.Second}}, "",
		},
		"loads anew in time": {
			course{{ready, time.Minute}, {loading, time.Hour / 4}, {opening, time.Second}, {ready, 1}}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			tally := NewTally(time.Now())
			p := newPLC(station, tally, time.Second, slog.New(slog.DiscardHandler), func(Part) {})
			now := time.Now()
			p.readiness.begin(now)
			var err error
			for _, s := range c.course {
				payload, encode := event.Encode("s", event.TypeState, station, "", now, s.state)
				require.NoError(t, encode)
				require.NoError(t, p.state(payload))
				require.Equal(t, s.state.TriggerReady, p.readiness.ready)
				for end := now.Add(s.lasts); err == nil && now.Before(end); now = now.Add(pollEvery) {
					err = p.look(now)
				}
			}
			if c.says == "" {
				require.NoError(t, err)
				require.Equal(t, p.readiness.ready, tally.Summarize(0).Waiting == "")
				return
			}
			require.ErrorIs(t, err, errNotReady)
			require.ErrorContains(t, err, c.says)
			require.NotEmpty(t, tally.Summarize(0).Waiting)
		})
	}
}

func TestALineWhoseVerdictsDoNotComeIsGivenUp(t *testing.T) {
	p := newPLC(station, NewTally(time.Now()), time.Second, slog.New(slog.DiscardHandler), func(Part) {})
	p.readiness.ready, p.sentAt = true, time.Now()
	for _, id := range []string{"P1", "P2", "P3"} {
		p.outstanding[id] = true
	}
	late := p.sentAt.Add(time.Second + plcTimeout + 1)
	require.NoError(t, p.look(late), "the next part may still have its verdict")
	p.outstanding["P4"] = true
	require.NoError(t, p.look(late.Add(-1)))
	require.ErrorContains(t, p.look(late), "4 parts have no verdict 6s after the last trigger")
}
