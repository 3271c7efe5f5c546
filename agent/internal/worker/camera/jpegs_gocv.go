//go:build cgo && customenv

package camera

import (
	"errors"
	"fmt"
	"image"

	"gocv.io/x/gocv"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

// jpegs reads a device that sends JPEG. OpenCV only hands the bytes over: decoding them itself, it would
// ignore that they are damaged, and leave the picture before, or a part of it, in place.
type jpegs struct {
	capture *gocv.VideoCapture
	bytes   gocv.Mat
	packed  *packed
	queue   int // pictures that may lie in the driver and are passed over
	at      int64
}

func newJPEGs(c *gocv.VideoCapture, s spec) (source, error) {
	c.Set(gocv.VideoCaptureConvertRGB, 0)
	if c.Get(gocv.VideoCaptureConvertRGB) != 0 {
		closeCapture(c)
		return nil, errors.New("OpenCV does not give out the camera's JPEGs undecoded; " +
			"choose another format of the camera, such as fourcc=YUYV")
	}
	l := s.limits
	l.size = image.Pt(int(c.Get(gocv.VideoCaptureFrameWidth)), int(c.Get(gocv.VideoCaptureFrameHeight)))
	j := &jpegs{capture: c, bytes: gocv.NewMat(), packed: newPacked(l)}
	if s.latency != (latency{}) { // else each picture may be a part's only one
		j.queue = int(c.Get(gocv.VideoCaptureBufferSize))
	}
	return j, nil
}

// Read waits for the next picture and decodes it.
func (j *jpegs) Read(f *frame.Frame) error {
	var ok bool
	if j.at, ok = newest(j.fetch, monotime.Now, j.queue); !ok {
		return stopped()
	}
	f.Source = ""
	data, err := undecoded(&j.bytes)
	if err != nil {
		return err
	}
	return j.packed.decode(f, data)
}

func (j *jpegs) fetch() bool {
	ok := j.capture.Read(&j.bytes)
	if ok {
		j.packed.follows(j.bytes.Total())
	}
	return ok
}

// arrivedNs is when the bytes were there: decoding takes longer than their transfer.
func (j *jpegs) arrivedNs() int64 { return j.at }

// undecoded returns the bytes of a picture, which OpenCV lays into one line.
func undecoded(m *gocv.Mat) ([]byte, error) {
	if m.Rows() != 1 || m.Type() != gocv.MatTypeCV8UC1 {
		return nil, fmt.Errorf("%w: OpenCV gave %dx%d of type %v instead of a JPEG's bytes", ErrBadFrame,
			m.Cols(), m.Rows(), m.Type())
	}
	data, err := m.DataPtrUint8()
	if err != nil {
		return nil, fmt.Errorf("read a picture's memory: %w", err)
	}
	return data, nil
}

// Close gives everything back. It may hang, as a read may.
func (j *jpegs) Close() error {
	_ = j.bytes.Close()
	if err := j.capture.Close(); err != nil {
		return fmt.Errorf("close the capture: %w", err)
	}
	return nil
}
