// Package app wires the programs of the cloud's side together. Everything meets here and nowhere else.
package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/sightline-edge/sightline/cloud/internal/bridge"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

const maxSecret = 1 << 20

// Config is cloud.yaml. Each key has a flag of the same meaning, which wins; what only a flag can say, such
// as where to log, is no part of it.
type Config struct {
	MQTT     MQTT     `yaml:"mqtt"`
	Kafka    Kafka    `yaml:"kafka"`
	Evidence Evidence `yaml:"evidence"`
	Health   Health   `yaml:"health"`
}

// MQTT is the broker that the nodes' uplinks reach.
type MQTT struct {
	URL             string        `yaml:"url"`
	ClientID        string        `yaml:"client_id"`         // default sightline-bridge; one bridge, one id
	KeepAlive       time.Duration `yaml:"keep_alive"`        // whole seconds, default 20s
	MaxUnacked      int           `yaml:"max_unacked"`       // messages held in memory, default 10000
	MaxUnackedBytes int           `yaml:"max_unacked_bytes"` // default 64 MiB
	Identity        Identity      `yaml:",inline"`
}

// Kafka is where records go.
type Kafka struct {
	Brokers     []string `yaml:"brokers"`     // host:port
	Partitions  int      `yaml:"partitions"`  // of topics that are missing, default 6
	Replication int      `yaml:"replication"` // of topics that are missing, default 1
	TLS         bool     `yaml:"tls"`         // implied by ca_file and cert_file
	Mechanism   string   `yaml:"mechanism"`   // plain (default), scram-sha-256, scram-sha-512; with username
	Identity    Identity `yaml:",inline"`
}

// Identity is how we show who we are, and whom we trust. Secrets stand in files of their own.
type Identity struct {
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	CAFile       string `yaml:"ca_file"`
	CertFile     string `yaml:"cert_file"`
	KeyFile      string `yaml:"key_file"`
}

// Evidence is where pictures go.
type Evidence struct {
	Dir string `yaml:"dir"` // empty: pictures become dead letters
}

// Health is the HTTP listener for metrics and readiness.
type Health struct {
	Listen string `yaml:"listen"` // default 127.0.0.1:9130; "off"
}

// Defaults is the configuration before a file and flags are read.
func Defaults() Config {
	return Config{
		MQTT:   MQTT{ClientID: "sightline-bridge"},
		Health: Health{Listen: "127.0.0.1:9130"},
	}
}

// Load reads a file over the defaults. All faults come back at once.
func Load(path string) (Config, error) {
	c := Defaults()
	raw, err := readBounded(path, strictyaml.MaxBytes)
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	doc := strictyaml.Parse(raw, &c)
	if doc.Err() == nil {
		c.check(doc)
	}
	if err := doc.Err(); err != nil {
		return c, fmt.Errorf("%s:\n%w", path, err)
	}
	return c, nil
}

func (c *Config) check(doc *strictyaml.Document) {
	if u, err := url.Parse(c.MQTT.URL); err == nil && u.User != nil {
		doc.Add("mqtt.url", "a user name or password stands in the address", "use username and password_file")
	}
	doc.Within("mqtt.keep_alive", c.MQTT.KeepAlive.Seconds(), 0, 3600)
	doc.Within("mqtt.max_unacked", float64(c.MQTT.MaxUnacked), 0, 1_000_000)
	doc.Within("mqtt.max_unacked_bytes", float64(c.MQTT.MaxUnackedBytes), 0, 1<<34)
	doc.Within("kafka.partitions", float64(c.Kafka.Partitions), 0, 10_000)
	doc.Within("kafka.replication", float64(c.Kafka.Replication), 0, 100)
	if c.Kafka.Mechanism != "" {
		doc.OneOf("kafka.mechanism", c.Kafka.Mechanism, "plain", "scram-sha-256", "scram-sha-512")
	}
	c.MQTT.Identity.check(doc, "mqtt")
	c.Kafka.Identity.check(doc, "kafka")
}

func (i *Identity) check(doc *strictyaml.Document, at string) {
	if (i.CertFile == "") != (i.KeyFile == "") {
		doc.Add(at+".cert_file", "certificate and key go together", "set cert_file and key_file, or neither")
	}
}

func (i *Identity) password() (string, error) {
	switch {
	case i.PasswordFile == "":
		return "", nil
	case i.Username == "":
		return "", errors.New(
			"password_file is set without username and would not be used: set both, or neither")
	}
	raw, err := readBounded(i.PasswordFile, maxSecret)
	if err != nil {
		return "", fmt.Errorf("read password file: %w", err)
	}
	return strings.TrimRight(string(raw), "\r\n"), nil
}

// tls returns nil when no file is named.
func (i *Identity) tls() (*tls.Config, error) {
	if i.CAFile == "" && i.CertFile == "" {
		return nil, nil //nolint:nilnil // no TLS material is no fault
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if i.CAFile != "" {
		raw, err := readBounded(i.CAFile, maxSecret)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("ca_file %s holds no PEM certificate", i.CAFile)
		}
	}
	if i.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(i.CertFile, i.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load cert_file and key_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (m *MQTT) source() (bridge.MQTT, error) {
	password, err := m.Identity.password()
	if err != nil {
		return bridge.MQTT{}, fmt.Errorf("mqtt: %w", err)
	}
	secret, err := m.Identity.tls()
	if err != nil {
		return bridge.MQTT{}, fmt.Errorf("mqtt: %w", err)
	}
	return bridge.MQTT{
		URL: m.URL, ClientID: m.ClientID, Username: m.Identity.Username, Password: password, TLS: secret,
		KeepAlive: m.KeepAlive,
	}, nil
}

func (k *Kafka) target() (bridge.Kafka, error) {
	secret, err := k.Identity.tls()
	if err != nil {
		return bridge.Kafka{}, fmt.Errorf("kafka: %w", err)
	}
	if secret == nil && k.TLS {
		secret = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	mechanism, err := k.mechanism()
	if err != nil {
		return bridge.Kafka{}, fmt.Errorf("kafka: %w", err)
	}
	return bridge.Kafka{
		Brokers: k.Brokers, TLS: secret, SASL: mechanism,
		Partitions: k.Partitions, Replication: k.Replication,
	}, nil
}

// readBounded refuses a file of more than limit bytes: half of it could mean something else.
func readBounded(path string, limit int64) (raw []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the path; the caller names the step
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	raw, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s holds more than %d bytes: is it the right file?", path, limit)
	}
	return raw, err //nolint:wrapcheck // the caller names the step
}
