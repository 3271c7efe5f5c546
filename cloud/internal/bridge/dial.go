package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sys/unix"
)

const dialTimeout = 5 * time.Second

func knownScheme(scheme string) bool {
	return slices.Contains([]string{"tcp", "mqtt", "ssl", "tls", "mqtts", "ws", "wss"}, scheme)
}

// encrypts reports whether a known scheme means TLS.
func encrypts(scheme string) bool {
	return slices.Contains([]string{"ssl", "tls", "mqtts", "wss"}, scheme)
}

// limits say when the kernel gives a silent peer up.
type limits struct {
	idle, every time.Duration // before the first probe, and between probes; whole seconds
	probes      int
}

// unanswered is how long a peer may acknowledge nothing, neither probes nor bytes. The probes alone are not
// enough: a ping is sent before they are over, and the kernel would repeat it for a quarter of an hour.
func (l limits) unanswered() time.Duration { return l.idle + time.Duration(l.probes)*l.every }

// dial opens the socket below MQTT. While the gate is closed MQTT's ping cannot tell whether the peer lives,
// so the kernel has to: see guard.
func dial(ctx context.Context, at *url.URL, secret *tls.Config) (net.Conn, error) {
	c, err := open(ctx, at, secret)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", at.Redacted(), err)
	}
	if err := guard(c, limits{idle: 10 * time.Second, every: 5 * time.Second, probes: 3}); err != nil {
		return nil, errors.Join(fmt.Errorf("set the timeouts of %s: %w", at.Redacted(), err), c.Close())
	}
	return c, nil
}

func open(ctx context.Context, at *url.URL, secret *tls.Config) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	switch at.Scheme {
	case "ws", "wss":
		return mqtt.NewWebsocket(at.String(), secret, dialTimeout, nil, nil)
	case "ssl", "tls", "mqtts":
		return (&tls.Dialer{NetDialer: dialer, Config: secret}).DialContext(ctx, "tcp", withPort(at, "8883"))
	default:
		return dialer.DialContext(ctx, "tcp", withPort(at, "1883"))
	}
}

// guard makes the kernel end a connection whose peer is gone, idle or not; a write then fails. A peer that
// lives acknowledges whatever is sent to it, also while the bridge reads nothing and its window is closed, so
// a closed gate alone ends no connection, however long it lasts.
func guard(c net.Conn, l limits) error {
	socket, err := tcpBelow(c)
	if err != nil {
		return err
	}
	err = socket.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: l.idle, Interval: l.every, Count: l.probes,
	})
	if err != nil {
		return err //nolint:wrapcheck // names the call
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err //nolint:wrapcheck // names the call
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = os.NewSyscallError("set TCP_USER_TIMEOUT", unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP,
			unix.TCP_USER_TIMEOUT, int(l.unanswered().Milliseconds())))
	})
	return errors.Join(err, failed)
}

// tcpBelow finds the TCP connection below TLS and WebSocket.
func tcpBelow(c net.Conn) (*net.TCPConn, error) {
	for {
		switch at := c.(type) {
		case *net.TCPConn:
			return at, nil
		case interface{ NetConn() net.Conn }:
			c = at.NetConn()
		default:
			return nil, fmt.Errorf("a %T is not over TCP", c)
		}
	}
}

func withPort(at *url.URL, port string) string {
	if at.Port() != "" {
		return at.Host
	}
	return net.JoinHostPort(at.Hostname(), port)
}
