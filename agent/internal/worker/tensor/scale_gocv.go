//go:build cgo && customenv

package tensor

import (
	"fmt"
	"image"

	"gocv.io/x/gocv"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// maxHeaders bounds the cached headers: a frame pool is smaller.
const maxHeaders = 64

// memory is what a Mat header says of a frame.
type memory struct {
	pix                     *byte
	width, height, channels int
}

// cvScaler is OpenCV's resize from one Mat header to another, both over memory that stays.
type cvScaler struct {
	headers map[memory]gocv.Mat // of frames: their memory is reused, and so are its headers
	dst     gocv.Mat
	out     []byte
	shape   memory
	spare   goScaler
}

func newScaler() scaler { return &cvScaler{headers: map[memory]gocv.Mat{}} }

func (s *cvScaler) scale(f *frame.Frame, width, height int) ([]byte, error) {
	if f.Stride != f.Width*f.Channels { // gocv cannot make a header with padded rows
		return s.spare.scale(f, width, height)
	}
	src, err := s.header(f)
	if err != nil {
		return nil, err
	}
	if err := s.shapeOutput(width, height, f.Channels); err != nil {
		return nil, err
	}
	if err := gocv.Resize(src, &s.dst, image.Pt(width, height), 0, 0, gocv.InterpolationLinear); err != nil {
		return nil, fmt.Errorf("resize frame: %w", err)
	}
	return s.out, nil
}

func (s *cvScaler) header(f *frame.Frame) (gocv.Mat, error) {
	key := memory{&f.Pix[0], f.Width, f.Height, f.Channels}
	if m, ok := s.headers[key]; ok {
		return m, nil
	}
	if len(s.headers) >= maxHeaders {
		s.forget()
	}
	m, err := gocv.NewMatFromBytes(f.Height, f.Width, matType(f.Channels), f.Pix)
	if err != nil {
		return m, fmt.Errorf("wrap frame: %w", err)
	}
	s.headers[key] = m
	return m, nil
}

func (s *cvScaler) shapeOutput(width, height, channels int) error {
	shape := memory{nil, width, height, channels}
	if shape == s.shape {
		return nil
	}
	s.closeOutput()
	s.dst = gocv.NewMatWithSize(height, width, matType(channels))
	out, err := s.dst.DataPtrUint8()
	if err != nil {
		return fmt.Errorf("make canvas of %d×%d×%d: %w", width, height, channels, err)
	}
	s.out, s.shape = out, shape
	return nil
}

func (s *cvScaler) closeOutput() {
	if s.shape != (memory{}) {
		_ = s.dst.Close()
	}
	s.shape, s.out = memory{}, nil
}

func (s *cvScaler) forget() {
	for key, m := range s.headers {
		_ = m.Close()
		delete(s.headers, key)
	}
}

func (s *cvScaler) close() {
	s.forget()
	s.closeOutput()
}

func matType(channels int) gocv.MatType {
	if channels == gray {
		return gocv.MatTypeCV8UC1
	}
	return gocv.MatTypeCV8UC3
}
