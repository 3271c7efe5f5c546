package verdict

import (
	"math"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// Doubt is how far from its threshold the score lies that is closest to it, on either side, of all findings
// for whose class and place there is a rule: infinite without one. It is of no use for an answer that cannot
// be believed.
func (r *Rules) Doubt(answer *wire.Inspected) float32 {
	least := float32(math.Inf(1))
	for _, d := range answer.GetDetections() {
		if r.distrust(d) != "" {
			continue
		}
		meant, _ := r.at(d)
		if meant.verdict == "" && !meant.good || max(d.X2-d.X1, d.Y2-d.Y1) < meant.minSize {
			continue
		}
		least = min(least, float32(math.Abs(float64(d.Score-meant.threshold))))
	}
	return least
}

// Highest is the highest score of a defect, whether it counts or not; 0: nothing was found.
func (r *Rules) Highest(answer *wire.Inspected) float64 {
	highest := float32(0)
	for _, d := range answer.GetDetections() {
		if r.distrust(d) == "" && !r.plain[d.GetClass()].good {
			highest = max(highest, d.GetScore())
		}
	}
	return float64(highest)
}
