package demo

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/internal/embedded"
	"github.com/sightline-edge/sightline/cloud/internal/record"
)

// others stands for agent and bridge: it answers triggers, writes records and tells the agent's count.
type others struct {
	t        *testing.T
	agent    mqtt.Client
	triggers chan struct{}
	records  *kafka.Conn
	counts   atomic.Bool // from now on the agent counts both parts
	answers  atomic.Int32
	third    chan struct{} // closed when that count was asked for three times
}

func newOthers(t *testing.T, broker *embedded.Broker, store *embedded.Kafka) *others {
	t.Helper()
	o := &others{t: t, triggers: make(chan struct{}, 3), third: make(chan struct{})}
	o.agent = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(broker.URL()).SetClientID("agent"))
	require.NoError(t, wait(o.agent.Connect()))
	t.Cleanup(func() { o.agent.Disconnect(100) })
	require.NoError(t, wait(o.agent.Subscribe(station.Topic(topic.Trigger), 1,
		func(mqtt.Client, mqtt.Message) { o.triggers <- struct{}{} })))
	say(t, o.agent, topic.State, "s", event.TypeState,
		event.StateData{State: event.Ready, TriggerReady: true})

	controller, err := kafka.DialContext(t.Context(), "tcp", store.Address())
	require.NoError(t, err)
	require.NoError(t, controller.CreateTopics(
		kafka.TopicConfig{Topic: record.Inspections, NumPartitions: 1, ReplicationFactor: 1}))
	require.NoError(t, controller.Close())
	o.records, err = kafka.DialLeader(t.Context(), "tcp", store.Address(), record.Inspections, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.records.Close()) })
	return o
}

// ServeHTTP is the agent's page of metrics.
func (o *others) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	parts := 0
	if o.counts.Load() {
		parts = 2
		if o.answers.Add(1) == 3 {
			close(o.third)
		}
	}
	_, _ = fmt.Fprintf(w, "# TYPE %[1]s counter\n%[1]s{verdict=\"PASS\"} %[2]d\n", partsMetric, parts)
}

func (o *others) verdict(result, part string) {
	o.t.Helper()
	say(o.t, o.agent, topic.Result, result, event.TypeInspection, event.Inspection{
		ResultID: result, JobID: "j", PartID: part, Verdict: event.Pass, Accept: true,
	})
}

func (o *others) record(result, part string) {
	o.t.Helper()
	value, err := json.Marshal(event.Inspection{
		ResultID: result, JobID: "j", PartID: part, Verdict: event.Pass, Accept: true,
	})
	require.NoError(o.t, err)
	_, err = o.records.WriteMessages(kafka.Message{
		Value: value, Headers: []kafka.Header{{Key: "ce_id", Value: []byte(result)}},
	})
	require.NoError(o.t, err)
}

func TestWhatComesTwiceAfterTheNumbersAgreeIsCounted(t *testing.T) {
	broker, err := embedded.StartBroker("127.0.0.1:0", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, broker.Close()) })
	store, err := embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(store.Close)
	o := newOthers(t, broker, store)
	metrics := httptest.NewServer(o)
	t.Cleanup(metrics.Close)

	var out strings.Builder
	f := &chain{
		options: Options{Parts: 2, Interval: time.Millisecond, Stdout: &out},
		station: station, tally: NewTally(time.Now()), log: slog.New(slog.DiscardHandler),
		places: places{LineBroker: broker.URL(), Kafka: store.Address(), Metrics: metrics.URL},
		agent:  &process{done: make(chan error)}, cloud: &process{done: make(chan error)},
	}
	played := make(chan error, 1)
	go func() { played <- f.play(t.Context()) }()
	for _, part := range []string{"P000001", "P000002"} {
		<-o.triggers
		o.verdict("r-"+part, part)
		o.record("r-"+part, part)
	}
	require.Eventually(t, func() bool {
		s := f.tally.Summarize(0)
		return s.PLC == 2 && s.Kafka == 2
	}, 10*time.Second, 10*time.Millisecond)
	o.counts.Store(true)
	select {
	case <-o.third:
	case err := <-played:
		require.FailNow(t, "the count ended where the numbers agreed first", "%v\n%s", err, &out)
	}
	o.verdict("second", "P000001")
	o.record("r-P000002", "P000002")
	require.ErrorIs(t, <-played, ErrNumbers)
	require.Contains(t, out.String(),
		"\nparts=2 verdicts=2 plc=2 kafka=2 lost=0 duplicated=2 found=0 of 0\n")
}
