package verdict

import (
	"slices"

	"github.com/sightline-edge/sightline/agent/event"
)

// measured names values, of which there is one for each measure, or none.
func (r *Rules) measured(values []float32) []event.Measure {
	if len(values) == 0 {
		return nil
	}
	all := slices.Clone(r.measures)
	for i, value := range values {
		all[i].Value = value
	}
	return all
}
