package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
)

func TestTheViewTellsPartsUnderWayFromLostOnes(t *testing.T) {
	const patience = time.Minute
	now := time.Now()
	tally := NewTally(now)
	view := func() string { return live{tally: tally, patience: patience, width: 80}.View() }
	for _, id := range []string{"P1", "P2", "P3", "P4", "P5"} {
		tally.Triggered(id, now)
	}
	require.Contains(t, view(), "  under way 5   lost 0   duplicated 0 ")
	tally.AtPLC(result("r1", "P1", event.Rework), now)
	require.Contains(t, view(), "  under way 4   lost 0 ", "not yet in Kafka")
	require.Contains(t, view(), "  PASS 0   FAIL 0   REWORK 1   UNKNOWN 0 ")

	tally.Triggered("P6", now.Add(-patience-time.Second))
	require.Contains(t, view(), "  under way 4   lost 1 ", "its deadline is over")
	tally.Triggered("P7", now)
	tally.AtPLC(result("r7", "P7", event.Pass), now.Add(-settleLimit-time.Second))
	require.Contains(t, view(), "  under way 4   lost 2 ", "its record never came")
	tally.InKafka("r7", "P7")
	tally.InKafka("r1", "P1")
	require.Contains(t, view(), "  under way 4   lost 1 ")
	s := tally.Summarize(0)
	require.Contains(t, s.Line(), " lost=5 ", "in the end, what is under way is lost")
	for line := range strings.Lines(view()) {
		if !strings.Contains(line, "Sightline demo") {
			require.Less(t, len([]rune(line)), 81, line)
		}
	}
}

func TestTheViewSaysWhatIsWaitedFor(t *testing.T) {
	tally := NewTally(time.Now())
	view := func() string { return live{tally: tally, width: 80}.View() }
	lines := strings.Count(view(), "\n")
	require.NotContains(t, view(), "waiting")
	tally.Waiting("Preoperational loading the bundle, 12 s")
	require.Contains(t, view(), "\n  waiting for the station: Preoperational loading the bundle, 12 s\n")
	require.Equal(t, lines, strings.Count(view(), "\n"), "nothing moves")
}
