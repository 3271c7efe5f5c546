package compare

import (
	"errors"
	"fmt"
)

const (
	minSide, maxSide = 64, 16384
	maxTolerance     = 16
	maxJoin          = 16
	maxMargin        = 256
)

// ErrOptions is wrapped by errors about options and sizes that cannot be compared with.
var ErrOptions = errors.New("bad comparison")

// Options of a comparison. What is 0 takes its default; the defaults are those that did best on the training
// part of DeepPCB, 48 px/mm.
type Options struct {
	// Tolerance is how many pixels an edge may wander: a pixel differs for certain only when no equal one
	// lies within so many columns and rows in the other image. Copper of the template that is at most twice
	// as wide may vanish, such as the rim of a pad that the drill just left. 1 to 16, default 2.
	Tolerance int
	// MinArea is the least number of differing pixels of a finding. Default 12.
	MinArea int
	// MinScore is the least score of a finding, 0 to 1. Default 0.4.
	MinScore float64
	// Join is how many pixels apart pieces of one finding may lie: up to 2·Join. 1 to 16, default 2.
	Join int
	// Margin is by how many pixels a box is larger than what differs, on each side. Labels are drawn with
	// one: 9 to 10 px in DeepPCB (median, of all sizes and of both missing and extra copper). -1 is none,
	// at most 256, default 10.
	Margin int
}

func (o Options) withDefaults() (Options, error) {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.Tolerance, 2)
	def(&o.MinArea, 12)
	def(&o.Join, 2)
	def(&o.Margin, 10)
	if o.MinScore == 0 {
		o.MinScore = 0.4
	}
	o.Margin = max(o.Margin, -1)
	switch {
	case o.Tolerance < 1 || o.Tolerance > maxTolerance:
		return o, fmt.Errorf("%w: tolerance %d px: take 1 to %d", ErrOptions, o.Tolerance, maxTolerance)
	case o.Join < 1 || o.Join > maxJoin:
		return o, fmt.Errorf("%w: join %d px: take 1 to %d", ErrOptions, o.Join, maxJoin)
	case o.MinArea < 1:
		return o, fmt.Errorf("%w: minimum area %d px: take at least 1", ErrOptions, o.MinArea)
	case o.Margin > maxMargin:
		return o, fmt.Errorf("%w: margin %d px: take at most %d", ErrOptions, o.Margin, maxMargin)
	case !(o.MinScore > 0 && o.MinScore <= 1): // NaN comes here, too
		return o, fmt.Errorf("%w: minimum score %g: take 0 to 1", ErrOptions, o.MinScore)
	}
	o.Margin = max(o.Margin, 0)
	return o, nil
}
