package camera

import (
	"hash/maphash"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// A sample is at most stripes × stripe bytes, spread over the picture: 64 KiB.
const (
	stripes = 256
	stripe  = 256
)

// stale finds a camera that repeats itself. The noise of a live sensor differs from exposure to exposure even
// when nothing moves, so that an exact repetition means a frozen sensor, driver or encoder.
//
// A sample is compared always; all pixels only when it repeats, so that a binarized picture whose
// difference lies between the stripes is not taken for a repetition. Not safe for concurrent use.
type stale struct {
	after  int // identical pictures in a row; negative: never
	seed   maphash.Seed
	shape  [3]int
	sample uint64
	whole  uint64 // of all pixels of the picture before, when known
	known  bool
	run    int // pictures in a row that are the same as far as they were compared
}

func newStale(after int) *stale { return &stale{after: after, seed: maphash.MakeSeed()} }

// seen reports whether f is at least the after-th of identical pictures in a row.
func (s *stale) seen(f *frame.Frame) bool {
	if s.after < 0 {
		return false
	}
	shape, sample := [3]int{f.Width, f.Height, f.Channels}, s.hash(f.Pix)
	if shape != s.shape || sample != s.sample {
		s.shape, s.sample, s.known, s.run = shape, sample, false, 1
		return s.run >= s.after
	}
	whole := maphash.Bytes(s.seed, f.Pix)
	if s.known && whole != s.whole {
		s.run = 0
	}
	s.whole, s.known = whole, true
	s.run++
	return s.run >= s.after
}

func (s *stale) hash(pix []byte) uint64 {
	if len(pix) <= stripes*stripe {
		return maphash.Bytes(s.seed, pix)
	}
	var sum uint64
	step := len(pix) / stripes
	for i := range stripes {
		sum = sum*31 + maphash.Bytes(s.seed, pix[i*step:][:stripe])
	}
	return sum
}
