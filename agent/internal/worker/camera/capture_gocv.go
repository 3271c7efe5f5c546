//go:build cgo && customenv

package camera

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"gocv.io/x/gocv"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// hasVideo: OpenCV is linked.
const hasVideo = true

// Properties of OpenCV's FFmpeg backend for which gocv has no names, in milliseconds.
const (
	propOpenTimeout = gocv.VideoCaptureProperties(53)
	propReadTimeout = gocv.VideoCaptureProperties(54)
)

// video reads through OpenCV. The pixels are written into the frames' own memory, to which it keeps one Mat
// header for each frame of the pool.
type video struct {
	capture *gocv.VideoCapture
	heads   map[*byte]*head
	probe   gocv.Mat // receives a picture whose size is not known before
	shape   shape
	last    func() error // what a failed read means
	source  string
}

type shape struct{ width, height, channels int }

// head is a Mat over one frame's memory.
type head struct {
	mat   gocv.Mat
	shape shape
}

func openDevice(s spec) (source, error) {
	if err := checkDevice(s.target); err != nil {
		return nil, err
	}
	c, err := gocv.OpenVideoCaptureWithAPI(s.target, gocv.VideoCaptureV4L2)
	if err != nil {
		closeCapture(c)
		return nil, fmt.Errorf("%s does not open as a video capture device; is another program using it?",
			s.target)
	}
	if s.fourcc != "" {
		c.Set(gocv.VideoCaptureFOURCC, c.ToCodec(s.fourcc))
	}
	for _, p := range []struct {
		prop  gocv.VideoCaptureProperties
		value float64
	}{
		{gocv.VideoCaptureFrameWidth, float64(s.width)},
		{gocv.VideoCaptureFrameHeight, float64(s.height)},
		{gocv.VideoCaptureFPS, s.fps},
	} {
		if p.value > 0 {
			c.Set(p.prop, p.value)
		}
	}
	if codec := c.Get(gocv.VideoCaptureFOURCC); codec == c.ToCodec("MJPG") || codec == c.ToCodec("JPEG") {
		return newJPEGs(c, s)
	}
	return newVideo(c, stopped, ""), nil
}

func openPipeline(s spec) (source, error) {
	c, err := gocv.OpenVideoCaptureWithAPI(s.target, gocv.VideoCaptureGstreamer)
	if err != nil {
		closeCapture(c)
		return nil, errors.New("the GStreamer pipeline does not start; try it with gst-launch-1.0, " +
			"fakesink in place " +
			"of appsink")
	}
	return newVideo(c, stopped, ""), nil
}

func openNetwork(s spec, open, read time.Duration) (source, error) {
	c, err := gocv.OpenVideoCaptureWithAPIParams(s.target, gocv.VideoCaptureFFmpeg,
		[]gocv.VideoCaptureProperties{
			propOpenTimeout, gocv.VideoCaptureProperties(milliseconds(open)),
			propReadTimeout, gocv.VideoCaptureProperties(milliseconds(read)),
		})
	if err != nil {
		closeCapture(c)
		return nil, fmt.Errorf("%s does not open; check the address, the password and that the camera "+
			"is on the network",
			s.shown)
	}
	return newVideo(c, stopped, ""), nil
}

func openVideo(s spec) (source, error) {
	info, err := os.Stat(s.target)
	if err != nil {
		return nil, fmt.Errorf("look at the video: %w", err)
	}
	c, err := gocv.OpenVideoCaptureWithAPI(s.target, gocv.VideoCaptureFFmpeg)
	if err != nil {
		closeCapture(c)
		return nil, fmt.Errorf("%s is neither an image (JPEG, PNG, BMP, TIFF) nor a video that FFmpeg reads",
			s.target)
	}
	v := newVideo(c, nil, info.Name())
	v.last = func() error { return v.rewind(s.loop) }
	return v, nil
}

func newVideo(c *gocv.VideoCapture, last func() error, source string) *video {
	return &video{capture: c, heads: map[*byte]*head{}, probe: gocv.NewMat(), last: last, source: source}
}

// closeCapture: gocv returns a capture beside its error, and it has memory too.
func closeCapture(c *gocv.VideoCapture) {
	if c != nil {
		_ = c.Close()
	}
}

func stopped() error { return errors.New("the camera stopped sending pictures") }

// rewind is the end of a video file, or its beginning again.
func (v *video) rewind(loop bool) error {
	if !loop || v.shape == (shape{}) {
		return io.EOF
	}
	v.capture.Set(gocv.VideoCapturePosFrames, 0)
	v.forget()
	return nil
}

// Read waits for the next picture. IsOpened stays true after reads fail: only the read itself tells.
func (v *video) Read(f *frame.Frame) error {
	f.Source = v.source
	if v.shape == (shape{}) {
		return v.first(f)
	}
	if err := f.Shape(v.shape.width, v.shape.height, v.shape.channels); err != nil {
		return err
	}
	h, err := v.head(f)
	if err != nil {
		return err
	}
	if !v.capture.Read(&h.mat) {
		if err = v.last(); err != nil {
			return err
		}
		return v.first(f)
	}
	pix, err := h.mat.DataPtrUint8()
	if err == nil && len(pix) == len(f.Pix) && &pix[0] == &f.Pix[0] && shapeOf(&h.mat) == v.shape {
		return nil // written in place
	}
	err = v.adopt(f, &h.mat)
	v.forget() // the header has memory of its own now
	return err
}

// first reads a picture of any size and learns its shape.
func (v *video) first(f *frame.Frame) error {
	if !v.capture.Read(&v.probe) {
		if err := v.last(); err != nil {
			return err
		}
		return stopped()
	}
	return v.adopt(f, &v.probe)
}

// adopt copies a picture that OpenCV holds, and expects more of its shape.
func (v *video) adopt(f *frame.Frame, m *gocv.Mat) error {
	s := shapeOf(m)
	pix, err := m.DataPtrUint8()
	switch {
	case err != nil:
		return fmt.Errorf("read a picture's memory: %w", err)
	case m.Type() != gocv.MatTypeCV8UC1 && m.Type() != gocv.MatTypeCV8UC3 ||
		len(pix) != s.width*s.height*s.channels:
		return fmt.Errorf("the camera gives pictures of type %v; only 8-bit gray and BGR can be used "+
			"(in a gst "+
			"pipeline: videoconvert ! video/x-raw,format=BGR ! appsink)", m.Type())
	case s.width > maxSide || s.height > maxSide:
		return fmt.Errorf("the camera gives %dx%d pixels; at most %d a side are used", s.width, s.height,
			maxSide)
	}
	if err := f.Shape(s.width, s.height, s.channels); err != nil {
		return err
	}
	copy(f.Pix, pix)
	v.shape = s
	return nil
}

// head returns the header over f's memory.
func (v *video) head(f *frame.Frame) (*head, error) {
	key := &f.Pix[0]
	h := v.heads[key]
	if h != nil && h.shape == v.shape {
		return h, nil
	}
	if h != nil {
		_ = h.mat.Close()
		delete(v.heads, key)
	}
	t := gocv.MatTypeCV8UC1
	if v.shape.channels == 3 {
		t = gocv.MatTypeCV8UC3
	}
	m, err := gocv.NewMatFromBytes(v.shape.height, v.shape.width, t, f.Pix)
	if err != nil {
		return nil, fmt.Errorf("lay a Mat over the frame: %w", err)
	}
	h = &head{mat: m, shape: v.shape}
	v.heads[key] = h
	return h, nil
}

// forget closes all headers; they are made again as frames come by.
func (v *video) forget() {
	for key, h := range v.heads {
		_ = h.mat.Close()
		delete(v.heads, key)
	}
}

// Close gives everything back. It may hang, as a read may.
func (v *video) Close() error {
	v.forget()
	_ = v.probe.Close()
	if err := v.capture.Close(); err != nil {
		return fmt.Errorf("close the capture: %w", err)
	}
	return nil
}

func shapeOf(m *gocv.Mat) shape {
	return shape{width: m.Cols(), height: m.Rows(), channels: m.Channels()}
}
