package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	cameras "github.com/sightline-edge/sightline/agent/internal/worker/camera"
)

// besideSlots is what a station holds at once besides the frames in its slots: one in the capture loop's
// hand, those kept until settled, those that wait to be drawn or sent as
// they came, and the one being drawn or sent.
func besideSlots(s *station) int {
	return 1 + len(s.kept.entries) + shadowFrames + maxPictures + maxFrames + 1
}

// camera is what a station needs of one.
type camera interface {
	Next(ctx context.Context, notBeforeNs, deadlineNs int64) (*frame.Frame, error)
	Counts() cameras.Counts
	Close() error
}

// startCamera opens the station's camera in the background. An error means that its URI can never work.
func startCamera(ctx context.Context, s *station) (camera, error) {
	c, err := cameras.Start(ctx, s.config.GetCamera(), cameras.Options{
		OpenTimeout: time.Duration(s.config.GetOpenTimeoutNs()),
		ReadTimeout: time.Duration(s.config.GetReadTimeoutNs()),
		Frames:      2*cap(s.rig.free) + besideSlots(s), // while one rig is drained another is filled
		Gray:        s.rig.gray(),
		Log:         s.log,
		OnState:     s.cameraState,
	})
	if err != nil {
		return nil, fmt.Errorf("camera: %w", err)
	}
	return c, nil
}

// cameraState passes the camera's state on. A camera that used up its captures takes the process with it,
// unless other stations are at work there.
func (s *station) cameraState(c cameras.State) {
	if c.Phase == cameras.Closed { // by this worker, at its end
		return
	}
	<-s.opened // nobody hears of a ready camera before the station takes orders
	err := s.change(func(m *wire.StationState) {
		m.Phase, m.Reason = phase(c.Phase), c.Reason
		m.Paced, m.Simulated, m.Stale, m.Reconnects = c.Paced, c.Simulated, c.Stale, c.Reconnects
	})
	if err == nil && c.Phase == cameras.Exhausted && s.alone {
		err = fmt.Errorf("%w: camera of station %s: %s", ErrHung, s.config.GetName(), c.Reason)
	}
	if err != nil {
		s.die(err)
	}
}

func phase(p cameras.Phase) wire.Phase {
	switch p {
	case cameras.Opening:
		return wire.Phase_PHASE_OPENING
	case cameras.Ready, cameras.Ended:
		return wire.Phase_PHASE_READY
	case cameras.Exhausted:
		return wire.Phase_PHASE_EXHAUSTED
	default:
		return wire.Phase_PHASE_FAILED
	}
}

func cameraFault(err error) wire.Fault {
	switch {
	case errors.Is(err, io.EOF):
		return wire.Fault_FAULT_END
	case errors.Is(err, cameras.ErrBadFrame):
		return wire.Fault_FAULT_BAD_FRAME
	case errors.Is(err, cameras.ErrStale):
		return wire.Fault_FAULT_STALE
	default:
		return wire.Fault_FAULT_NO_FRAME
	}
}
