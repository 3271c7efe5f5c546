//go:build cgo && customenv

package worker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// A live camera that repeats its picture: no part after it gets a verdict from the old one.
func TestAPartWhoseCameraIsFrozenIsToldThatItsFrameIsStale(t *testing.T) {
	station := simStation(t)
	station.Camera = "gst:videotestsrc is-live=true pattern=smpte75 ! video/x-raw,width=320,height=240," +
		"framerate=50/1 ! videoconvert ! appsink drop=1 max-buffers=1"
	station.OpenTimeoutNs = time.Minute.Nanoseconds()
	s := start(t, scripted(twoDetections), station)
	s.ready()
	const fresh = 2 // pictures, before the third one is the same again
	stale := 0
	for job := uint64(0); stale < 3; job++ {
		s.inspect(job, time.Minute)
		got := s.answered()
		require.Equal(t, job, got.GetJob())
		if got.GetFault() == wire.Fault_FAULT_NONE {
			require.Zero(t, stale, "it stays stale")
			require.Less(t, job, uint64(fresh))
			continue
		}
		require.Equal(t, wire.Fault_FAULT_STALE, got.GetFault(), got.GetFaultText())
		require.Contains(t, got.GetFaultText(), "the camera repeats the same picture")
		stale++
	}
}
