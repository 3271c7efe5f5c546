package demo

import (
	"fmt"
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

func TestSetUpAndBuildCountAsPartOfTheTimeToTheFirstVerdict(t *testing.T) {
	now := time.Now()
	before, err := (&Options{Began: now.Add(-2 * time.Second)}).before(now)
	require.NoError(t, err)
	require.Equal(t, 2*time.Second, before)
	var out strings.Builder
	f := &chain{
		options: Options{Began: now.Add(-before), FirstWithin: 2 * time.Second, Stdout: &out},
		before:  before, tally: NewTally(now.Add(-before)),
	}
	f.tally.Triggered("p", now)
	f.tally.AtPLC(result("r", "p", event.Pass), now.Add(time.Second))
	require.ErrorIs(t, f.conclude(), ErrLate)
	require.Contains(t, out.String(), "first verdict after 3.0 s, 2.0 s of it set-up and build; ")

	for name, began := range map[string]time.Time{
		"in the future":    now.Add(time.Hour),
		"given in seconds": time.UnixMilli(now.Unix()),
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, Run(t.Context(), Options{Began: began}), "in milliseconds since 1970")
		})
	}
}

// conclusion plays n parts through the chain, of which the first ones end UNKNOWN without a picture, and a
// further one with it, where two defects were drawn.
func conclusion(n, unseen int, seen bool) (string, error) {
	var out strings.Builder
	start := time.Unix(0, 0)
	f := &chain{options: Options{Stdout: &out}, tally: NewTally(start)}
	f.tally.SetVerdicts(uint64(n))
	for i := range n {
		id := fmt.Sprintf("p%d", i)
		in := result("r"+id, id, event.Pass)
		in.Frame = event.Frame{Width: 640, Height: 480}
		switch {
		case i < unseen:
			in.Verdict, in.Accept, in.Reason, in.Frame = event.Unknown, false, "deadline", event.Frame{}
		case i == unseen && seen:
			in.Verdict, in.Accept, in.Reason = event.Unknown, false, "model_error"
			in.Truth = make([]event.Defect, 2)
		}
		f.tally.Triggered(id, start)
		f.tally.AtPLC(in, start)
		f.tally.InKafka("r"+id, id)
	}
	err := f.conclude()
	return out.String(), err
}

func TestADemonstrationThatInspectedTooLittleFails(t *testing.T) {
	for name, c := range map[string]struct {
		parts, unseen int
		seen          bool
		says          string // before the closing line
		closes        string
		fails         bool
	}{
		"none UNKNOWN": {parts: 20, closes: "found=0 of 0"},
		"one in twenty": {
			parts: 20, unseen: 1,
			says: "\n1 of 20 parts UNKNOWN (deadline 1); the picture of 1 did not arrive, " +
				"and found= leaves their defects out\n",
			closes: "found=0 of 0",
		},
		"one in nineteen": {parts: 19, unseen: 1, says: "1 of 19 parts", closes: "found=0 of 0", fails: true},
		"with the picture": {
			parts: 40, seen: true, says: "\n1 of 40 parts UNKNOWN (model_error 1)\n", closes: "found=0 of 2",
		},
		"both": {
			parts: 40, unseen: 3, seen: true,
			says:   "\n4 of 40 parts UNKNOWN (deadline 3, model_error 1); the picture of 3 did",
			closes: "found=0 of 2", fails: true,
		},
		"all": {parts: 1, unseen: 1, says: "1 of 1 parts", closes: "found=0 of 0", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := conclusion(c.parts, c.unseen, c.seen)
			require.Contains(t, out, "; 0 false alarms on clean boards")
			line := fmt.Sprintf("\nparts=%[1]d verdicts=%[1]d plc=%[1]d kafka=%[1]d lost=0 duplicated=0 ",
				c.parts) + c.closes + "\n"
			require.True(t, strings.HasSuffix(out, line), out)
			require.Contains(t, out, c.says)
			require.Equal(t, c.says != "", strings.Contains(out, "UNKNOWN"), out)
			if !c.fails {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrUnknown)
			require.NotErrorIs(t, err, ErrNumbers)
		})
	}
}

func TestABundleThatFindsLessThanHalfOfWhatItKnowsFailsTheDemonstration(t *testing.T) {
	for name, c := range map[string]struct {
		finds        bool
		drawn, found int
		fails        bool
	}{
		"none":              {true, 93, 0, true},
		"nearly half":       {true, 93, 46, true},
		"half":              {true, 92, 46, false},
		"all":               {true, 93, 93, false},
		"another's bundle":  {false, 93, 0, false},
		"too few to tell":   {true, 3, 0, false},
		"enough to tell":    {true, 4, 1, true},
		"nothing was drawn": {true, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			start := time.Unix(0, 0)
			f := &chain{
				options: Options{Stdout: &out, Finds: c.finds, Bundle: "models/b"}, tally: NewTally(start),
			}
			in := result("r", "p", event.Fail)
			for n := range c.drawn {
				left := float32(20 * n)
				defect := event.Defect{Class: "open", Box: [4]float32{left, 0, left + 10, 10}}
				in.Truth = append(in.Truth, defect)
				if n < c.found {
					in.Defects = append(in.Defects, defect)
				}
			}
			f.tally.Triggered("p", start)
			f.tally.AtPLC(in, start)
			f.tally.InKafka("r", "p")
			f.tally.SetVerdicts(1)
			err := f.conclude()
			closing := fmt.Sprintf("duplicated=0 found=%d of %d\n", c.found, c.drawn)
			require.True(t, strings.HasSuffix(out.String(), closing), out.String())
			says := fmt.Sprintf("\n%d of %d drawn defects found, and models/b finds half", c.found, c.drawn)
			require.Equal(t, c.fails, strings.Contains(out.String(), says), out.String())
			if c.fails {
				require.ErrorIs(t, err, ErrBlind)
				return
			}
			require.NoError(t, err)
		})
	}
}
