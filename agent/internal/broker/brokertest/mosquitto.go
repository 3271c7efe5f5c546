// Package brokertest runs a real mosquitto for tests, and a proxy that can cut or freeze a connection.
package brokertest

import (
	"fmt"
	"net"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

// Mosquitto is one broker on a loopback port that stays the same through restarts.
type Mosquitto struct {
	Port   int
	config string
	cmd    *exec.Cmd
}

// Start runs mosquitto with extra lines of configuration. It fails the test if mosquitto is not installed,
// and skips it with -short, which is for machines without servers.
func Start(tb testing.TB, extra string) *Mosquitto {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs mosquitto")
	}
	dir := tb.TempDir()
	m := &Mosquitto{Port: FreePort(tb), config: filepath.Join(dir, "mosquitto.conf")}
	me, err := user.Current() // else mosquitto, started by root, becomes a user who cannot read our files
	require.NoError(tb, err)
	text := fmt.Sprintf("listener %d 127.0.0.1\nmax_inflight_messages 0\nmax_queued_messages 0\n"+
		"log_type error\nuser %s\n%s\n", m.Port, me.Username, extra)
	require.NoError(tb, fsutil.WriteFile(fsutil.OS{}, m.config, []byte(text), 0o600))
	m.Run(tb)
	tb.Cleanup(m.Kill)
	return m
}

// URL is where it listens.
func (m *Mosquitto) URL() string { return fmt.Sprintf("tcp://127.0.0.1:%d", m.Port) }

// Run starts it, also again after Kill, and waits until it accepts connections.
func (m *Mosquitto) Run(tb testing.TB) {
	tb.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // not in every user's PATH
	}
	m.cmd = exec.Command(path, "-c", m.config) //nolint:noctx,gosec // lives until Kill
	require.NoError(tb, m.cmd.Start(), "this test needs mosquitto: run scripts/setup")
	address := fmt.Sprintf("127.0.0.1:%d", m.Port)
	require.Eventually(tb, func() bool {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(tb.Context(), "tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, 10*time.Second, 10*time.Millisecond, "mosquitto does not listen")
}

// Kill ends it at once, as a crash would. Safe to call twice.
func (m *Mosquitto) Kill() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	m.cmd = nil
}

// FreePort returns a loopback port that nobody listens on.
func FreePort(tb testing.TB) int {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	defer func() { _ = l.Close() }()
	address, ok := l.Addr().(*net.TCPAddr)
	require.True(tb, ok)
	return address.Port
}
