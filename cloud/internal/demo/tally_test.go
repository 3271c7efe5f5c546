package demo

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
)

func result(id, part string, v event.Verdict) event.Inspection {
	return event.Inspection{ResultID: id, PartID: part, Verdict: v, Accept: v.Accept(), IsSimulated: true}
}

func TestClosingLineTellsLossAndDuplication(t *testing.T) {
	start := time.Unix(0, 0)
	full := func(tally *Tally) {
		tally.Triggered("p1", start)
		tally.AtPLC(result("r1", "p1", event.Pass), start.Add(time.Millisecond))
		tally.InKafka("r1", "p1")
		tally.SetVerdicts(1)
	}
	for name, c := range map[string]struct {
		more func(*Tally)
		want string
		ok   bool
	}{
		"whole": {
			func(*Tally) {},
			"parts=1 verdicts=1 plc=1 kafka=1 lost=0 duplicated=0 found=0 of 0", true,
		},
		"no verdict at the PLC": {
			func(c *Tally) { c.Triggered("p2", start); c.SetVerdicts(2); c.InKafka("r2", "p2") },
			"parts=2 verdicts=2 plc=1 kafka=2 lost=1 duplicated=0 found=0 of 0", false,
		},
		"not in Kafka": {
			func(c *Tally) {
				c.Triggered("p2", start)
				c.SetVerdicts(2)
				c.AtPLC(result("r2", "p2", event.Fail), start)
			},
			"parts=2 verdicts=2 plc=2 kafka=1 lost=1 duplicated=0 found=0 of 0", false,
		},
		"twice in Kafka": {
			func(c *Tally) { c.InKafka("r1", "p1") },
			"parts=1 verdicts=1 plc=1 kafka=1 lost=0 duplicated=1 found=0 of 0", false,
		},
		"second verdict for a part": {
			func(c *Tally) { c.AtPLC(result("r9", "p1", event.Fail), start) },
			"parts=1 verdicts=1 plc=1 kafka=1 lost=0 duplicated=1 found=0 of 0", false,
		},
		"same result again": { // held until acknowledged: the PLC may see it twice
			func(c *Tally) { c.AtPLC(result("r1", "p1", event.Pass), start) },
			"parts=1 verdicts=1 plc=1 kafka=1 lost=0 duplicated=0 found=0 of 0", true,
		},
		"a verdict for a part that nobody triggered": { // must not stand in for the one that is missing
			func(c *Tally) {
				c.Triggered("p2", start)
				c.SetVerdicts(2)
				c.AtPLC(result("r9", "p9", event.Fail), start)
				c.InKafka("r9", "p9")
			},
			"parts=2 verdicts=2 plc=2 kafka=2 lost=1 duplicated=0 found=0 of 0", false,
		},
		"agent counts otherwise": {
			func(c *Tally) { c.SetVerdicts(3) },
			"parts=1 verdicts=3 plc=1 kafka=1 lost=0 duplicated=0 found=0 of 0", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tally := NewTally(start)
			full(tally)
			c.more(tally)
			s := tally.Summarize(5)
			require.Equal(t, c.want, s.Line())
			require.Equal(t, c.ok, s.Agree())
		})
	}
}

// through takes n parts the whole way, each with a latency of its number in milliseconds.
func through(tally *Tally, n int) {
	for i := range n {
		id, sent := strconv.Itoa(i), time.Unix(int64(i), 0)
		tally.Triggered("p"+id, sent)
		tally.AtPLC(result("r"+id, "p"+id, event.Pass), sent.Add(time.Duration(i)*time.Millisecond))
		tally.InKafka("r"+id, "p"+id)
	}
}

func TestAnEndlessDemonstrationIsCountedInBoundedMemory(t *testing.T) {
	const parts = 3 * remembered
	tally := NewTally(time.Unix(0, 0))
	through(tally, parts)
	tally.SetVerdicts(parts)
	s := tally.Summarize(recentParts)
	require.Equal(t, "parts=30000 verdicts=30000 plc=30000 kafka=30000 lost=0 duplicated=0 found=0 of 0",
		s.Line())
	require.True(t, s.Agree())
	require.Equal(t, parts, s.Kinds[event.Pass])
	require.Len(t, s.Recent, recentParts)
	require.Equal(t, "p29999", s.Recent[recentParts-1].ID)
	require.Equal(t, 25*time.Second, s.P50, "of the last 10,000")
	require.Equal(t, 29_900*time.Millisecond, s.P99)
	require.Empty(t, tally.due)
	require.Len(t, tally.parts, remembered)
	require.Len(t, tally.kafka, remembered)
	require.LessOrEqual(t, cap(tally.latencies.items)+cap(tally.settled.items), 6*remembered)
}

func TestADuplicateIsSeenAfterNearlyTenThousandFurtherParts(t *testing.T) {
	tally := NewTally(time.Unix(0, 0))
	through(tally, 2*remembered)
	tally.InKafka("r10000", "p10000")
	tally.AtPLC(result("again", "p10000", event.Fail), time.Unix(0, 0))
	s := tally.Summarize(0)
	require.Equal(t, 2, s.Duplicated)
	require.Equal(t, 2*remembered, s.PLC)
	require.Equal(t, 2*remembered, s.Kafka)
}

func TestADuplicateOfAForgottenPartIsOneTooMany(t *testing.T) {
	for name, repeat := range map[string]func(*Tally){
		"record":  func(c *Tally) { c.InKafka("r0", "p0") },
		"verdict": func(c *Tally) { c.AtPLC(result("again", "p0", event.Fail), time.Unix(0, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			tally := NewTally(time.Unix(0, 0))
			through(tally, remembered+1)
			tally.SetVerdicts(remembered + 1)
			s := tally.Summarize(0)
			require.True(t, s.Agree())
			repeat(tally)
			s = tally.Summarize(0)
			require.False(t, s.Agree())
		})
	}
}

func TestWhatIsDueIsNotForgotten(t *testing.T) {
	tally := NewTally(time.Unix(0, 0))
	tally.Triggered("silent", time.Unix(0, 0))
	tally.Triggered("late", time.Unix(0, 0))
	tally.AtPLC(result("r", "late", event.Pass), time.Unix(0, 0))
	through(tally, 2*remembered)
	require.Equal(t, 2, tally.Summarize(0).Lost)
	tally.InKafka("r", "late")
	require.Equal(t, 1, tally.Summarize(0).Lost)
}
