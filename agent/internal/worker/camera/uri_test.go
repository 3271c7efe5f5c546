package camera

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/inspector"
)

func TestURIs(t *testing.T) {
	for _, tt := range []struct {
		uri, target, shown string
		kind               kind
		rate               float64
		paced              bool
	}{
		{
			uri: "v4l2:/dev/video3?width=1920&height=1080&fps=30&fourcc=MJPG", target: "/dev/video3",
			kind: kindV4L2, paced: true,
		},
		{uri: "v4l2:2", target: "/dev/video2", kind: kindV4L2, paced: true},
		{
			uri: "gst:rtspsrc location=rtsp://10.0.0.1 user-pw=secret ! decodebin ! appsink drop=1 " +
				"max-buffers=1",
			target: "rtspsrc location=rtsp://10.0.0.1 user-pw=secret ! decodebin ! appsink drop=1 " +
				"max-buffers=1",
			shown: "gst:rtspsrc", kind: kindGst, paced: true,
		},
		{
			uri:    "rtsp://admin:secret@10.0.0.1:554/s1?channel=1",
			target: "rtsp://admin:secret@10.0.0.1:554/s1?channel=1",
			shown:  "rtsp://admin:xxxxx@10.0.0.1:554/s1?channel=1", kind: kindRTSP, paced: true,
		},
		{uri: "file:/data/board.png", target: "/data/board.png", kind: kindFile},
		{uri: "file:///data/board.png", target: "/data/board.png", kind: kindFile},
		{
			uri: "file:line.mp4?rate=12.5&loop=true", target: "line.mp4", kind: kindFile, rate: 12.5,
			paced: true,
		},
		{uri: "dir:/data/boards?glob=*_test.jpg&loop=true", target: "/data/boards", kind: kindDir},
		{
			uri: "dir:/data/boards?rate=5&max_mpx=20", target: "/data/boards", kind: kindDir, rate: 5,
			paced: true,
		},
		{uri: "dir:/data/boards?rate=0", target: "/data/boards", kind: kindDir},
		{uri: "dir:?path=%2Fdata%2Fwhat%3F%26100%25", target: "/data/what?&100%", kind: kindDir},
		{uri: "dir:/data/100%25", target: "/data/100%25", kind: kindDir},
		{uri: "file:?path=/data/what%3F.png&loop=true", target: "/data/what?.png", kind: kindFile},
		{uri: "sim:", kind: kindSim},
		{
			uri: "sim:?seed=7&defects=1.5&clean=0.5&rate=5&width=1920&height=1080&prerender=8", kind: kindSim,
			rate: 5, paced: true,
		},
	} {
		t.Run(tt.uri, func(t *testing.T) {
			s, err := parse(tt.uri)
			require.NoError(t, err)
			require.Equal(t, tt.target, s.target)
			require.Equal(t, tt.kind, s.kind)
			require.InDelta(t, tt.rate, s.rate, 0)
			require.Equal(t, tt.paced, s.paced())
			if tt.shown == "" {
				tt.shown = tt.uri
			}
			require.Equal(t, tt.shown, s.shown)
		})
	}
}

func TestURIOptionsReachTheirPlaces(t *testing.T) {
	s, err := parse("dir:/data?glob=*.png&loop=1&max_mpx=2.5")
	require.NoError(t, err)
	require.Equal(t, "*.png", s.glob)
	require.True(t, s.loop)
	require.EqualValues(t, 2_500_000, s.limits.pixels)
	s, err = parse("v4l2:/dev/video0?width=1920&height=1080&fps=29.97&fourcc=YUYV")
	require.NoError(t, err)
	require.Equal(t, []any{1920, 1080, 29.97, "YUYV"}, []any{s.width, s.height, s.fps, s.fourcc})
	s, err = parse("sim:?width=128&height=96&seed=9&prerender=3")
	require.NoError(t, err)
	require.Equal(t, []any{128, 96, uint64(9), 3}, []any{
		s.board.Width, s.board.Height, s.board.Seed,
		s.prerender,
	})
}

func TestLatencyOfACamera(t *testing.T) {
	free := latency{assumed: true}
	network := latency{assumed: true, least: time.Second}
	rtsp := "rtsp://u:p%3F@10.0.0.1/s1"
	for _, tt := range []struct {
		uri, target string
		want        latency
	}{
		{"v4l2:0?fps=30&latency=25ms", "/dev/video0", latency{declared: 25 * time.Millisecond}},
		{"v4l2:0?latency=0", "/dev/video0", latency{}},
		{"v4l2:0?fps=30", "/dev/video0", free},
		{"gst:a ! appsink a=1 ?latency=0.015s", "a ! appsink a=1", latency{declared: 15 * time.Millisecond}},
		{"gst:a ! appsink?latency=0s", "a ! appsink", latency{}},
		{"gst:a uri=http://h/?latency=1s ! appsink", "a uri=http://h/?latency=1s ! appsink", free},
		{"gst:a ! appsink", "a ! appsink", free},
		{"gst:aravissrc trigger=Line1 ! appsink", "aravissrc trigger=Line1 ! appsink", latency{}},
		{"gst:p cam::TriggerMode=On ! appsink", "p cam::TriggerMode=On ! appsink", latency{}},
		{
			`gst:t tcam-properties="tcam,TriggerMode="On"" ! appsink`,
			`t tcam-properties="tcam,TriggerMode="On"" ! appsink`,
			latency{},
		},
		{"gst:p TriggerMode=Off Source=L ! appsink", "p TriggerMode=Off Source=L ! appsink", free},
		{
			"gst:aravissrc trigger=Line1 ! appsink ?latency=3ms", "aravissrc trigger=Line1 ! appsink",
			latency{declared: 3 * time.Millisecond},
		},
		{rtsp, rtsp, network},
		{rtsp + "?channel=1&x=%41", rtsp + "?channel=1&x=%41", network},
		{rtsp + "?latency=300ms", rtsp, latency{declared: 300 * time.Millisecond}},
		{
			rtsp + "?channel=%31&latency=300ms&x=a+b", rtsp + "?channel=%31&x=a+b",
			latency{declared: 300 * time.Millisecond},
		},
		{rtsp + "?%6Catency=200", rtsp + "?%6Catency=200", network},
		{"dir:/data?rate=5", "/data", latency{}},
		{"sim:?rate=5", "", latency{}},
	} {
		s, err := parse(tt.uri)
		require.NoError(t, err, tt.uri)
		require.Equal(t, tt.target, s.target)
		require.Equal(t, tt.want, s.latency, tt.uri)
		require.NotContains(t, s.shown, "latency=3")
	}
}

func TestFoldersOfAnyNameReachTheCamera(t *testing.T) {
	for _, dir := range []string{"/data/boards", "/data/what?", "/a b/100%/x=1&y#z+", "/été/!\"'"} {
		for _, glob := range []string{"", "*_test.jpg", "[a-c]?+&.png"} {
			uri, err := inspector.Folder(dir, glob)
			require.NoError(t, err)
			s, err := parse(uri)
			require.NoError(t, err)
			require.Equal(t, []any{kindDir, dir, glob}, []any{s.kind, s.target, s.glob})
		}
	}
}

func TestURIsThatCanNeverWork(t *testing.T) {
	for uri, want := range map[string]string{
		"":                              `"" is no kind of camera; there are v4l2:`,
		"/dev/video0":                   "is no kind of camera",
		"http://cam/stream":             `"http" is no kind of camera`,
		"usb:0":                         `"usb" is no kind of camera`,
		"v4l2:":                         "needs a device",
		"v4l2:/etc/passwd":              "needs a device",
		"v4l2:/dev/video0?widht=1":      `unknown option "widht"; there are width, height, fps, fourcc`,
		"v4l2:/dev/video0?width=0":      `width is "0"; it must be a whole number from 1 to 16384`,
		"v4l2:/dev/video0?fourcc=MJPEG": "four letters",
		"gst:videotestsrc":              "must end in appsink",
		"gst:videotestsrc ! autovideosink": `must end in appsink (… ! appsink drop=1 max-buffers=1); it ` +
			`ends in "autovideosink"`,
		"v4l2:0?latency=25":                `is "25"; it must be a duration from 0 to 10s, such as 25ms`,
		"v4l2:0?latency=11s":               `latency is "11s"`,
		"gst:a ! appsink ?latency=-1ms":    `latency is "-1ms"`,
		"gst:a ! appsink ?drop=1":          `unknown option "drop"; there are latency`,
		"gst:a ! fakesink ?latency=1ms":    `it ends in "fakesink"`,
		"rtsp://h/a?latency=x":             `latency is "x"`,
		"rtsp://h/a?latency=1s&latency=2s": "latency is given 2 times",
		"dir:/a?rate=1&latency=1ms":        `unknown option "latency"`,
		"gst:":                             "must end in appsink",
		"rtsp://":                          "needs an address",
		"rtsp://a:pa%ss@h/":                "written %XX",
		"file:":                            "needs a path",
		"file:/a.png?glob=x":               `unknown option "glob"`,
		"dir:":                             "needs a folder",
		"dir:/a?path=/b":                   "the path is given twice",
		"dir:/a?glob=[":                    "must be a pattern of names",
		"dir:/a?rate=-1":                   `rate is "-1"; it must be a number from 0 to 1000`,
		"dir:/a?rate=NaN":                  `rate is "NaN"`,
		"dir:/a?rate=1&rate=2":             "rate is given 2 times",
		"dir:/a?loop=maybe":                "it must be true or false",
		"dir:/a?rate=x&loop=maybe&speed=1": `unknown option "speed"`,
		"dir:/a?%zz":                       "write them as key=value",
		"sim:/a":                           "sim has options only",
		"sim:?seeds=1":                     "seeds",
		"sim:?prerender=1000":              "it must be a whole number from 1 to 256",
		"sim:?width=8192&height=8192&prerender=256": "prerender needs",
		"dir:/a\nb":                         "control character",
		"dir:/" + strings.Repeat("a", 5000): "at most 4096 are read",
	} {
		_, err := Start(t.Context(), uri, Options{})
		require.ErrorContains(t, err, want, uri)
	}
}

func TestErrorsOfURIsKeepPasswords(t *testing.T) {
	for _, uri := range []string{
		"rtsp://admin:secret@:port/%zz", "rtsp://admin:secret@\n/", "gst:rtspsrc user-pw=secret",
		"gst:a ! b pw=secret",
	} {
		_, err := parse(uri)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestEveryFaultOfAURIIsReportedAtOnce(t *testing.T) {
	_, err := parse("dir:/a?rate=x&loop=maybe&speed=1&colour=red")
	for _, want := range []string{"rate is", "loop is", `"speed"`, `"colour"`} {
		require.ErrorContains(t, err, want)
	}
}

func FuzzURI(f *testing.F) {
	for _, uri := range []string{
		"v4l2:0?fps=3", "gst:a ! appsink ?latency=3ms", "rtsp://u:p@h/?latency=1s&a=b",
		"file:///a?loop=1", "dir:a?glob=*&rate=1", "sim:?prerender=2",
	} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		s, err := parse(uri)
		if err != nil {
			return
		}
		if s.kind == 0 || s.rate < 0 || s.rate > maxRate || s.limits.pixels < 0 ||
			s.limits.pixels > maxPixels || s.latency.declared < 0 || s.latency.declared > maxLatency {
			t.Errorf("%q is accepted as %+v", uri, s)
		}
	})
}
