package verdict

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// told is how many classes an UNKNOWN of a classification speaks of.
const told = 2

// isGood says whether a good class reaches its threshold.
func (r *Rules) isGood(found []*wire.Detection) bool {
	return slices.ContainsFunc(found, func(d *wire.Detection) bool {
		rule := r.plain[d.GetClass()]
		return rule.good && d.GetScore() >= rule.threshold
	})
}

// unsure tells the best scores of a part that is of no class.
func (r *Rules) unsure(found []*wire.Detection) string {
	if len(found) == 0 {
		return "no class scores as high as score_floor of the bundle"
	}
	var best []*wire.Detection
	for _, d := range found {
		worse := func(other *wire.Detection) bool { return d.GetScore() > other.GetScore() }
		at := slices.IndexFunc(best, worse)
		if at < 0 {
			at = len(best)
		}
		best = slices.Insert(best, at, d)
		best = best[:min(len(best), told)]
	}
	said := make([]string, 0, told)
	for _, d := range best {
		said = append(said, fmt.Sprintf("%s scores %.3f of %.3f", r.names[d.GetClass()], d.GetScore(),
			r.plain[d.GetClass()].threshold))
	}
	return "neither a good class nor a defect reaches its threshold: " + strings.Join(said, ", ")
}
