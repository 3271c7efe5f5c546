package camera

import (
	"bytes"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// now is the bubble's clock.
func now() int64 { return time.Now().UnixNano() }

// line is a camera's field of view: which part stands in it at a time.
type line struct{ part chan byte }

// sensor shows what stood there when its exposure began, under way before it arrives.
func (l *line) sensor(period, underWay time.Duration) opener {
	var pipe []byte
	return opens(func(n int, f *frame.Frame) error {
		pass(period)
		part := <-l.part
		l.part <- part
		pipe = append(pipe, part)
		shown := pipe[max(0, len(pipe)-1-int(underWay/period))]
		if err := picture(n, f); err != nil {
			return err
		}
		f.Pix[0] = shown
		return nil
	})
}

func (l *line) place(part byte) {
	<-l.part
	l.part <- part
}

func newLine() *line {
	l := &line{part: make(chan byte, 1)}
	l.part <- 0
	return l
}

func TestNoTriggeredPartGetsAFrameFromBeforeItsTrigger(t *testing.T) {
	const period = 33 * time.Millisecond
	for _, tt := range []struct {
		name     string
		latency  latency
		underWay time.Duration
	}{
		{"declared", latency{declared: 3 * period}, 3 * period},
		{"declared, of less than a period", latency{declared: period / 2}, 0},
		{"assumed: two frames are under way", latency{assumed: true}, 2 * period},
		{"assumed of a network camera", latency{assumed: true, least: time.Second}, 29 * period},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLine()
				s := liveSpec
				s.latency = tt.latency
				c := start(t.Context(), s, Options{now: now}, l.sensor(period, tt.underWay))
				for part := byte(1); part <= 40; part++ {
					// at any phase of the camera's clock
					pass(10*period + time.Duration(part)*time.Millisecond + 500*time.Microsecond)
					synctest.Wait()
					before := c.Counts()
					l.place(part)
					trigger := now()
					f, err := c.Next(t.Context(), trigger, now()+int64(2*time.Second))
					require.NoError(t, err)
					require.Equal(t, part, f.Pix[0], "shows the part, and not the one before")
					require.GreaterOrEqual(t, f.ExposedNs, trigger, "as the station judges it")
					f.Release()
					n := c.Counts()
					require.Greater(t, n.Displaced, before.Displaced, "the frames passed over are counted")
					require.Equal(t, n.Captured, n.Taken+n.Displaced+n.Waiting)
				}
				require.NoError(t, c.Close())
			})
		})
	}
}

func TestTimeStampsAreThoseOfTheExposureWhenTheLatencyIsDeclared(t *testing.T) {
	for _, tt := range []struct {
		latency latency
		want    time.Duration // of the second frame, which arrives after two periods of 10 ms
	}{
		{latency{declared: 4 * time.Millisecond}, 16 * time.Millisecond},
		{latency{}, 20 * time.Millisecond},
		{latency{assumed: true, least: time.Second}, 20 * time.Millisecond},
	} {
		t.Run(tt.latency.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := liveSpec
				s.latency = tt.latency
				began := now()
				c := start(t.Context(), s, Options{now: now}, opens(every(10*time.Millisecond)))
				for n := range 2 { // parts without a trigger get each frame, whatever its latency
					f, err := c.Next(t.Context(), 0, 0)
					require.NoError(t, err)
					require.EqualValues(t, n+1, f.Seq)
					if n == 1 {
						require.InDelta(t, tt.want, f.ExposedNs-began, float64(time.Millisecond))
					}
					f.Release()
				}
				require.NoError(t, c.Close())
			})
		})
	}
}

// A camera that exposes on demand is silent until its trigger, and its one frame is the part's.
func TestACameraThatExposesOnDemandLosesNoFrame(t *testing.T) {
	s, err := parse("gst:aravissrc trigger=Line1 ! appsink drop=1 max-buffers=1")
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		exposures := make(chan struct{})
		c := start(t.Context(), s, Options{ReadTimeout: time.Minute, now: now}, opens(func(n int,
			f *frame.Frame,
		) error {
			<-exposures
			pass(5 * time.Millisecond)
			return picture(n, f)
		}))
		for part := 1; part <= 5; part++ {
			pass(time.Duration(part) * 100 * time.Millisecond)
			trigger := now()
			exposures <- struct{}{}
			f, err := c.Next(t.Context(), trigger, now()+int64(20*time.Millisecond))
			require.NoError(t, err)
			require.EqualValues(t, part, f.Pix[0])
			f.Release()
		}
		require.Zero(t, c.Counts().Displaced)
		close(exposures)
		require.NoError(t, c.Close())
	})
}

func TestAPartThatOnlyOldFramesCameForIsToldWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		s := liveSpec
		s.latency = latency{assumed: true}
		c := start(t.Context(), s, Options{now: now, Log: slog.New(slog.NewTextHandler(&logged, nil))},
			opens(every(33*time.Millisecond)))
		pass(time.Second)
		_, err := c.Next(t.Context(), now(), now()+int64(40*time.Millisecond))
		require.ErrorIs(t, err, ErrDeadline)
		require.ErrorContains(t, err, "the camera's latency is not declared and taken for 2 frame periods")
		require.NoError(t, c.Close())
		require.Contains(t, logged.String(), "part without a frame")
	})
}

func TestWhatIsAssumedOfAFreeRunningCamera(t *testing.T) {
	const ms = int64(time.Millisecond)
	l := flight{latency: latency{assumed: true}}
	surely := func(at int64) int64 {
		exposed, surely := l.times(at * ms)
		require.Equal(t, at*ms, exposed)
		return surely / ms
	}
	require.Zero(t, surely(1000), "its rate is not known yet")
	require.EqualValues(t, 980, surely(1020))
	require.EqualValues(t, 1000, surely(1040))
	require.EqualValues(t, 1240-2*200, surely(1240), "an interruption")
	require.EqualValues(t, 1241-2*175, surely(1241), "the queue after it is not taken for a higher rate")
	for at := int64(1260); at < 3000; at += 20 {
		surely(at)
	}
	require.EqualValues(t, 2960, surely(3000))
}
