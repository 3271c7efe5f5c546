//go:build cgo && customenv && matprofile

package camera

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocv.io/x/gocv"
)

func TestEveryMatIsClosed(t *testing.T) {
	path := writeVideo(t, "a.avi", "MJPG", 10)
	server := newRTSPCamera(t)
	before := gocv.MatProfile.Count()
	for _, uri := range []string{
		"file:" + path + "?loop=true",
		"gst:videotestsrc pattern=snow ! videoconvert ! appsink", server.uri(),
	} {
		c, err := Start(t.Context(), uri, Options{ReadTimeout: 5 * time.Second})
		require.NoError(t, err)
		for range 25 {
			f, err := c.Next(t.Context(), 0, in(20*time.Second))
			require.NoError(t, err, uri)
			f.Release()
		}
		require.Greater(t, gocv.MatProfile.Count(), before, "the profile counts")
		require.NoError(t, c.Close())
		require.Equal(t, before, gocv.MatProfile.Count(), uri)
	}
	for _, uri := range []string{"gst:nosuch ! appsink", "file:" + path + "x", "v4l2:99"} {
		c, err := Start(t.Context(), uri, Options{})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return c.State().Phase == Failed }, 20*time.Second,
			5*time.Millisecond)
		require.NoError(t, c.Close())
		require.Equal(t, before, gocv.MatProfile.Count(), uri)
	}
}
