package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
)

func TestTheEndSaysWhenTheFirstVerdictCameAndWhetherThatWasTooLate(t *testing.T) {
	start := time.Unix(0, 0)
	const first = 3 * time.Second
	for name, c := range map[string]struct {
		within   time.Duration
		verdict  bool
		says     string
		refusals []string
	}{
		"no limit":        {0, true, "first verdict after 3.0 s; ", nil},
		"in time":         {first, true, "first verdict after 3.0 s; ", nil},
		"late":            {first - 1, true, "first verdict after 3.0 s; ", []string{"3.0 s, not within"}},
		"none":            {first, false, "no verdict; ", []string{"no verdict, not within 3s", "no part"}},
		"none, not asked": {0, false, "no verdict; ", []string{"no part was triggered"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			f := &chain{options: Options{FirstWithin: c.within, Stdout: &out}, tally: NewTally(start)}
			if c.verdict {
				f.tally.Triggered("p", start)
				f.tally.AtPLC(result("r", "p", event.Pass), start.Add(first))
				f.tally.InKafka("r", "p")
				f.tally.SetVerdicts(1)
			}
			err := f.conclude()
			require.Contains(t, out.String(), c.says)
			if c.refusals == nil {
				require.NoError(t, err)
			}
			for _, want := range c.refusals {
				require.ErrorContains(t, err, want)
			}
		})
	}
}
