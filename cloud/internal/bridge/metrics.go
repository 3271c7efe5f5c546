package bridge

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sightline-edge/sightline/cloud/internal/record"
)

// Metrics counts what passes. Every message received ends in produced, dead letters, pictures or abandoned.
type Metrics struct {
	received    *prometheus.CounterVec // by leaf
	produced    *prometheus.CounterVec // by Kafka topic
	deadLetters *prometheus.CounterVec // by reason
	pictures    prometheus.Counter
	abandoned   prometheus.Counter
	lost        prometheus.Counter
	retries     prometheus.Counter
	sessions    prometheus.Counter
	batch       prometheus.Histogram
	write       prometheus.Histogram

	subscribed atomic.Bool
	kafkaUp    atomic.Bool
}

// NewMetrics registers the bridge's metrics.
func NewMetrics(to prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "sightline_bridge_" + name, Help: help})
		to.MustRegister(c)
		return c
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sightline_bridge_" + name, Help: help},
			[]string{label})
		to.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sightline_bridge_" + name, Help: help, Buckets: buckets,
		})
		to.MustRegister(h)
		return h
	}
	m := &Metrics{
		received: vector("received_total", "MQTT messages received, redeliveries included.", "leaf"),
		produced: vector("produced_total", "Records that Kafka acknowledged, dead letters included.",
			"topic"),
		deadLetters: vector("dead_letters_total", "Messages that became dead letters.", "reason"),
		pictures:    counter("pictures_total", "Evidence pictures stored."),
		abandoned: counter("abandoned_total",
			"Messages left to redelivery because their connection was lost."),
		lost:    counter("lost_total", "Messages that Kafka took not even as a dead letter."),
		retries: counter("retries_total", "Writes to Kafka that were tried again."),
		sessions: counter("mqtt_connections_total",
			"Connections to the MQTT broker that were established."),
		batch: histogram("batch_messages", "Messages of one batch.",
			prometheus.ExponentialBuckets(1, 4, 6)),
		write: histogram("write_seconds", "Time of one write to Kafka.",
			prometheus.ExponentialBuckets(0.001, 2, 14)),
	}
	for _, reason := range record.Reasons() {
		m.deadLetters.WithLabelValues(string(reason))
	}
	m.gauges(to)
	return m
}

func (m *Metrics) gauges(to prometheus.Registerer) {
	gauge := func(name, help string, value func() float64) {
		to.MustRegister(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: "sightline_bridge_" + name, Help: help}, value))
	}
	gauge("mqtt_subscribed", "1 while subscribed.", func() float64 { return number(m.subscribed.Load()) })
	gauge("kafka_up", "1 when the last write to Kafka succeeded.",
		func() float64 { return number(m.kafkaUp.Load()) })
}

// watch shows what the gate holds. Called once, by the bridge.
func (m *Metrics) watch(to prometheus.Registerer, g *gate) error {
	const held = "Held in memory until Kafka has acknowledged."
	for _, gauge := range []struct {
		name, help string
		value      func() float64
	}{
		{"unacknowledged_messages", held, func() float64 { n, _ := g.held(); return float64(n) }},
		{"unacknowledged_bytes", held, func() float64 { _, n := g.held(); return float64(n) }},
		{
			"lag_seconds", "Time since the bridge received the oldest message that it has not " +
				"acknowledged. NaN while it holds none and is not subscribed.",
			func() float64 { return m.lag(g) },
		},
	} {
		gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sightline_bridge_" + gauge.name, Help: gauge.help,
		}, gauge.value)
		if err := to.Register(gauge); err != nil {
			return err //nolint:wrapcheck // names the metric
		}
	}
	return nil
}

// lag is in seconds. Without a subscription nobody knows what waits at the broker.
func (m *Metrics) lag(g *gate) float64 {
	switch at := g.oldest(); {
	case !at.IsZero():
		return time.Since(at).Seconds()
	case m.subscribed.Load():
		return 0
	default:
		return math.NaN()
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
