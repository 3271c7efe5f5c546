package camera

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// openSource opens what the URI names. It runs on the capture's goroutine and may block for as long as a
// driver does.
func openSource(s spec, o Options) (source, error) {
	s.limits.gray = o.Gray
	switch s.kind {
	case kindV4L2:
		return openDevice(s)
	case kindGst:
		return openPipeline(s)
	case kindRTSP:
		// A little less than the watchdog's patience, so that the driver comes back by itself.
		return openNetwork(s, o.OpenTimeout*9/10, o.ReadTimeout*9/10)
	case kindFile:
		return openFile(s)
	case kindDir:
		return openFolder(s)
	case kindSim:
		return openBoards(s)
	default:
		return nil, fmt.Errorf("camera kind %d is none", s.kind)
	}
}

// Check returns why a URI can never work in this build, or nil. It opens nothing.
func Check(uri string) error {
	_, err := understand(uri)
	return err
}

func understand(uri string) (spec, error) {
	s, err := parse(uri)
	if err == nil {
		err = s.supported()
	}
	return s, err
}

// supported says whether this build can ever open the camera.
func (s *spec) supported() error {
	if s.live() && !hasVideo {
		return fmt.Errorf("camera %s: %w", s.shown, errNoVideo)
	}
	return nil
}

// errNoVideo is for builds without OpenCV.
var errNoVideo = errors.New("this worker was built without OpenCV, which v4l2, gst, rtsp and video " +
	"files need: use a worker built with it (make build)")

func checkDevice(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no device %s: plug the camera in, or see what is there with "+
			"v4l2-ctl --list-devices", path)
	case err != nil:
		return fmt.Errorf("look at the device: %w", err)
	case info.Mode()&os.ModeCharDevice == 0:
		return fmt.Errorf("%s is no camera device", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the device (does the worker's user belong to the group video?): %w", err)
	}
	return f.Close()
}

// milliseconds for OpenCV's integer properties, at least one.
func milliseconds(d time.Duration) int { return max(1, int(d.Milliseconds())) }
