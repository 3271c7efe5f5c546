package brokertest

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxy stands before a broker and spoils its connections.
type Proxy struct {
	listener net.Listener
	target   string
	owned    sync.WaitGroup

	mu     sync.Mutex
	gate   chan struct{} // closed while bytes flow
	conns  map[net.Conn]struct{}
	opened int
}

// NewProxy forwards to a broker's URL until the test ends.
func NewProxy(tb testing.TB, brokerURL string) *Proxy {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	p := &Proxy{
		listener: l, target: strings.TrimPrefix(brokerURL, "tcp://"),
		gate: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
	close(p.gate)
	p.owned.Go(p.accept)
	tb.Cleanup(func() {
		_ = l.Close()
		p.Thaw()
		p.Cut()
		p.owned.Wait()
	})
	return p
}

// URL is where it listens.
func (p *Proxy) URL() string { return "tcp://" + p.listener.Addr().String() }

// Freeze lets no byte through in either direction and keeps the sockets open: a half-open connection.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = make(chan struct{})
}

// Thaw ends Freeze.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}

// Cut closes every connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

// Opened counts the connections so far.
func (p *Proxy) Opened() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = struct{}{}, struct{}{}
		p.opened++
		p.mu.Unlock()
		p.owned.Go(func() { p.pipe(client, server) })
		p.owned.Go(func() { p.pipe(server, client) })
	}
}

func (p *Proxy) pipe(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		gate := p.gate
		p.mu.Unlock()
		<-gate
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
