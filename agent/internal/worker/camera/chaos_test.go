package camera

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

// numbered fills f with its number: a torn or reused picture has two.
func numbered(n uint64, f *frame.Frame) error {
	if err := f.Shape(64, 32, 1); err != nil {
		return err
	}
	for at := 0; at < len(f.Pix); at += 8 {
		binary.LittleEndian.PutUint64(f.Pix[at:], n)
	}
	return nil
}

func numberOf(t *testing.T, f *frame.Frame) uint64 {
	t.Helper()
	n := binary.LittleEndian.Uint64(f.Pix)
	for at := 0; at < len(f.Pix); at += 8 {
		if got := binary.LittleEndian.Uint64(f.Pix[at:]); got != n {
			t.Fatalf("picture %d is torn: it has pixels of %d", n, got)
		}
	}
	return n
}

func waits(random *rand.Rand, below int) time.Duration {
	return time.Duration(random.IntN(below)) * time.Millisecond
}

// chaotic is a driver that fails in every way there is, and writes to its frame even when it comes back late.
func chaotic(random *rand.Rand, number *atomic.Uint64) opener {
	return func() (source, error) {
		if random.IntN(4) == 0 {
			return nil, errors.New("absent")
		}
		return &reads{read: func(_ int, f *frame.Frame) error {
			n := number.Add(1)
			switch random.IntN(60) {
			case 0:
				pass(3 * time.Second)
			case 1:
				return errors.New("unplugged")
			case 2, 3:
				_ = numbered(1<<40+n, f)
				return ErrBadFrame
			default:
				pass(waits(random, 20))
			}
			return numbered(n, f)
		}}, nil
	}
}

func TestNoFrameIsTornRepeatedOrLostWithoutACount(t *testing.T) {
	for _, s := range []spec{liveSpec, steppedSpec} {
		t.Run(s.shown, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var number atomic.Uint64
				random := rand.New(&locked{src: rand.NewPCG(1, 2)})
				o := Options{Frames: 4, ReadTimeout: time.Second}
				c := start(t.Context(), s, o, chaotic(random, &number))
				held := map[*frame.Frame]uint64{}
				last := uint64(0)
				for range 2000 {
					f, err := c.Next(t.Context(), monotime.Now(), in(waits(random, 50)))
					n := c.Counts()
					require.Equal(t, n.Captured, n.Taken+n.Displaced+n.Waiting)
					if err != nil {
						require.NotErrorIs(t, err, io.EOF)
						pass(20 * time.Millisecond)
						continue
					}
					got := numberOf(t, f)
					require.Greater(t, got, last, "pictures come in order, each once")
					last = got
					held[f] = got
					for h, was := range held {
						require.Equal(t, was, numberOf(t, h), "nobody writes to a frame that is held")
						if len(held) > 3 || random.IntN(3) == 0 {
							delete(held, h)
							h.Release()
						}
					}
				}
				n := c.Counts()
				require.Greater(t, n.Taken, uint64(300))
				for _, counted := range []uint64{n.BadFrames, n.HungCaptures, n.Reconnects} {
					require.NotZero(t, counted)
				}
				for h := range held {
					h.Release()
				}
				_ = c.Close()
				pass(10 * time.Second) // what hangs comes back
			})
		})
	}
}

// locked lets captures and the test share one source of random numbers.
type locked struct {
	mu  sync.Mutex
	src rand.Source
}

func (l *locked) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.src.Uint64()
}
