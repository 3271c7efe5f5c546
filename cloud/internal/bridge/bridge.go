package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
)

const grace = 5 * time.Second // for the batch in work when the bridge is stopped

// Bridge is one MQTT session and one Kafka producer. Run it once.
type Bridge struct {
	options Options
	gate    *gate
	queue   chan delivery
	sink    *sink
	topics  *topics
	metrics *Metrics
	log     *slog.Logger
	held    *delivery // read from the queue, but not of the connection of the batch before
	stop    func()    // closes the Kafka connections
}

// New checks the options. Neither broker needs to be there yet.
func New(o Options, to prometheus.Registerer) (*Bridge, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	transport := &kafka.Transport{ClientID: "sightline-bridge", TLS: o.Kafka.TLS, SASL: o.Kafka.SASL}
	brokers := kafka.TCP(o.Kafka.Brokers...)
	b := &Bridge{
		options: o,
		gate:    newGate(o.MaxUnacked, o.MaxUnackedBytes),
		queue:   make(chan delivery, o.MaxUnacked+1), // one that a former connection read meanwhile
		sink:    &sink{to: &producer{transport, brokers}, metrics: o.Metrics, log: o.Log},
		topics: &topics{
			client: &kafka.Client{Addr: brokers, Transport: transport, Timeout: adminTimeout},
			to:     o.Kafka, log: o.Log,
		},
		metrics: o.Metrics,
		log:     o.Log,
		stop:    transport.CloseIdleConnections,
	}
	if err := o.Metrics.watch(to, b.gate); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return b, nil
}

// Ready says why messages do not pass, or nil.
func (b *Bridge) Ready() error {
	switch {
	case !b.metrics.subscribed.Load():
		return errors.New("not subscribed at the mqtt broker")
	case !b.metrics.kafkaUp.Load():
		return errors.New("kafka does not take records")
	}
	return nil
}

// Run carries messages until ctx ends; then it finishes the batch in work and says goodbye to the broker,
// which keeps the session. An error means that an operator has to act.
func (b *Bridge) Run(ctx context.Context) error {
	defer b.stop()
	session, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	var listening sync.WaitGroup
	listening.Go(func() { b.listen(session) }) // before Kafka is there: from now on the broker keeps all
	err := b.forward(ctx)
	hangUp()
	listening.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (b *Bridge) forward(ctx context.Context) error {
	if err := b.topics.ensure(ctx); err != nil {
		return err
	}
	b.metrics.kafkaUp.Store(true)
	finishing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	prepared := make(chan []delivery)
	var preparing sync.WaitGroup
	preparing.Go(func() {
		defer close(prepared)
		b.prepare(ctx, prepared)
	})
	for batch := range prepared {
		b.settle(finishing, batch)
	}
	preparing.Wait()
	return ctx.Err() //nolint:wrapcheck // the end of the bridge
}
