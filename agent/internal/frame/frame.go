// Package frame holds the picture that flows from camera to tensor, and who owns its memory.
//
// Pixels live outside the Go heap, in anonymous memory mapped for one frame, because C code (OpenCV) keeps
// pointers to them: they neither move nor vanish while the frame is lent out, and a capture that hangs in C
// can go on writing into its frame for as long as it likes.
package frame

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// maxBytes bounds one picture: 26,754 pixels square in colour. Decoders have tighter bounds of their own.
const maxBytes = 1 << 31

// Frame is one picture in memory. Pix is interleaved 8-bit samples, Channels per pixel (1 gray, 3 BGR),
// rows Stride bytes apart. A frame has one owner at a time; the owner hands it back with Release and does
// not touch it after. Not safe for concurrent use.
type Frame struct {
	Width, Height, Channels, Stride int
	Pix                             []byte
	Seq                             uint64 // counts up for each frame of its camera
	ExposedNs                       int64  // CLOCK_MONOTONIC when the frame was complete in memory
	Source                          string // file name, or board number of the simulation
	Simulated                       bool
	Truth                           []Truth // what the simulation drew
	// Template is the golden picture that this very frame is compared with; nil where the station has one for
	// all. It is released with the frame.
	Template *Frame

	beside *Frame // Template's memory, kept between frames
	mem    []byte // the mapping behind Pix, whole pages; nil until Shape
	pool   *Pool  // where it returns to
}

// Truth is a defect that the simulated camera drew. Box is x1, y1, x2, y2 in frame pixels, exclusive at
// right, bottom.
type Truth struct {
	Class int
	Box   [4]float32
}

// Shape prepares f for a picture of the given size. It keeps the memory where that is large enough, so that
// pictures of one size always lie at one address; pixels then hold what was there before. Growing moves them:
// pointers to the old memory are dead.
func (f *Frame) Shape(width, height, channels int) error {
	n, err := size(width, height, channels)
	if err != nil {
		return err
	}
	if len(f.mem) < n {
		if err := f.grow(n); err != nil {
			return err
		}
	}
	f.Pix = f.mem[:n:n]
	f.Width, f.Height, f.Channels, f.Stride = width, height, channels, width*channels
	return nil
}

// Show lets f show a picture that its source keeps, without a copy: pix is pinned and never changed. The next
// Shape returns f to its own memory.
func (f *Frame) Show(pix []byte, width, height, channels int) error {
	n, err := size(width, height, channels)
	if err != nil {
		return err
	}
	if len(pix) != n {
		return fmt.Errorf("show frame: %d bytes are no %dx%d with %d channels",
			len(pix), width, height, channels)
	}
	f.Pix = pix
	f.Width, f.Height, f.Channels, f.Stride = width, height, channels, width*channels
	return nil
}

// Part is a rectangle of the picture, which lies within it, in f's own memory: it ends with f, and is not
// released.
func (f *Frame) Part(x, y, width, height int) Frame {
	first := y*f.Stride + x*f.Channels
	last := first + (height-1)*f.Stride + width*f.Channels
	return Frame{
		Width: width, Height: height, Channels: f.Channels, Stride: f.Stride, Pix: f.Pix[first:last:last],
	}
}

// Beside returns the frame's template, to be drawn or decoded into.
func (f *Frame) Beside() *Frame {
	if f.beside == nil {
		f.beside = &Frame{}
	}
	f.Template = f.beside
	return f.Template
}

// Release hands the frame back to its pool. A frame without pool, or whose pool is closed, gives its memory
// back.
func (f *Frame) Release() {
	f.Truth, f.Template = f.Truth[:0], nil
	if f.pool == nil || !f.pool.put(f) {
		f.free()
	}
}

// free unmaps the frame and its template.
func (f *Frame) free() {
	f.unmap()
	if f.beside != nil {
		f.beside.unmap()
	}
}

func size(width, height, channels int) (int, error) {
	if width <= 0 || height <= 0 || channels <= 0 || channels > 4 {
		return 0, fmt.Errorf("shape frame: %dx%d with %d channels is no picture", width, height, channels)
	}
	if width > maxBytes/channels/height {
		return 0, fmt.Errorf("shape frame: %dx%d with %d channels is more than %d bytes",
			width, height, channels, maxBytes)
	}
	return width * height * channels, nil
}

func (f *Frame) grow(n int) error {
	const protection = syscall.PROT_READ | syscall.PROT_WRITE
	page := os.Getpagesize()
	n = (n + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, n, protection, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("map %d bytes for a frame (give the machine more memory, or the camera a smaller "+
			"picture): %w", n, err)
	}
	f.unmap()
	f.mem = mem
	return nil
}

// unmap gives the pixel memory back to the system.
func (f *Frame) unmap() {
	f.Pix = nil
	if f.mem == nil {
		return
	}
	if err := syscall.Munmap(f.mem); err != nil && !errors.Is(err, syscall.ENOMEM) {
		panic("frame: unmap of its own memory: " + err.Error()) // only possible when f.mem was overwritten
	}
	f.mem = nil
}
