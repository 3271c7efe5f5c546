package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/sightline-edge/sightline/cloud/internal/bridge"
	"github.com/sightline-edge/sightline/cloud/internal/embedded"
	"github.com/sightline-edge/sightline/cloud/internal/evidence"
)

const readyEvery = 20 * time.Millisecond

// Addresses are where a running program can be reached. It is printed as one line of JSON for a parent
// process.
type Addresses struct {
	MQTT   string `json:"mqtt"`             // URL
	Kafka  string `json:"kafka"`            // host:port, comma between several
	Health string `json:"health,omitempty"` // host:port
	Demo   bool   `json:"demonstration,omitempty"`
}

// RunBridge carries messages until ctx ends. up is called once, when health listens.
func RunBridge(ctx context.Context, c Config, log *slog.Logger, up func(health string)) error {
	return runBridge(ctx, c, log, func(_ context.Context, _ *bridge.Bridge, health string) error {
		up(health)
		return nil
	})
}

// runBridge calls started beside the running bridge; its error ends the bridge.
func runBridge(
	ctx context.Context, c Config, log *slog.Logger,
	started func(ctx context.Context, b *bridge.Bridge, health string) error,
) (err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	options, err := bridgeOptions(c, registry, log)
	if err != nil {
		return err
	}
	var folder *evidence.Folder
	if c.Evidence.Dir == "" {
		log.WarnContext(ctx, "no evidence folder is configured: pictures become dead letters")
	} else {
		if folder, err = evidence.OpenFolder(c.Evidence.Dir); err != nil {
			return err //nolint:wrapcheck // names its step
		}
		defer func() { err = errors.Join(err, folder.Close()) }()
		options.Pictures = folder
	}
	b, err := bridge.New(options, registry)
	if err != nil {
		return err //nolint:wrapcheck // a sentence for the operator
	}
	web, err := openHealth(c.Health.Listen, registry, b.Ready)
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return web.run(ctx) })
	all.Go(func() error { return b.Run(ctx) })
	all.Go(func() error { return started(ctx, b, web.address()) })
	if folder != nil {
		all.Go(func() error { sweep(ctx, folder, log); return nil })
	}
	return all.Wait() //nolint:wrapcheck // names its step
}

// sweep removes leftovers of a crash. Messages do not wait for it, and pass without it, too.
func sweep(ctx context.Context, folder *evidence.Folder, log *slog.Logger) {
	removed, err := folder.Sweep(ctx)
	if err != nil && ctx.Err() == nil {
		log.WarnContext(ctx, "leftovers in the evidence folder not removed", "error", err)
	}
	if removed > 0 {
		log.InfoContext(ctx, "removed leftovers in the evidence folder", "files", removed)
	}
}

func bridgeOptions(
	c Config, registry prometheus.Registerer, log *slog.Logger,
) (o bridge.Options, err error) {
	o = bridge.Options{
		MaxUnacked: c.MQTT.MaxUnacked, MaxUnackedBytes: c.MQTT.MaxUnackedBytes,
		Metrics: bridge.NewMetrics(registry), Log: log,
	}
	if o.MQTT, err = c.MQTT.source(); err != nil {
		return o, err
	}
	o.Kafka, err = c.Kafka.target()
	return o, err
}

// Demo says where the embedded servers listen; port 0 takes a free one.
type Demo struct {
	MQTTListen, KafkaListen string
}

// RunAll runs the bridge between an embedded broker and an embedded Kafka-protocol server. Nothing that they
// hold outlives the process. up is called once, when messages pass.
func RunAll(ctx context.Context, c Config, d Demo, log *slog.Logger, up func(Addresses)) (err error) {
	log.WarnContext(ctx, "embedded mqtt broker and kafka server: for demonstration, not durable")
	broker, err := embedded.StartBroker(d.MQTTListen, log)
	if err != nil {
		return err //nolint:wrapcheck // names its step
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	server, err := embedded.StartKafka(d.KafkaListen)
	if err != nil {
		return err //nolint:wrapcheck // names its step
	}
	defer server.Close()
	c.MQTT.URL, c.MQTT.Identity = broker.URL(), Identity{}
	c.Kafka.Brokers = []string{server.Address()}
	c.Kafka.Identity, c.Kafka.Mechanism, c.Kafka.TLS = Identity{}, "", false
	return runBridge(ctx, c, log, func(ctx context.Context, b *bridge.Bridge, health string) error {
		if err := becomeReady(ctx, b); err != nil {
			return err
		}
		up(Addresses{MQTT: broker.URL(), Kafka: server.Address(), Health: health, Demo: true})
		return nil
	})
}

// becomeReady waits: whoever publishes before the bridge has subscribed is heard by nobody.
func becomeReady(ctx context.Context, b *bridge.Bridge) error {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for b.Ready() != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("stopped before the bridge was ready: %w", b.Ready())
		}
	}
	return nil
}
