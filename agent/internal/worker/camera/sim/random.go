package sim

import "math"

// random is splitmix64. It is written out here, and used through integers, because a board must be the same
// bytes for the same seed on every architecture and with every later Go release.
type random struct{ state uint64 }

// stream derives an independent generator for one purpose of one board, so that asking for more defects does
// not move the traces.
func stream(seed, index, purpose uint64) random {
	r := random{state: seed ^ 0x9e3779b97f4a7c15}
	r.state = r.next() ^ index
	r.state = r.next() ^ purpose
	return random{state: r.next()}
}

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// in returns an integer in [lo, hi]; lo when the interval is empty.
func (r *random) in(lo, hi int) int {
	if hi <= lo {
		return lo
	}
	return lo + int(r.next()>>33)%(hi-lo+1)
}

// chance is true for the given percentage of calls.
func (r *random) chance(percent int) bool { return r.in(0, 99) < percent }

// unit returns a number in [0, 1).
func (r *random) unit() float64 { return float64(r.next()>>11) / (1 << 53) }

// poisson is Knuth's product method, in steps whose limit is a number above zero. The mean is bounded by
// Options, and so are the draws.
func (r *random) poisson(mean float64) int {
	const step = 256
	n := 0
	for ; mean > step; mean -= step {
		n += r.poisson(step)
	}
	limit := math.Exp(-mean)
	for p := r.unit(); p > limit; p *= r.unit() {
		n++
	}
	return n
}
