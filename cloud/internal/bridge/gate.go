package bridge

import "sync"

// gate bounds what the bridge holds unacknowledged, in messages and in bytes. It is closed while either bound
// is reached; the connection then reads no further message, and the broker keeps them. Safe for concurrent
// use.
type gate struct {
	maxCount, maxBytes int

	mu           sync.Mutex
	count, bytes int
	opened       chan struct{} // closed while the gate is open
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

// add counts a message that has been read.
func (g *gate) add(bytes int) { g.change(1, bytes) }

// done gives back what add took.
func (g *gate) done(bytes int) { g.change(-1, -bytes) }

func (g *gate) held() (count, bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count, g.bytes
}

func (g *gate) change(count, bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.full()
	g.count += count
	g.bytes += bytes
	switch full := g.full(); {
	case full && !was:
		g.opened = make(chan struct{})
	case was && !full:
		close(g.opened)
	}
}

func (g *gate) full() bool { return g.count >= g.maxCount || g.bytes >= g.maxBytes }
