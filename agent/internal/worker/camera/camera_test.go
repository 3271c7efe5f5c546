package camera

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reads is a source made of a function, which is told how many reads this capture has had.
type reads struct {
	n      int
	read   func(n int, f *frame.Frame) error
	closed func()
}

func (r *reads) Read(f *frame.Frame) error {
	r.n++
	return r.read(r.n, f)
}

func (r *reads) Close() error {
	if r.closed != nil {
		r.closed()
	}
	return nil
}

// picture fills f with one value: the camera's n-th.
func picture(n int, f *frame.Frame) error {
	if err := f.Shape(32, 16, 1); err != nil {
		return err
	}
	for i := range f.Pix {
		f.Pix[i] = byte(n)
	}
	return nil
}

// every is a live camera: a picture each period, in the bubble's time.
func every(period time.Duration) func(int, *frame.Frame) error {
	return func(n int, f *frame.Frame) error {
		pass(period)
		return picture(n, f)
	}
}

func opens(read func(int, *frame.Frame) error) opener {
	return func() (source, error) { return &reads{read: read}, nil }
}

var (
	steppedSpec = spec{kind: kindDir, shown: "dir:test"}
	liveSpec    = spec{kind: kindV4L2, shown: "v4l2:test"}
)

// states remembers what OnState was told.
type states struct {
	mu  sync.Mutex
	all []State
}

func (s *states) add(st State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, st)
}

func (s *states) phases() (p []Phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.all {
		p = append(p, st.Phase)
	}
	return p
}

// pass lets time go by on the bubble's clock.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // takes no time in a bubble
}

func in(d time.Duration) int64 { return monotime.Now() + int64(d) }

func TestSteppedTakesEachPictureOnceAndThenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen states
		c := start(t.Context(), steppedSpec, Options{OnState: seen.add}, opens(func(n int,
			f *frame.Frame,
		) error {
			if n > 5 {
				return io.EOF
			}
			return picture(n, f)
		}))
		for n := 1; n <= 5; n++ {
			f, err := c.Next(t.Context(), in(time.Hour), 0) // notBefore means nothing to a folder
			require.NoError(t, err)
			require.EqualValues(t, n, f.Pix[0])
			require.EqualValues(t, n, f.Seq)
			require.False(t, f.Simulated)
			f.Release()
		}
		for range 2 {
			_, err := c.Next(t.Context(), 0, in(time.Second))
			require.ErrorIs(t, err, io.EOF)
		}
		require.Equal(t, Counts{Captured: 5, Taken: 5}, c.Counts())
		require.NoError(t, c.Close())
		require.Equal(t, []Phase{Ready, Ended, Closed}, seen.phases())
		_, err := c.Next(t.Context(), 0, in(time.Second))
		require.ErrorIs(t, err, ErrNoFrame)
	})
}

func TestSteppedReadsNothingUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		c := start(t.Context(), steppedSpec, Options{}, opens(func(_ int, f *frame.Frame) error {
			return picture(int(n.Add(1)), f)
		}))
		pass(time.Minute)
		require.Zero(t, n.Load())
		require.NoError(t, c.Close())
	})
}

func TestSteppedFrameThatCameTooLateIsNotTheNextPartsFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t.Context(), steppedSpec, Options{ReadTimeout: time.Second},
			opens(every(100*time.Millisecond)))
		for range 3 {
			_, err := c.Next(t.Context(), 0, in(10*time.Millisecond))
			require.ErrorIs(t, err, ErrDeadline)
		}
		_, err := c.Next(t.Context(), 0, monotime.Now()-1)
		require.ErrorIs(t, err, ErrDeadline, "over before it began, but a part with a picture all the same")
		pass(time.Second)
		synctest.Wait()
		require.Equal(t, Counts{Captured: 4, Displaced: 4}, c.Counts(), "discarded unasked")
		for part := 5; part <= 8; part++ {
			f, err := c.Next(t.Context(), 0, in(time.Second))
			require.NoError(t, err)
			require.EqualValues(t, part, f.Pix[0], "the n-th call has the n-th picture")
			f.Release()
		}
		pass(time.Second)
		synctest.Wait()
		require.Equal(t, Counts{Captured: 8, Taken: 4, Displaced: 4}, c.Counts(), "none is read ahead")
		require.NoError(t, c.Close())
	})
}

func TestSteppedPairsPartsAndPicturesWhateverIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		times := make([]time.Duration, 501)
		for n := range times {
			times[n] = waits(random, 30)
		}
		c := start(t.Context(), steppedSpec, Options{}, opens(func(n int, f *frame.Frame) error {
			pass(times[n])
			if n%10 == 0 {
				return ErrBadFrame
			}
			return numbered(uint64(n), f)
		}))
		var taken, missed, bad uint64
		for part := 1; part <= 500; part++ {
			f, err := c.Next(t.Context(), 0, in(20*time.Millisecond))
			switch {
			case errors.Is(err, ErrDeadline):
				missed++
			case errors.Is(err, ErrBadFrame):
				require.Zero(t, part%10)
				bad++
			default:
				require.NoError(t, err)
				require.EqualValues(t, part, numberOf(t, f))
				taken++
				f.Release()
			}
		}
		require.NotZero(t, taken)
		require.NotZero(t, missed)
		require.NotZero(t, bad)
		pass(time.Minute)
		synctest.Wait()
		n := c.Counts()
		require.EqualValues(t, 450, n.Captured)
		require.EqualValues(t, 50, n.BadFrames)
		require.Equal(t, taken, n.Taken)
		require.Equal(t, n.Captured, n.Taken+n.Displaced)
		require.NoError(t, c.Close())
	})
}

func TestSteppedWithoutADeadlineLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t.Context(), steppedSpec, Options{ReadTimeout: time.Minute}, opens(every(10*time.Second)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := c.Next(ctx, 0, 0)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for n := 1; n <= 3; n++ {
			f, err := c.Next(t.Context(), 0, 0)
			require.NoError(t, err)
			require.EqualValues(t, n, f.Pix[0], "none is skipped")
			f.Release()
		}
		require.Zero(t, c.Counts().Displaced)
		require.NoError(t, c.Close())
	})
}

func TestPacedNewestWinsAndEveryFrameIsAccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t.Context(), liveSpec, Options{}, opens(every(10*time.Millisecond)))
		pass(105 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, Counts{Captured: 10, Displaced: 9, Waiting: 1}, c.Counts())
		f, err := c.Next(t.Context(), 0, 0)
		require.NoError(t, err)
		require.EqualValues(t, 10, f.Pix[0])
		require.NotZero(t, f.ExposedNs)
		f.Release()
		require.Equal(t, Counts{Captured: 10, Taken: 1, Displaced: 9}, c.Counts())
		require.NoError(t, c.Close())
		n := c.Counts()
		require.Equal(t, n.Captured, n.Taken+n.Displaced+n.Waiting)
	})
}

func TestFrameExposedBeforeTheTriggerIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t.Context(), liveSpec, Options{}, opens(every(10*time.Millisecond)))
		pass(15 * time.Millisecond)
		synctest.Wait()
		trigger := monotime.Now()
		f, err := c.Next(t.Context(), trigger, in(time.Second))
		require.NoError(t, err)
		require.GreaterOrEqual(t, f.ExposedNs, trigger)
		require.EqualValues(t, 2, f.Pix[0])
		f.Release()
		require.Equal(t, Counts{Captured: 2, Taken: 1, Displaced: 1}, c.Counts())
		require.NoError(t, c.Close())
	})
}

func TestWorkingCameraWithoutFrameInTimeMissesTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t.Context(), liveSpec, Options{ReadTimeout: 10 * time.Second}, opens(every(time.Second)))
		f, err := c.Next(t.Context(), 0, 0)
		require.NoError(t, err)
		f.Release()
		before := time.Now()
		_, err = c.Next(t.Context(), 0, in(40*time.Millisecond))
		require.ErrorIs(t, err, ErrDeadline)
		require.InDelta(t, 40, time.Since(before).Milliseconds(), 5)
		_, err = c.Next(t.Context(), 0, monotime.Now()-1)
		require.ErrorIs(t, err, ErrDeadline, "a deadline that has passed")
		require.NoError(t, c.Close())
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t.Context(), liveSpec, Options{ReadTimeout: time.Minute}, opens(every(10*time.Second)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Next(ctx, 0, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, c.Close())
	})
}

func TestAbsentCameraSaysWhyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t.Context(), liveSpec, Options{}, func() (source, error) {
			return nil, errors.New("there is no device /dev/video0")
		})
		synctest.Wait()
		before := time.Now()
		_, err := c.Next(t.Context(), 0, in(time.Second))
		require.ErrorIs(t, err, ErrNoFrame)
		require.ErrorContains(t, err, "there is no device /dev/video0")
		require.Less(t, time.Since(before), 10*time.Millisecond)
		require.Equal(t, Failed, c.State().Phase)
		require.NoError(t, c.Close())
	})
}

func TestCameraThatStillOpensSaysSoAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t.Context(), liveSpec, Options{}, func() (source, error) {
			pass(2 * time.Second)
			return &reads{read: every(time.Millisecond)}, nil
		})
		_, err := c.Next(t.Context(), 0, in(50*time.Millisecond))
		require.ErrorIs(t, err, ErrNoFrame)
		require.ErrorContains(t, err, "being opened")
		f, err := c.Next(t.Context(), 0, 0) // without a deadline it waits
		require.NoError(t, err)
		f.Release()
		require.NoError(t, c.Close())
	})
}

// Fault 13, first half.
func TestFault13UnpluggedCameraIsBackWithinTwoSecondsOfItsReturn(t *testing.T) {
	for away := time.Second; away <= 20*time.Second; away += 1900 * time.Millisecond {
		t.Run(away.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var plugged atomic.Bool
				plugged.Store(true)
				c := start(t.Context(), liveSpec, Options{}, func() (source, error) {
					pass(200 * time.Millisecond) // what an open takes
					if !plugged.Load() {
						return nil, errors.New("no such device")
					}
					return &reads{read: func(n int, f *frame.Frame) error {
						if !plugged.Load() {
							return errors.New("unplugged")
						}
						return every(10*time.Millisecond)(n, f)
					}}, nil
				})
				f, err := c.Next(t.Context(), 0, 0)
				require.NoError(t, err)
				f.Release()
				plugged.Store(false)
				pass(away)
				synctest.Wait()
				require.Equal(t, Failed, c.State().Phase)
				plugged.Store(true)
				returned := time.Now()
				for trigger := monotime.Now(); ; {
					f, err = c.Next(t.Context(), trigger, 0)
					require.NoError(t, err)
					f.Release()
					break
				}
				require.Less(t, time.Since(returned), 2*time.Second)
				require.EqualValues(t, 1, c.Counts().Reconnects)
				require.EqualValues(t, 1, c.State().Reconnects)
				require.NoError(t, c.Close())
			})
		})
	}
}

// Fault 13, second half.
func TestFault13HungReadIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var opened, closed atomic.Int32
		c := start(t.Context(), liveSpec, Options{ReadTimeout: time.Second}, func() (source, error) {
			hangs := opened.Add(1) == 1
			return &reads{
				read: func(n int, f *frame.Frame) error {
					if hangs && n == 3 {
						<-release
						return picture(99, f)
					}
					return every(10*time.Millisecond)(n, f)
				},
				closed: func() { closed.Add(1) },
			}, nil
		})
		pass(25 * time.Millisecond)
		hung := time.Now()
		trigger := monotime.Now()
		f, err := c.Next(t.Context(), trigger, in(time.Minute))
		require.ErrorIs(t, err, ErrNoFrame)
		require.ErrorContains(t, err, "did not answer within 1s")
		require.Nil(t, f)
		f, err = c.Next(t.Context(), trigger, 0)
		require.NoError(t, err)
		f.Release()
		require.Less(t, time.Since(hung), 2*time.Second)
		require.EqualValues(t, 1, c.Counts().HungCaptures)

		require.Zero(t, closed.Load())
		close(release) // the driver comes back, long after
		synctest.Wait()
		require.EqualValues(t, 1, closed.Load(), "what was left behind is closed then")
		for range 20 {
			f, err := c.Next(t.Context(), monotime.Now(), 0)
			require.NoError(t, err)
			require.NotEqualValues(t, 99, f.Pix[0], "its late frame is never delivered")
			f.Release()
		}
		require.NoError(t, c.Close())
		require.EqualValues(t, 2, closed.Load())
	})
}

func TestFourCapturesThatHangExhaustTheCamera(t *testing.T) {
	for name, open := range map[string]func(release chan struct{}) opener{
		"in open": func(release chan struct{}) opener {
			return func() (source, error) {
				<-release
				return nil, errors.New("late")
			}
		},
		"in read": func(release chan struct{}) opener {
			return opens(func(int, *frame.Frame) error {
				<-release
				return errors.New("late")
			})
		},
		"in close": func(release chan struct{}) opener {
			return func() (source, error) {
				return &reads{
					read:   func(int, *frame.Frame) error { return errors.New("broken") },
					closed: func() { <-release },
				}, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				c := start(t.Context(), liveSpec, Options{OpenTimeout: time.Second}, open(release))
				pass(30 * time.Second)
				synctest.Wait()
				require.Equal(t, Exhausted, c.State().Phase)
				require.Contains(t, c.State().Reason, "worker process must be replaced")
				require.EqualValues(t, maxStuck, c.Counts().HungCaptures)
				_, err := c.Next(t.Context(), 0, 0)
				require.ErrorIs(t, err, ErrNoFrame)
				require.ErrorContains(t, c.Close(), "left behind")
				close(release)
				synctest.Wait()
				require.Zero(t, c.stuck.Load())
			})
		})
	}
}

func TestCaptureThatComesBackDoesNotCountTowardsExhaustion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t.Context(), liveSpec, Options{OpenTimeout: time.Second}, func() (source, error) {
			pass(2 * time.Second)
			return nil, errors.New("timed out")
		})
		pass(5 * time.Minute)
		synctest.Wait()
		require.Equal(t, Failed, c.State().Phase)
		require.Greater(t, c.Counts().HungCaptures, uint64(maxStuck))
		_ = c.Close()
		pass(5 * time.Second)
	})
}

func TestCloseDoesNotWaitForAHungCapture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := start(t.Context(), liveSpec, Options{ReadTimeout: time.Second}, opens(func(n int,
			f *frame.Frame,
		) error {
			if n == 2 {
				<-release
			}
			return picture(n, f)
		}))
		synctest.Wait()
		before := time.Now()
		require.ErrorContains(t, c.Close(), "1 captures hang")
		require.LessOrEqual(t, time.Since(before), time.Second)
		require.EqualValues(t, 1, c.Counts().HungCaptures)
		close(release)
	})
}

func TestCloseWaitsForACaptureThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Bool
		c := start(t.Context(), liveSpec, Options{}, func() (source, error) {
			return &reads{read: every(300 * time.Millisecond), closed: func() { closed.Store(true) }}, nil
		})
		pass(400 * time.Millisecond)
		require.NoError(t, c.Close())
		require.True(t, closed.Load())
		require.Zero(t, c.Counts().HungCaptures)
	})
}

// Fault 14.
func TestFault14SameFrameRepeatedIsStaleWithinThreeFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen states
		c := start(t.Context(), liveSpec, Options{OnState: seen.add}, opens(func(n int,
			f *frame.Frame,
		) error {
			pass(10 * time.Millisecond)
			switch {
			case n > 3 && n < 10:
				return picture(3, f) // frozen: 3 to 9 are the same
			default:
				return picture(n, f)
			}
		}))
		var got []string
		for range 12 {
			f, err := c.Next(t.Context(), 0, 0)
			if err != nil {
				require.ErrorIs(t, err, ErrStale)
				require.Nil(t, f)
				got = append(got, "stale")
				require.True(t, c.State().Stale)
				continue
			}
			got = append(got, strconv.Itoa(int(f.Pix[0])))
			require.False(t, c.State().Stale)
			f.Release()
		}
		require.Equal(t, []string{
			"1", "2", "3", "3", "stale", "stale", "stale", "stale", "stale", "10",
			"11", "12",
		}, got)
		n := c.Counts()
		require.EqualValues(t, 5, n.StaleFrames)
		require.EqualValues(t, 7, n.Captured)
		require.EqualValues(t, 7, n.Taken)
		require.NoError(t, c.Close())
	})
}

func TestPictureThatCannotBeReadIsOneErrorAndTheNextIsGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t.Context(), steppedSpec, Options{}, opens(func(n int, f *frame.Frame) error {
			if n == 2 {
				return fmt.Errorf("%w: two.jpg", ErrBadFrame)
			}
			return picture(n, f)
		}))
		for _, want := range []byte{1, 0, 3} {
			f, err := c.Next(t.Context(), 0, in(time.Second))
			if want == 0 {
				require.ErrorIs(t, err, ErrBadFrame)
				require.ErrorContains(t, err, "two.jpg")
				continue
			}
			require.NoError(t, err)
			require.Equal(t, want, f.Pix[0])
			f.Release()
		}
		require.Equal(t, Counts{Captured: 2, Taken: 2, BadFrames: 1}, c.Counts())
		require.Equal(t, Ready, c.State().Phase)
		require.NoError(t, c.Close())
	})
}

func TestFolderOfBadPicturesAtARateIsReadAtThatRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spec{kind: kindDir, rate: 10, loop: true, shown: "dir:bad"}
		c := start(t.Context(), s, Options{}, opens(func(int, *frame.Frame) error { return ErrBadFrame }))
		pass(time.Second + time.Millisecond)
		synctest.Wait()
		require.InDelta(t, 11, c.Counts().BadFrames, 1)
		require.NoError(t, c.Close())
	})
}

func TestCallerThatHoldsEverythingStopsNeitherDriverNorItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t.Context(), liveSpec, Options{Frames: 2}, opens(every(10*time.Millisecond)))
		var held []*frame.Frame
		for range 2 + spareFrames - 1 {
			f, err := c.Next(t.Context(), 0, in(time.Second))
			require.NoError(t, err)
			held = append(held, f)
		}
		_, err := c.Next(t.Context(), 0, in(time.Second))
		require.ErrorIs(t, err, ErrDeadline)
		before := c.Counts().Captured
		pass(time.Second)
		synctest.Wait()
		require.Greater(t, c.Counts().Captured, before+90, "the driver's queue does not age")
		for i, f := range held {
			require.EqualValues(t, i+1, f.Pix[0], "what is held is not written to")
			f.Release()
		}
		trigger := monotime.Now()
		f, err := c.Next(t.Context(), trigger, in(time.Second))
		require.NoError(t, err)
		f.Release()
		require.NoError(t, c.Close())
		n := c.Counts()
		require.Equal(t, n.Captured, n.Taken+n.Displaced+n.Waiting)
	})
}

func TestSteppedWaitsForAFrameToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t.Context(), steppedSpec, Options{Frames: 1}, opens(picture))
		var held []*frame.Frame
		for {
			f, err := c.Next(t.Context(), 0, in(time.Second))
			if err != nil {
				require.ErrorIs(t, err, ErrDeadline)
				break
			}
			held = append(held, f)
		}
		require.Len(t, held, 1+spareFrames)
		for _, f := range held {
			f.Release()
		}
		f, err := c.Next(t.Context(), 0, in(time.Second))
		require.NoError(t, err)
		require.EqualValues(t, len(held)+2, f.Pix[0], "one belongs to the part that waited in vain")
		f.Release()
		require.NoError(t, c.Close())
	})
}

func TestFrameStaysValidAfterClose(t *testing.T) {
	c := start(t.Context(), steppedSpec, Options{}, opens(picture))
	f, err := c.Next(t.Context(), 0, in(10*time.Second))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.EqualValues(t, 1, f.Pix[len(f.Pix)-1])
	f.Release()
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	for name, s := range map[string]spec{"stepped": steppedSpec, "paced": liveSpec} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			c := start(t.Context(), s, Options{ReadTimeout: 10 * time.Second}, opens(func(_ int,
				f *frame.Frame,
			) error {
				return picture(int(n.Add(1)), f)
			}))
			allocs := testing.AllocsPerRun(500, func() {
				f, err := c.Next(t.Context(), 0, in(10*time.Second))
				if err != nil {
					t.Error(err)
					return
				}
				f.Release()
			})
			require.Zero(t, allocs)
			require.NoError(t, c.Close())
		})
	}
}
