// Package bridge carries the uplink's MQTT messages into Kafka. A message is acknowledged to the broker only
// after Kafka's acks=all (a picture: after it is on disk), in order of receipt, so that nothing is lost
// between the two; a message that came twice carries the same ce_id twice. What cannot be taken becomes a
// dead letter and the stream goes on. While Kafka is away the bridge holds a bounded number of messages and
// leaves the rest to the broker's session.
package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/segmentio/kafka-go/sasl"

	"github.com/sightline-edge/sightline/cloud/internal/record"
)

// The defaults of Options.
const (
	DefaultMaxUnacked      = 10_000
	DefaultMaxUnackedBytes = 64 << 20
	DefaultPartitions      = 6
	DefaultReplication     = 1
	DefaultKeepAlive       = 20 * time.Second
)

// MQTT says where messages come from.
type MQTT struct {
	URL       string // tcp://, mqtt://, ssl://, tls://, mqtts://, ws://, wss://
	ClientID  string // names the session at the broker: stable, and used by this bridge alone
	Username  string
	Password  string
	TLS       *tls.Config
	KeepAlive time.Duration
}

// Kafka says where they go.
type Kafka struct {
	Brokers     []string // host:port
	TLS         *tls.Config
	SASL        sasl.Mechanism
	Partitions  int // of topics that the bridge creates
	Replication int
}

// store keeps pictures. Put returns when the picture is durable.
type store interface {
	Put(ctx context.Context, p *record.Picture) error
}

// Options is what a Bridge needs. Zero values take their defaults.
type Options struct {
	MQTT            MQTT
	Kafka           Kafka
	Pictures        store // nil: pictures become dead letters
	MaxUnacked      int   // messages held in memory
	MaxUnackedBytes int
	Metrics         *Metrics
	Log             *slog.Logger
}

func (o *Options) complete() error {
	u, err := url.Parse(o.MQTT.URL)
	switch {
	case err != nil, !knownScheme(u.Scheme), u.Host == "":
		return errors.New("mqtt address is none: write one such as tcp://127.0.0.1:1883 or ssl://host:8883")
	case u.User != nil:
		return errors.New("mqtt address holds a secret: give username and password file instead")
	case o.MQTT.ClientID == "":
		return errors.New("mqtt client id is missing: without a stable one the broker keeps nothing for us")
	case o.MQTT.TLS != nil && !encrypts(u.Scheme):
		return fmt.Errorf("mqtt address %s does not encrypt, and certificates are named: "+
			"write ssl:// or wss://, or name none", u)
	case o.negative():
		return errors.New("a number or the keep-alive is less than 0: write 0 for the default")
	case len(o.Kafka.Brokers) == 0:
		return errors.New("no kafka broker is named: give --kafka host:port, or kafka.brokers in " +
			"the file of --config")
	case o.Metrics == nil || o.Log == nil:
		return errors.New("metrics and log are required")
	}
	orDefault(&o.MaxUnacked, DefaultMaxUnacked)
	orDefault(&o.MaxUnackedBytes, DefaultMaxUnackedBytes)
	orDefault(&o.Kafka.Partitions, DefaultPartitions)
	orDefault(&o.Kafka.Replication, DefaultReplication)
	orDefault(&o.MQTT.KeepAlive, DefaultKeepAlive)
	return nil
}

func (o *Options) negative() bool {
	return min(o.MaxUnacked, o.MaxUnackedBytes, o.Kafka.Partitions, o.Kafka.Replication) < 0 ||
		o.MQTT.KeepAlive < 0
}

func orDefault[T int | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}
