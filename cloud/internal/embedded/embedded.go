// Package embedded runs an MQTT broker and a Kafka-protocol server inside the process, so that the whole
// chain can be tried with nothing installed. Both keep everything in memory: what they have acknowledged is
// gone when the process ends. They are for demonstration and unit tests, never for a plant.
package embedded

import (
	"fmt"
	"log/slog"
	"math"
	"net"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/twmb/franz-go/pkg/kfake"
)

// Broker is an MQTT broker that lets everybody in.
type Broker struct {
	server  *mqtt.Server
	address string
}

// StartBroker listens on addr; port 0 takes a free one.
func StartBroker(addr string, log *slog.Logger) (*Broker, error) {
	listener, err := listen(addr)
	if err != nil {
		return nil, fmt.Errorf("start demonstration broker: %w", err)
	}
	limits := mqtt.NewDefaultServerCapabilities()
	limits.MaximumInflight = math.MaxUint16 // it drops messages beyond
	limits.MaximumClientWritesPending = math.MaxUint16
	limits.ReceiveMaximum = math.MaxUint16
	quiet := slog.New(warnings{log.With("part", "demo_broker").Handler()})
	server := mqtt.New(&mqtt.Options{Capabilities: limits, Logger: quiet})
	if err := server.AddHook(new(everybody), nil); err != nil {
		return nil, fmt.Errorf("start demonstration broker: %w", err)
	}
	if err := server.AddListener(listeners.NewNet("tcp", listener)); err != nil {
		return nil, fmt.Errorf("start demonstration broker: %w", err)
	}
	if err := server.Serve(); err != nil {
		return nil, fmt.Errorf("start demonstration broker: %w", err)
	}
	return &Broker{server: server, address: listener.Addr().String()}, nil
}

// everybody may connect, publish and subscribe.
type everybody struct{ mqtt.HookBase }

func (*everybody) ID() string { return "everybody" }

func (*everybody) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}

func (*everybody) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

func (*everybody) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

// URL is where clients connect.
func (b *Broker) URL() string { return "tcp://" + b.address }

// Close disconnects everybody and forgets everything.
func (b *Broker) Close() error {
	if err := b.server.Close(); err != nil {
		return fmt.Errorf("stop demonstration broker: %w", err)
	}
	return nil
}

// Kafka is a single Kafka-protocol node.
type Kafka struct {
	cluster *kfake.Cluster
	address string
}

// StartKafka listens on addr; port 0 takes a free one.
func StartKafka(addr string) (*Kafka, error) {
	listener, err := listen(addr)
	if err != nil {
		return nil, fmt.Errorf("start demonstration kafka: %w", err)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return listener, nil }))
	if err != nil {
		return nil, fmt.Errorf("start demonstration kafka: %w", err)
	}
	return &Kafka{cluster: cluster, address: listener.Addr().String()}, nil
}

// Address is the bootstrap address.
func (k *Kafka) Address() string { return k.address }

// Close ends the node and forgets everything.
func (k *Kafka) Close() { k.cluster.Close() }

func listen(addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr) //nolint:noctx // returns at once
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w: choose another address, or port 0 for a free one", addr,
			err)
	}
	return listener, nil
}
