package bridge_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/internal/bridge"
	"github.com/sightline-edge/sightline/cloud/internal/embedded"
	"github.com/sightline-edge/sightline/cloud/internal/evidence"
	"github.com/sightline-edge/sightline/cloud/internal/record"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second

// plant is a broker, a Kafka node and what tests do with them.
type plant struct {
	broker *embedded.Broker
	kafka  *embedded.Kafka
}

func startPlant(tb testing.TB) *plant {
	tb.Helper()
	broker, err := embedded.StartBroker("127.0.0.1:0", quiet())
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, broker.Close()) })
	server, err := embedded.StartKafka("127.0.0.1:0")
	require.NoError(tb, err)
	tb.Cleanup(server.Close)
	return &plant{broker, server}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (p *plant) options() bridge.Options {
	return bridge.Options{
		MQTT:  bridge.MQTT{URL: p.broker.URL(), ClientID: "bridge"},
		Kafka: bridge.Kafka{Brokers: []string{p.kafka.Address()}},
		Log:   quiet(),
	}
}

// running is a bridge at work.
type running struct {
	bridge  *bridge.Bridge
	metrics *prometheus.Registry
	stop    func() error
}

func start(tb testing.TB, o bridge.Options) *running {
	tb.Helper()
	registry := prometheus.NewRegistry()
	o.Metrics = bridge.NewMetrics(registry)
	b, err := bridge.New(o, registry)
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	var stopped bool
	r := &running{bridge: b, metrics: registry, stop: func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}}
	tb.Cleanup(func() { require.NoError(tb, r.stop()) })
	return r
}

func (r *running) ready(tb testing.TB) {
	tb.Helper()
	require.Eventually(tb, func() bool { return r.bridge.Ready() == nil }, patience, 5*time.Millisecond)
}

func (r *running) value(tb testing.TB, name string) float64 {
	tb.Helper()
	families, err := r.metrics.Gather()
	require.NoError(tb, err)
	total := 0.0
	for _, f := range families {
		if f.GetName() != "sightline_bridge_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total
}

func (p *plant) publisher(tb testing.TB) mqtt.Client {
	tb.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(p.broker.URL()).
		SetClientID("agent").SetAutoReconnect(false))
	token := c.Connect()
	require.True(tb, token.WaitTimeout(patience))
	require.NoError(tb, token.Error())
	tb.Cleanup(func() { c.Disconnect(100) })
	return c
}

func publish(tb testing.TB, c mqtt.Client, name string, payload []byte) {
	tb.Helper()
	token := c.Publish(name, 1, false, payload)
	require.True(tb, token.WaitTimeout(patience))
	require.NoError(tb, token.Error())
}

func place(n int) topic.Station {
	return topic.Station{
		Enterprise: "acme", Site: "dongguan", Area: "smt", Line: "line3",
		Name: "aoi-" + strconv.Itoa(n),
	}
}

func inspection(tb testing.TB, at topic.Station, id string, verdict event.Verdict) []byte {
	tb.Helper()
	b, err := event.Encode(id, event.TypeInspection, at, "part", time.Now(), event.Inspection{
		ResultID: id, JobID: "job", PartID: "part", Verdict: verdict, Accept: verdict.Accept(),
	})
	require.NoError(tb, err)
	return b
}

// read returns the records of a Kafka topic in the order of each partition, as soon as there are n or more.
func (p *plant) read(tb testing.TB, name string, n int) []kafka.Message {
	tb.Helper()
	var all []kafka.Message
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	for partition := range bridge.DefaultPartitions {
		all = append(all, p.readPartition(ctx, tb, name, partition)...)
	}
	for len(all) < n && ctx.Err() == nil {
		all = nil
		for partition := range bridge.DefaultPartitions {
			all = append(all, p.readPartition(ctx, tb, name, partition)...)
		}
	}
	require.GreaterOrEqual(tb, len(all), n, name)
	return all
}

func (p *plant) readPartition(
	ctx context.Context, tb testing.TB, name string, partition int,
) []kafka.Message {
	tb.Helper()
	c, err := kafka.DialLeader(ctx, "tcp", p.kafka.Address(), name, partition)
	require.NoError(tb, err)
	defer func() { _ = c.Close() }()
	last, err := c.ReadLastOffset()
	require.NoError(tb, err)
	var all []kafka.Message
	require.NoError(tb, c.SetDeadline(time.Now().Add(patience)))
	for int64(len(all)) < last {
		m, err := c.ReadMessage(10 << 20)
		require.NoError(tb, err)
		all = append(all, m)
	}
	return all
}

func head(m kafka.Message, key string) string {
	for _, h := range m.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func TestEachEventReachesKafkaOnceAndInOrder(t *testing.T) {
	p := startPlant(t)
	r := start(t, p.options())
	r.ready(t)
	c := p.publisher(t)
	const stations, each = 4, 50
	for i := range each {
		for s := range stations {
			at := place(s)
			publish(t, c, at.Topic(topic.Inspection),
				inspection(t, at, fmt.Sprintf("%d-%d", s, i), event.Pass))
		}
	}
	next := map[string]int{}
	for _, m := range p.read(t, record.Inspections, stations*each) {
		var s, i int
		_, err := fmt.Sscanf(head(m, "ce_id"), "%d-%d", &s, &i)
		require.NoError(t, err)
		require.Equal(t, place(s).Path(), string(m.Key))
		require.Equal(t, next[string(m.Key)], i, "order of a station")
		next[string(m.Key)]++
	}
	require.Len(t, next, stations)
	require.Eventually(t, func() bool { return r.value(t, "unacknowledged_messages") == 0 }, patience,
		time.Millisecond)
	require.InDelta(t, stations*each, r.value(t, "received_total"), 0)
	require.InDelta(t, stations*each, r.value(t, "produced_total"), 0)
}

func TestWhatWasSentWhileTheBridgeWasAwayIsCarriedLater(t *testing.T) {
	p := startPlant(t)
	first := start(t, p.options())
	first.ready(t)
	require.NoError(t, first.stop())
	c := p.publisher(t)
	for i := range 100 {
		publish(t, c, place(1).Topic(topic.Inspection), inspection(t, place(1), strconv.Itoa(i), event.Fail))
	}
	publish(t, c, "after", nil) // mochi acknowledges before it routes, but routes one after the other
	start(t, p.options()).ready(t)
	for _, name := range []string{record.Inspections, record.Anomalies} {
		ids := map[string]bool{} // mochi forgets the order of what it keeps; e2e proves it with mosquitto
		for _, m := range p.read(t, name, 100) {
			ids[head(m, "ce_id")] = true
		}
		require.Len(t, ids, 100)
	}
}

func TestAPoisonMessageIsADeadLetterAndTheStreamGoesOn(t *testing.T) {
	p := startPlant(t)
	r := start(t, p.options())
	r.ready(t)
	c := p.publisher(t)
	at := place(1)
	publish(t, c, at.Topic(topic.Inspection), []byte("poison"))
	publish(t, c, at.Topic(topic.Inspection), inspection(t, place(2), "stranger", event.Pass))
	publish(t, c, at.Topic(topic.Inspection), make([]byte, record.MaxPayload+100_000))
	publish(t, c, at.Topic(topic.Inspection), inspection(t, at, "healthy", event.Pass))
	require.Equal(t, "healthy", head(p.read(t, record.Inspections, 1)[0], "ce_id"))
	dead := p.read(t, record.DeadLetters, 3)
	require.Equal(t, "bad_json", head(dead[0], "reason"))
	require.Equal(t, "poison", string(dead[0].Value))
	require.Equal(t, "station_mismatch", head(dead[1], "reason"))
	require.Equal(t, "too_large", head(dead[2], "reason"))
	require.Equal(t, "true", head(dead[2], "truncated"))
	require.Eventually(t, func() bool { return r.value(t, "dead_letters_total") == 3 }, patience,
		time.Millisecond)
}

func TestAPictureIsOnDiskBeforeItIsAcknowledged(t *testing.T) {
	p := startPlant(t)
	dir := t.TempDir()
	folder, err := evidence.OpenFolder(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, folder.Close()) })
	o := p.options()
	o.Pictures = folder
	r := start(t, o)
	r.ready(t)
	c := p.publisher(t)
	jpeg := []byte{0xff, 0xd8, 0xff, 0xe0, 7, 0xff, 0xd9}
	publish(t, c, place(1).EvidenceTopic("result", 3), jpeg)
	publish(t, c, place(1).EvidenceTopic("result", 4), []byte("no picture"))
	path := dir + "/" + place(1).Path() + "/result/3.jpg"
	require.Eventually(t, func() bool { return r.value(t, "pictures_total") == 1 }, patience,
		time.Millisecond)
	require.FileExists(t, path)
	require.Equal(t, "bad_picture", head(p.read(t, record.DeadLetters, 1)[0], "reason"))
}

type brokenStore struct{}

func (brokenStore) Put(context.Context, *record.Picture) error { return io.ErrShortWrite }

func TestAFullPictureStoreDoesNotHoldBackVerdicts(t *testing.T) {
	p := startPlant(t)
	o := p.options()
	o.Pictures = brokenStore{}
	start(t, o).ready(t)
	c := p.publisher(t)
	publish(t, c, place(1).EvidenceTopic("result", 3), []byte{0xff, 0xd8, 0xff, 0xe0, 7, 0xff, 0xd9})
	publish(t, c, place(1).Topic(topic.Inspection), inspection(t, place(1), "behind", event.Pass))
	require.Equal(t, "behind", head(p.read(t, record.Inspections, 1)[0], "ce_id"))
	require.Equal(t, "picture_not_stored", head(p.read(t, record.DeadLetters, 1)[0], "reason"))
}

func TestOptionsAreCheckedWithASentence(t *testing.T) {
	good := bridge.Options{
		MQTT:    bridge.MQTT{URL: "tcp://127.0.0.1:1883", ClientID: "b"},
		Kafka:   bridge.Kafka{Brokers: []string{"127.0.0.1:9092"}},
		Metrics: bridge.NewMetrics(prometheus.NewRegistry()), Log: quiet(),
	}
	secret := &tls.Config{MinVersion: tls.VersionTLS13}
	for want, spoil := range map[string]func(o *bridge.Options){
		"write one such as": func(o *bridge.Options) { o.MQTT.URL = "127.0.0.1:1883" },
		"client id":         func(o *bridge.Options) { o.MQTT.ClientID = "" },
		"kafka broker":      func(o *bridge.Options) { o.Kafka.Brokers = nil },
		"does not encrypt":  func(o *bridge.Options) { o.MQTT.TLS = secret },
		"less than 0":       func(o *bridge.Options) { o.Kafka.Replication = -1 },
	} {
		o := good
		spoil(&o)
		_, err := bridge.New(o, prometheus.NewRegistry())
		require.ErrorContains(t, err, want)
	}
}

func TestARefusalOfKafkaEndsTheBridgeWithAdvice(t *testing.T) {
	p := startPlant(t)
	o := p.options()
	o.Kafka.Replication = 3
	o.MQTT.URL = "tcp://127.0.0.1:1" // away: the refusal does not wait for it
	registry := prometheus.NewRegistry()
	o.Metrics = bridge.NewMetrics(registry)
	b, err := bridge.New(o, registry)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.ErrorContains(t, b.Run(ctx), "lower kafka.replication or start more brokers")
}

func TestLagCountsWhatWaitsBeforeTheFirstBatch(t *testing.T) {
	p := startPlant(t)
	o := p.options()
	o.Kafka.Brokers = []string{"127.0.0.1:1"} // away: no batch is begun
	r := start(t, o)
	require.Eventually(t, func() bool { return r.value(t, "mqtt_subscribed") == 1 }, patience,
		time.Millisecond)
	require.Zero(t, r.value(t, "lag_seconds"))
	publish(t, p.publisher(t), place(1).Topic(topic.Inspection),
		inspection(t, place(1), "waiting", event.Pass))
	require.Eventually(t, func() bool { return r.value(t, "lag_seconds") >= 0.1 }, patience,
		time.Millisecond)
}

func TestLagIsUnknownWhileTheBridgeIsNotSubscribed(t *testing.T) {
	p := startPlant(t)
	o := p.options()
	o.MQTT.URL = "tcp://127.0.0.1:1"
	require.True(t, math.IsNaN(start(t, o).value(t, "lag_seconds")))
}

// Fault 9, at the cloud's end.
func TestTwoBridgesWithOneClientIDMakeNoStorm(t *testing.T) {
	p := startPlant(t)
	alarms := make(alarms, 1)
	o := p.options()
	o.Log = slog.New(alarms)
	first, second := start(t, o), start(t, o)
	const seen = 8
	connections := func() float64 {
		return first.value(t, "mqtt_connections_total") + second.value(t, "mqtt_connections_total")
	}
	begin := time.Now()
	require.Eventually(t, func() bool { return connections() >= seen }, patience, time.Millisecond)
	require.Greater(t, time.Since(begin), time.Second, "each waits longer than the time before")
	select {
	case alarm := <-alarms:
		require.Contains(t, alarm.Message, "does another bridge use this client id?")
		said := map[string]string{}
		alarm.Attrs(func(a slog.Attr) bool {
			said[a.Key] = a.Value.String()
			return true
		})
		require.Equal(t, map[string]string{"client_id": "bridge", "times": "3"}, said)
	case <-time.After(patience):
		require.Fail(t, "nobody is told")
	}
}

// alarms is a log that keeps the first errors and drops what does not fit.
type alarms chan slog.Record

func (alarms) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (a alarms) Handle(_ context.Context, r slog.Record) error {
	select {
	case a <- r:
	default:
	}
	return nil
}

func (a alarms) WithAttrs([]slog.Attr) slog.Handler { return a }
func (a alarms) WithGroup(string) slog.Handler      { return a }
