package bridge

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const dialTimeout = 5 * time.Second

func knownScheme(scheme string) bool {
	return slices.Contains([]string{"tcp", "mqtt", "ssl", "tls", "mqtts", "ws", "wss"}, scheme)
}

// encrypts reports whether a known scheme means TLS.
func encrypts(scheme string) bool {
	return slices.Contains([]string{"ssl", "tls", "mqtts", "wss"}, scheme)
}

// dial opens the socket below MQTT. TCP's own probes notice a peer that is gone while the gate is closed,
// when MQTT's ping cannot.
func dial(ctx context.Context, at *url.URL, secret *tls.Config) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}
	switch at.Scheme {
	case "ws", "wss":
		c, err := mqtt.NewWebsocket(at.String(), secret, dialTimeout, nil, nil)
		return c, wrapDial(at, err)
	case "ssl", "tls", "mqtts":
		c, err := (&tls.Dialer{NetDialer: dialer, Config: secret}).DialContext(ctx, "tcp",
			withPort(at, "8883"))
		return c, wrapDial(at, err)
	default:
		c, err := dialer.DialContext(ctx, "tcp", withPort(at, "1883"))
		return c, wrapDial(at, err)
	}
}

func wrapDial(at *url.URL, err error) error {
	if err != nil {
		return fmt.Errorf("dial %s: %w", at.Redacted(), err)
	}
	return nil
}

func withPort(at *url.URL, port string) string {
	if at.Port() != "" {
		return at.Host
	}
	return net.JoinHostPort(at.Hostname(), port)
}
