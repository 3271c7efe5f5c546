package bridge

import (
	"sync"
	"time"
)

// gate bounds what the bridge holds unacknowledged, in messages and in bytes. It is closed while either bound
// is reached; the connection then reads no further message, and the broker keeps them. Safe for concurrent
// use.
type gate struct {
	maxCount, maxBytes int

	mu     sync.Mutex
	since  []time.Time // receipt of each message held, oldest first
	bytes  int
	opened chan struct{} // closed while the gate is open
}

func newGate(maxCount, maxBytes int) *gate {
	g := &gate{maxCount: maxCount, maxBytes: maxBytes, opened: make(chan struct{})}
	close(g.opened)
	return g
}

// open returns a channel that is closed as soon as another message may be read.
func (g *gate) open() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened
}

// add counts a message that has been read, and when.
func (g *gate) add(at time.Time, bytes int) {
	g.change(bytes, func(since []time.Time) []time.Time { return append(since, at) })
}

// done gives back what add took for the oldest message: they leave in the order of their receipt.
func (g *gate) done(bytes int) {
	g.change(-bytes, func(since []time.Time) []time.Time { return since[1:] })
}

// undo gives back what add took for the newest message.
func (g *gate) undo(bytes int) {
	g.change(-bytes, func(since []time.Time) []time.Time { return since[:len(since)-1] })
}

func (g *gate) held() (count, bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.since), g.bytes
}

// oldest is when the oldest message held was received; zero when none is held.
func (g *gate) oldest() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.since) == 0 {
		return time.Time{}
	}
	return g.since[0]
}

func (g *gate) change(bytes int, count func(since []time.Time) []time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.full()
	g.since = count(g.since)
	g.bytes += bytes
	switch full := g.full(); {
	case full && !was:
		g.opened = make(chan struct{})
	case was && !full:
		close(g.opened)
	}
}

func (g *gate) full() bool { return len(g.since) >= g.maxCount || g.bytes >= g.maxBytes }
