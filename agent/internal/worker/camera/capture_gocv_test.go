//go:build cgo && customenv

package camera

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocv.io/x/gocv"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

// video of n pictures, each of one grey level that grows by ten.
func writeVideo(t *testing.T, name, codec string, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	w, err := gocv.VideoWriterFile(path, codec, 25, 320, 240, true)
	require.NoError(t, err)
	m := gocv.NewMatWithSize(240, 320, gocv.MatTypeCV8UC3)
	defer func() { require.NoError(t, m.Close()) }()
	for i := range n {
		m.SetTo(gocv.NewScalar(float64(10*i), float64(10*i), float64(10*i), 0))
		require.NoError(t, w.Write(m))
	}
	require.NoError(t, w.Close())
	return path
}

func TestVideoFileIsReadPictureByPictureToItsEnd(t *testing.T) {
	for _, tt := range []struct{ name, codec string }{{"a.avi", "MJPG"}, {"a.mp4", "mp4v"}} {
		t.Run(tt.name, func(t *testing.T) {
			path := writeVideo(t, tt.name, tt.codec, 12)
			names, errs := play(t, "file:"+path, 100)
			require.Empty(t, errs)
			require.Len(t, names, 12)
			require.Equal(t, tt.name, names[0])
		})
	}
}

func TestVideoIsWrittenIntoTheFramesOwnMemory(t *testing.T) {
	src, err := openVideo(parsed(t, "file:"+writeVideo(t, "a.avi", "MJPG", 12)+"?loop=true"))
	require.NoError(t, err)
	defer func() { require.NoError(t, src.Close()) }()
	pool := frame.NewPool(3)
	defer pool.Close()
	frames := []*frame.Frame{pool.Get(), pool.Get(), pool.Get()}
	for i := range 30 { // twice round the file
		f := frames[i%3]
		require.NoError(t, src.Read(f))
		require.Equal(t, []int{320, 240, 3}, []int{f.Width, f.Height, f.Channels})
		require.InDelta(t, 10*(i%12), f.Pix[1000], 4, "picture %d", i)
	}
	v, _ := src.(*video)
	require.Len(t, v.heads, 3)
	for _, f := range frames {
		f.Release()
	}
}

func TestFileThatIsNeitherImageNorVideoSaysSo(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "board.mp4", []byte(strings.Repeat("neither ", 100)))
	_, err := openFile(parsed(t, "file:"+dir+"/board.mp4"))
	require.ErrorContains(t, err, "neither an image (JPEG, PNG, BMP, TIFF) nor a video")
}

func TestAbsentDeviceSaysWhatToDo(t *testing.T) {
	c, err := Start(t.Context(), "v4l2:/dev/video99", Options{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.State().Phase == Failed }, 5*time.Second, 5*time.Millisecond)
	_, err = c.Next(t.Context(), 0, in(time.Second))
	require.ErrorIs(t, err, ErrNoFrame)
	require.ErrorContains(t, err, "there is no device /dev/video99: plug the camera in")
	require.NoError(t, c.Close())
}

func TestPipelineBringsPicturesByItsOwnClock(t *testing.T) {
	c, err := Start(t.Context(), "gst:videotestsrc is-live=true pattern=snow ! "+
		"video/x-raw,width=320,height=240,"+
		"framerate=50/1 ! videoconvert ! appsink drop=1 max-buffers=1", Options{ReadTimeout: 5 * time.Second})
	require.NoError(t, err)
	for range 10 {
		trigger := monotime.Now()
		f, err := c.Next(t.Context(), trigger, in(20*time.Second))
		require.NoError(t, err, "does this machine have gstreamer1.0-plugins-base?")
		require.Equal(t, []int{320, 240, 3}, []int{f.Width, f.Height, f.Channels})
		require.Greater(t, f.ExposedNs, trigger)
		f.Release()
	}
	require.True(t, c.State().Paced)
	require.NoError(t, c.Close())
	require.Zero(t, c.Counts().BadFrames)
}

func TestGrayPipelineStaysOneChannel(t *testing.T) {
	c, err := Start(t.Context(), "gst:videotestsrc is-live=true pattern=snow ! "+
		"video/x-raw,format=GRAY8,width=320,"+
		"height=240 ! appsink drop=1 max-buffers=1", Options{ReadTimeout: 5 * time.Second})
	require.NoError(t, err)
	f, err := c.Next(t.Context(), 0, in(20*time.Second))
	require.NoError(t, err)
	require.Equal(t, 1, f.Channels)
	f.Release()
	require.NoError(t, c.Close())
}

func TestFault14PipelineThatRepeatsItselfIsStale(t *testing.T) {
	c, err := Start(t.Context(), "gst:videotestsrc is-live=true pattern=smpte75 ! "+
		"video/x-raw,width=320,height=240,"+
		"framerate=50/1 ! videoconvert ! appsink drop=1 max-buffers=1", Options{ReadTimeout: 5 * time.Second})
	require.NoError(t, err)
	require.ErrorIs(t, firstError(t, c), ErrStale)
	require.LessOrEqual(t, c.Counts().Captured, uint64(2))
	require.True(t, c.State().Stale)
	require.NoError(t, c.Close())
}

// firstError takes frames until something is wrong.
func firstError(t *testing.T, c *Camera) error {
	t.Helper()
	for {
		f, err := c.Next(t.Context(), 0, in(20*time.Second))
		if err != nil {
			return err
		}
		f.Release()
	}
}

func TestPipelineThatDoesNotStartSaysWhatToTry(t *testing.T) {
	_, err := openPipeline(parsed(t, "gst:nosuchelement ! appsink"))
	require.ErrorContains(t, err, "try it with gst-launch-1.0")
}

func TestPipelineThatEndsIsOpenedAgain(t *testing.T) {
	c, err := Start(t.Context(), "gst:videotestsrc num-buffers=5 pattern=snow ! "+
		"video/x-raw,width=64,height=64 ! "+
		"videoconvert ! appsink", Options{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.Counts().Reconnects >= 2 }, 20*time.Second,
		10*time.Millisecond)
	require.NoError(t, c.Close())
}

func TestNetworkCameraDeliversItsPictures(t *testing.T) {
	server := newRTSPCamera(t)
	c, err := Start(t.Context(), server.uri(), Options{})
	require.NoError(t, err)
	for range 5 {
		f, err := c.Next(t.Context(), 0, in(20*time.Second))
		require.NoError(t, err)
		require.Equal(t, []int{rtspWidth, rtspHeight, 3}, []int{f.Width, f.Height, f.Channels})
		f.Release()
	}
	require.NoError(t, c.Close())
}

func TestFault13NetworkCameraThatFallsSilentIsReplaced(t *testing.T) {
	server := newRTSPCamera(t)
	c, err := Start(t.Context(), server.uri()+"?latency=20ms",
		Options{ReadTimeout: time.Second, OpenTimeout: time.Second})
	require.NoError(t, err)
	f, err := c.Next(t.Context(), 0, in(20*time.Second))
	require.NoError(t, err)
	f.Release()

	server.silent.Store(true)
	silent := time.Now()
	require.Eventually(t, func() bool { return c.State().Phase == Failed }, 5*time.Second, 5*time.Millisecond)
	require.Less(t, time.Since(silent), 2*time.Second)
	require.NotContains(t, c.State().Reason, "secret")

	server.silent.Store(false)
	back := time.Now()
	trigger := monotime.Now()
	f, err = c.Next(t.Context(), trigger, 0)
	require.NoError(t, err)
	f.Release()
	t.Logf("back after %v", time.Since(back))
	require.Less(t, time.Since(back), 3*time.Second) // an open that began before takes its second out first
	require.EqualValues(t, 1, c.Counts().Reconnects)
	require.NoError(t, c.Close())
}

func TestFault14NetworkCameraThatFreezesIsStale(t *testing.T) {
	server := newRTSPCamera(t)
	server.frozen.Store(true)
	c, err := Start(t.Context(), server.uri(), Options{})
	require.NoError(t, err)
	require.ErrorIs(t, firstError(t, c), ErrStale)
	require.LessOrEqual(t, c.Counts().Captured, uint64(2))
	server.frozen.Store(false)
	f, err := c.Next(t.Context(), 0, in(20*time.Second))
	for errors.Is(err, ErrStale) {
		f, err = c.Next(t.Context(), 0, in(20*time.Second))
	}
	require.NoError(t, err)
	f.Release()
	require.False(t, c.State().Stale)
	require.NoError(t, c.Close())
}

// A server that accepts and never answers: OpenCV waits 30 s for it, unless told otherwise.
func TestFault13FrozenServerIsGivenUpWithinItsTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var accepted atomic.Int32
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, refused := l.Accept()
			if refused != nil {
				return
			}
			conns = append(conns, conn)
			accepted.Add(1)
		}
	}()
	o := Options{OpenTimeout: time.Second, ReadTimeout: time.Second}
	c, err := Start(t.Context(), "rtsp://user:secret@"+l.Addr().String()+"/", o)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return accepted.Load() == 1 }, 10*time.Second, time.Millisecond)
	first := time.Now()
	require.Eventually(t, func() bool { return accepted.Load() == 2 }, 10*time.Second, time.Millisecond)
	require.Less(t, time.Since(first), o.ReadTimeout+time.Second, "the next capture")
	_, err = c.Next(t.Context(), 0, in(time.Second))
	require.ErrorIs(t, err, ErrNoFrame)
	require.NotContains(t, err.Error(), "secret")
	require.NoError(t, c.Close())
	require.NoError(t, l.Close())
	<-done
	for _, conn := range conns {
		_ = conn.Close()
	}
}

func TestVideoAllocatesNothingInTheSteadyState(t *testing.T) {
	path := writeVideo(t, "a.avi", "MJPG", 400)
	c, err := Start(t.Context(), "file:"+path, Options{})
	require.NoError(t, err)
	take := func() {
		f, err := c.Next(t.Context(), 0, in(20*time.Second))
		if err != nil {
			t.Error(err)
			return
		}
		f.Release()
	}
	for range 20 {
		take()
	}
	require.Zero(t, testing.AllocsPerRun(200, take))
	require.NoError(t, c.Close())
}

func TestOnlyOneLineOfBytesIsTakenForAJPEG(t *testing.T) {
	want := asJPEG(t, speckled(sent, 1))
	line, err := gocv.NewMatFromBytes(1, len(want), gocv.MatTypeCV8UC1, want)
	require.NoError(t, err)
	got, err := undecoded(&line)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NoError(t, line.Close())

	picture := gocv.NewMatWithSize(48, 64, gocv.MatTypeCV8UC3)
	_, err = undecoded(&picture)
	require.ErrorIs(t, err, ErrBadFrame)
	require.NoError(t, picture.Close())
}
