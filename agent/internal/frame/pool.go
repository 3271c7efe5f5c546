package frame

import "sync"

// Pool lends a fixed number of frames, so that memory is bounded and the steady state allocates nothing.
// Safe for concurrent use.
type Pool struct {
	mu       sync.Mutex
	free     []*Frame // last returned, first lent: its memory is still in the cache
	size     int
	closed   bool
	returned chan struct{}
}

// NewPool makes a pool of n frames whose memory sources grow on first use.
func NewPool(n int) *Pool {
	p := &Pool{free: make([]*Frame, 0, n), size: n, returned: make(chan struct{}, 1)}
	for range n {
		p.free = append(p.free, &Frame{pool: p})
	}
	return p
}

// Get lends a frame, or nil when all are out or the pool is closed.
func (p *Pool) Get() *Frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.free) - 1
	if last < 0 {
		return nil
	}
	f := p.free[last]
	p.free[last] = nil
	p.free = p.free[:last]
	return f
}

// Returned signals at least once after a frame came back, for one waiter that got nil.
func (p *Pool) Returned() <-chan struct{} { return p.returned }

// Close gives the memory of all frames at home back to the system. A frame that is still out keeps its memory
// until it is released.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, f := range p.free {
		f.free()
	}
	p.free = nil
}

// put takes a frame back and reports false when the pool is closed.
func (p *Pool) put(f *Frame) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	if len(p.free) == p.size {
		// two owners would share one picture: a part judged by another's pixels
		panic("frame: released twice")
	}
	p.free = append(p.free, f)
	select {
	case p.returned <- struct{}{}:
	default:
	}
	return true
}
