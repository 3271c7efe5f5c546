package demo_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/cloud/internal/demo"
)

func result(id, part string, v event.Verdict) event.Inspection {
	return event.Inspection{ResultID: id, PartID: part, Verdict: v, Accept: v.Accept(), IsSimulated: true}
}

func TestClosingLineTellsLossAndDuplication(t *testing.T) {
	start := time.Unix(0, 0)
	full := func(tally *demo.Tally) {
		tally.Triggered("p1", start)
		tally.AtPLC(result("r1", "p1", event.Pass), start.Add(time.Millisecond))
		tally.InKafka("r1", "p1")
		tally.SetVerdicts(1)
	}
	for name, c := range map[string]struct {
		more func(*demo.Tally)
		want string
		ok   bool
	}{
		"whole": {
			func(*demo.Tally) {},
			"parts=1 verdicts=1 plc=1 kafka=1 lost=0 duplicated=0 found=0 of 0", true,
		},
		"no verdict at the PLC": {
			func(c *demo.Tally) { c.Triggered("p2", start); c.SetVerdicts(2); c.InKafka("r2", "p2") },
			"parts=2 verdicts=2 plc=1 kafka=2 lost=1 duplicated=0 found=0 of 0", false,
		},
		"not in Kafka": {
			func(c *demo.Tally) {
				c.Triggered("p2", start)
				c.SetVerdicts(2)
				c.AtPLC(result("r2", "p2", event.Fail), start)
			},
			"parts=2 verdicts=2 plc=2 kafka=1 lost=1 duplicated=0 found=0 of 0", false,
		},
		"twice in Kafka": {
			func(c *demo.Tally) { c.InKafka("r1", "p1") },
			"parts=1 verdicts=1 plc=1 kafka=1 lost=0 duplicated=1 found=0 of 0", false,
		},
		"second verdict for a part": {
			func(c *demo.Tally) { c.AtPLC(result("r9", "p1", event.Fail), start) },
			"parts=1 verdicts=1 plc=1 kafka=1 lost=0 duplicated=1 found=0 of 0", false,
		},
		"same result again": { // held until acknowledged: the PLC may see it twice
			func(c *demo.Tally) { c.AtPLC(result("r1", "p1", event.Pass), start) },
			"parts=1 verdicts=1 plc=1 kafka=1 lost=0 duplicated=0 found=0 of 0", true,
		},
		"a verdict for a part that nobody triggered": { // must not stand in for the one that is missing
			func(c *demo.Tally) {
				c.Triggered("p2", start)
				c.SetVerdicts(2)
				c.AtPLC(result("r9", "p9", event.Fail), start)
				c.InKafka("r9", "p9")
			},
			"parts=2 verdicts=2 plc=2 kafka=2 lost=1 duplicated=0 found=0 of 0", false,
		},
		"agent counts otherwise": {
			func(c *demo.Tally) { c.SetVerdicts(3) },
			"parts=1 verdicts=3 plc=1 kafka=1 lost=0 duplicated=0 found=0 of 0", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tally := demo.NewTally(start)
			full(tally)
			c.more(tally)
			s := tally.Summarize(5)
			require.Equal(t, c.want, s.Line())
			require.Equal(t, c.ok, s.Agree())
		})
	}
}
