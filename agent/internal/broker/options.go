package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

const (
	defaultKeepAlive  = 10 * time.Second
	minKeepAlive      = 2 * time.Second
	defaultMaxInbound = 64 << 10
	maxSecretBytes    = 4 << 10
	maxPEMBytes       = 1 << 20
)

// Options say which broker to speak to and as whom. URL and ClientID must be set.
type Options struct {
	URL      string // tcp://host:port, ssl://host:port or unix:///path; without user or password
	ClientID string // unique among all clients of the broker
	Username string
	// PasswordFile, CAFile, CertFile and KeyFile are read again at each connect, so that they can be renewed
	// without a restart. CAFile empty: the system's authorities. CertFile and KeyFile go together.
	PasswordFile string
	CAFile       string
	CertFile     string
	KeyFile      string

	Will *Message
	// Subscriptions are in place before OnState is told of any connection. What answers to what we publish,
	// and must not be missed, belongs here and not to Conn.Subscribe.
	Subscriptions []Subscription
	Log           *slog.Logger
	// OnState is told, from one goroutine, about each change: true once the connection is up and all
	// subscriptions are granted. It may publish; the next change waits for it.
	OnState func(connected bool)
	// KeepAlive bounds silence: a dead peer is noticed within one and a half of it. Default 10 s, at least 2
	// s.
	KeepAlive time.Duration
	// CleanSession false asks the broker to keep subscriptions and queue messages while we are away.
	CleanSession bool
	// MaxPause bounds the pauses between connections that are ended quickly again and again, default one
	// minute.
	MaxPause time.Duration
	// MaxInbound bounds an incoming packet in bytes, default 64 KiB. The rest of a larger one is thrown away
	// before it takes memory, and its delivery says Truncated.
	MaxInbound int
}

// Subscription is what Conn.Subscribe takes.
type Subscription struct {
	Filter string
	Depth  int
	Handle func(Delivery)
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnState == nil {
		o.OnState = func(bool) {}
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = defaultKeepAlive
	}
	o.KeepAlive = max(o.KeepAlive, minKeepAlive)
	if o.MaxPause == 0 {
		o.MaxPause = longestPause
	}
	if o.MaxInbound == 0 {
		o.MaxInbound = defaultMaxInbound
	}
	return o
}

// check returns the parsed URL, or every fault that time will not mend.
func (o Options) check() (*url.URL, error) {
	u, err := parseURL(o.URL)
	if o.ClientID == "" {
		err = errors.Join(err, errors.New("client id is empty: set mqtt.client_id"))
	}
	if _, secretErr := o.password(); secretErr != nil {
		err = errors.Join(err, secretErr)
	}
	if _, tlsErr := o.tlsConfig("check"); tlsErr != nil {
		err = errors.Join(err, tlsErr)
	}
	if o.Will != nil {
		err = errors.Join(err, o.Will.check())
	}
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	return u, nil
}

// parseURL never repeats the text in its error: it may hold a password.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the URL cannot be read: write tcp://host:port or ssl://host:port")
	}
	if u.User != nil {
		return nil, errors.New("the URL holds a user: use mqtt.username and mqtt.password_file")
	}
	switch u.Scheme {
	case "tcp", "mqtt", "ssl", "tls", "mqtts":
		if u.Hostname() == "" {
			return nil, fmt.Errorf("the URL %q has no host: write %s://host:port", text, u.Scheme)
		}
		if u.Port() == "" {
			u.Host = u.Host + ":" + defaultPort(u.Scheme)
		}
	case "unix":
		if u.Path == "" {
			return nil, fmt.Errorf("the URL %q has no path: write unix:///run/broker.sock", text)
		}
	default:
		return nil, fmt.Errorf("the URL scheme %q is not known: use tcp, ssl or unix", u.Scheme)
	}
	return u, nil
}

func defaultPort(scheme string) string {
	if secure(scheme) {
		return "8883"
	}
	return "1883"
}

func secure(scheme string) bool { return scheme == "ssl" || scheme == "tls" || scheme == "mqtts" }

func (o Options) password() (string, error) {
	if o.PasswordFile == "" {
		return "", nil
	}
	b, err := fsutil.ReadFile(o.PasswordFile, maxSecretBytes)
	if err != nil {
		return "", fmt.Errorf("read password file: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

func (o Options) tlsConfig(server string) (*tls.Config, error) {
	c := &tls.Config{ServerName: server, MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := fsutil.ReadFile(o.CAFile, maxPEMBytes)
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s holds no PEM certificate", o.CAFile)
		}
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, errors.New("a client certificate needs both cert_file and key_file")
	}
	if o.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
