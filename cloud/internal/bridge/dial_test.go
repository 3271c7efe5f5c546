package bridge

import (
	"context"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// pair is both ends of a connection over loopback; the first was opened by the given function.
func pair(t *testing.T, open func(at *url.URL) (net.Conn, error)) (ours, peer net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	ours, err = open(&url.URL{Scheme: "tcp", Host: listener.Addr().String()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ours.Close() })
	peer, err = listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = peer.Close() })
	return ours, peer
}

func TestAConnectionGivesASilentPeerUpAfter25Seconds(t *testing.T) {
	ours, _ := pair(t, func(at *url.URL) (net.Conn, error) { return dial(t.Context(), at, nil) })
	socket, err := tcpBelow(wrapped{ours}) // as TLS and WebSocket wrap it
	require.NoError(t, err)
	raw, err := socket.SyscallConn()
	require.NoError(t, err)
	for _, option := range []struct{ level, name, want int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 10},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 5},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 25_000},
	} {
		var got int
		require.NoError(t, raw.Control(func(fd uintptr) {
			got, err = unix.GetsockoptInt(int(fd), option.level, option.name)
		}))
		require.NoError(t, err)
		require.Equal(t, option.want, got)
	}
}

// wrapped hides the TCP connection below another.
type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }

func TestWhatIsNotOverTCPCannotBeGuarded(t *testing.T) {
	ours, peer := net.Pipe()
	require.NoError(t, peer.Close())
	require.ErrorContains(t, guard(ours, limits{}), "not over TCP")
}

// A peer that lives is kept however long the gate stays closed.
func TestAClosedGateOutlivesTheTimeouts(t *testing.T) {
	t.Parallel()
	short := limits{idle: time.Second, every: time.Second, probes: 1}
	ours, peer := pair(t, func(at *url.URL) (net.Conn, error) { return net.Dial("tcp", at.Host) })
	require.NoError(t, guard(ours, short))
	const total = 64 << 20 // more than the socket takes while nobody reads
	sent := make(chan error, 1)
	go func() {
		_, err := peer.Write(make([]byte, total))
		sent <- err
	}()
	closed, cancel := context.WithTimeout(t.Context(), 2*short.unanswered()+time.Second/2)
	defer cancel()
	pings := time.NewTicker(700 * time.Millisecond)
	defer pings.Stop()
	for closed.Err() == nil {
		select {
		case <-pings.C:
			_, err := ours.Write(pingReq)
			require.NoError(t, err)
		case err := <-sent:
			require.NoError(t, err)
			require.Fail(t, "the window was never closed")
		case <-closed.Done():
		}
	}
	_, err := io.CopyN(io.Discard, ours, total)
	require.NoError(t, err)
	require.NoError(t, <-sent)
}
