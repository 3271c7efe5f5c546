// Package frame holds the picture that flows from camera to tensor, and who owns its memory.
package frame

// Frame is one picture in memory. Pix is interleaved 8-bit samples, Channels per pixel (1 gray, 3 BGR), rows Stride
// bytes apart. A frame has one owner at a time; the owner hands it back with Release and does not touch it after.
// Not safe for concurrent use.
type Frame struct {
	Width, Height, Channels, Stride int
	Pix                             []byte
	Seq                             uint64 // counts up for each frame of its camera
	ExposedNs                       int64  // CLOCK_MONOTONIC when the frame was complete in memory
	Source                          string // file name, or board number of the simulation
	Simulated                       bool
	Truth                           []Truth // what the simulation drew

	home chan *Frame // the pool it returns to
}

// Truth is a defect that the simulated camera drew. Box is x1, y1, x2, y2 in frame pixels, exclusive at right, bottom.
type Truth struct {
	Class int
	Box   [4]float32
}

// Release hands the frame back to its pool. A frame without pool is left to the garbage collector.
func (f *Frame) Release() {
	if f.home == nil {
		return
	}
	f.Truth = f.Truth[:0]
	f.home <- f // the pool has room for all of its frames: this never blocks
}

// Pool lends a fixed number of frames, so that memory is bounded and the steady state allocates nothing.
// Safe for concurrent use.
type Pool struct {
	free chan *Frame
}

// NewPool makes a pool of n frames whose memory sources grow on first use.
func NewPool(n int) *Pool {
	p := &Pool{free: make(chan *Frame, n)}
	for range n {
		p.free <- &Frame{home: p.free}
	}
	return p
}

// Get lends a frame, or nil when all are out.
func (p *Pool) Get() *Frame {
	select {
	case f := <-p.free:
		return f
	default:
		return nil
	}
}

// Shape prepares f for a picture of the given size, reusing its memory where that is large enough.
func (f *Frame) Shape(width, height, channels int) {
	n := width * height * channels
	if cap(f.Pix) < n {
		f.Pix = make([]byte, n)
	}
	f.Pix = f.Pix[:n]
	f.Width, f.Height, f.Channels, f.Stride = width, height, channels, width*channels
}
