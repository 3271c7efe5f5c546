package verdict_test

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Classes 0 open (from 0.5) and 1 spur (from 0.6).
func compile(tb testing.TB, cfg config.Verdict) *verdict.Rules {
	tb.Helper()
	classes := []bundle.Class{{Name: "open", Threshold: 0.5}, {Name: "spur", Threshold: 0.6}}
	r, err := verdict.Compile(cfg, &bundle.Manifest{Task: bundle.TaskDetection, Classes: classes})
	require.NoError(tb, err)
	return r
}

// at makes a detection of size × size/2 pixels around x, y.
func at(class int32, score, x, y, size float32) *wire.Detection {
	return &wire.Detection{
		Class: class, Score: score, X1: x - size/2, X2: x + size/2, Y1: y - size/4, Y2: y + size/4,
	}
}

func answer(found ...*wire.Detection) *wire.Inspected { return &wire.Inspected{Detections: found} }

func TestRulesDecideTheVerdict(t *testing.T) {
	square := [][2]float64{{0, 0}, {100, 0}, {100, 100}, {0, 100}}
	for name, c := range map[string]struct {
		cfg   config.Verdict
		found []*wire.Detection
		want  event.Verdict
		zones []string // of the defects that count
	}{
		"nothing found": {want: event.Pass},
		"at the threshold": {
			found: []*wire.Detection{at(0, 0.5, 9, 9, 9)}, want: event.Fail, zones: []string{""},
		},
		"below the threshold": {
			found: []*wire.Detection{at(0, 0.499, 9, 9, 9), at(1, 0.59, 9, 9, 9)}, want: event.Pass,
		},
		"other threshold": {
			config.Verdict{Classes: map[string]config.ClassRule{"open": {Threshold: new(0.9)}}},
			[]*wire.Detection{at(0, 0.8, 9, 9, 9)},
			event.Pass, nil,
		},
		"longer side is the size": {
			config.Verdict{MinSize: 10}, []*wire.Detection{at(0, 0.9, 9, 9, 10)}, event.Fail, []string{""},
		},
		"too small": {
			config.Verdict{MinSize: 10}, []*wire.Detection{at(0, 0.9, 9, 9, 9.9)}, event.Pass, nil,
		},
		"size of a class": {
			config.Verdict{MinSize: 10, Classes: map[string]config.ClassRule{"open": {MinSize: new(2.0)}}},
			[]*wire.Detection{at(0, 0.9, 9, 9, 3), at(1, 0.9, 9, 9, 3)},
			event.Fail,
			[]string{""},
		},
		"rework": {
			config.Verdict{Classes: map[string]config.ClassRule{"spur": {Verdict: "rework"}}},
			[]*wire.Detection{at(1, 0.9, 9, 9, 9)},
			event.Rework,
			[]string{""},
		},
		"fail over rework": {
			config.Verdict{Classes: map[string]config.ClassRule{"spur": {Verdict: "rework"}}},
			[]*wire.Detection{at(0, 0.9, 9, 9, 9), at(1, 0.9, 9, 9, 9)},
			event.Fail,
			[]string{"", ""},
		},
		"ignored class": {
			config.Verdict{Classes: map[string]config.ClassRule{"spur": {Verdict: "ignore"}}},
			[]*wire.Detection{at(1, 0.9, 9, 9, 9)},
			event.Pass, nil,
		},
		"ignored zone": {
			config.Verdict{Zones: []config.Zone{{Name: "edge", Polygon: square, Ignore: true}}},
			[]*wire.Detection{at(0, 0.9, 50, 50, 9), at(0, 0.9, 150, 50, 9)},
			event.Fail,
			[]string{""},
		},
		"centre decides the zone": {
			config.Verdict{Zones: []config.Zone{{Name: "edge", Polygon: square, Ignore: true}}},
			[]*wire.Detection{at(0, 0.9, 99, 50, 90)},
			event.Pass, nil,
		},
		"rule of a zone": {
			config.Verdict{
				Classes: map[string]config.ClassRule{"open": {Verdict: "rework", Threshold: new(0.2)}},
				Zones: []config.Zone{{
					Name: "core", Polygon: square,
					Classes: map[string]config.ClassRule{"open": {Verdict: "fail"}},
				}},
			},
			[]*wire.Detection{at(0, 0.3, 50, 50, 9), at(0, 0.3, 150, 50, 9)},
			event.Fail,
			[]string{"core", ""},
		},
		"first zone wins": {
			config.Verdict{Zones: []config.Zone{
				{Name: "first", Polygon: square}, {Name: "second", Polygon: square, Ignore: true},
			}},
			[]*wire.Detection{at(0, 0.9, 50, 50, 9)},
			event.Fail,
			[]string{"first"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out := compile(t, c.cfg).Judge(answer(c.found...))
			require.Equal(t, c.want, out.Verdict)
			var zones []string
			for _, d := range out.Defects {
				zones = append(zones, d.Zone)
			}
			require.Equal(t, c.zones, zones)
		})
	}
}

func TestAConcavePolygonIsRespected(t *testing.T) {
	u := [][2]float64{{0, 0}, {30, 0}, {30, 30}, {20, 30}, {20, 10}, {10, 10}, {10, 30}, {0, 30}}
	r := compile(t, config.Verdict{Zones: []config.Zone{{Name: "u", Polygon: u, Ignore: true}}})
	require.Equal(t, event.Pass, r.Judge(answer(at(0, 0.9, 5, 20, 2))).Verdict)
	require.Equal(t, event.Fail, r.Judge(answer(at(0, 0.9, 15, 20, 2))).Verdict)
}

// turned is a detection with an outline.
func turned(area float32, outline ...float32) *wire.Detection {
	d := at(0, 0.9, 9, 9, 9)
	d.Outline, d.Area = outline, area
	return d
}

func TestTheOutlineOfADefectIsListed(t *testing.T) {
	out := compile(t, config.Verdict{}).Judge(answer(turned(40, 9, 1, 17, 9, 9, 17, 1, 9)))
	require.Len(t, out.Defects, 1)
	require.Equal(t, [][2]float32{{9, 1}, {17, 9}, {9, 17}, {1, 9}}, out.Defects[0].Outline)
	require.InDelta(t, 40, out.Defects[0].Area, 0)
	require.Nil(t, compile(t, config.Verdict{}).Judge(answer(at(0, 0.9, 9, 9, 9))).Defects[0].Outline)
}

func TestOneUnbelievableDetectionMakesThePartUnknown(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, d := range map[string]*wire.Detection{
		"NaN score":      at(0, nan, 9, 9, 9),
		"infinite score": at(0, inf, 9, 9, 9),
		"negative score": at(0, -0.1, 9, 9, 9),
		"score over one": at(0, 1.1, 9, 9, 9),
		"NaN box":        at(0, 0.9, nan, 9, 9),
		"infinite box":   at(0, 0.9, 9, inf, 9),
		"inside out":     at(0, 0.9, 9, 9, -9),
		"class too high": at(2, 0.9, 9, 9, 9),
		"negative class": at(-1, 0.9, 9, 9, 9),
		"NaN below all":  {Class: 1, Score: 0, X1: nan},
		"NaN corner":     turned(9, 1, 1, 9, 1, 9, nan),
		"two corners":    turned(9, 1, 1, 9, 1),
		"half a corner":  turned(9, 1, 1, 9, 1, 9, 9, 1),
		"many corners":   turned(9, make([]float32, 2*wire.MaxCorners+2)...),
		"no area":        turned(0, 1, 1, 9, 1, 9, 9),
		"NaN area":       turned(nan, 1, 1, 9, 1, 9, 9),
		"only an area":   turned(9),
	} {
		t.Run(name, func(t *testing.T) {
			out := compile(t, config.Verdict{}).Judge(answer(at(0, 0.9, 9, 9, 9), d))
			require.Equal(t, event.Unknown, out.Verdict)
			require.Equal(t, verdict.ReasonBadOutput, out.Reason)
			require.NotEmpty(t, out.Detail)
			require.Empty(t, out.Defects)
		})
	}
	flood := make([]*wire.Detection, verdict.MaxDetections+1)
	require.Equal(t, event.Unknown, compile(t, config.Verdict{}).Judge(answer(flood...)).Verdict)
}

// Printed text fills the findings that are kept, and an ignored zone takes them all; what was left out may be
// the one defect.
func TestAPartPassesOnlyIfNothingThatWasLeftOutMayCount(t *testing.T) {
	square := [][2]float64{{0, 0}, {100, 0}, {100, 100}, {0, 100}}
	text := config.Verdict{Zones: []config.Zone{{Name: "text", Polygon: square, Ignore: true}}}
	rework := config.Verdict{Zones: []config.Zone{text.Zones[0], {
		Name: "core", Polygon: [][2]float64{{200, 0}, {300, 0}, {300, 100}},
		Classes: map[string]config.ClassRule{"open": {Threshold: new(0.2), Verdict: "rework"}},
	}}}
	ignored := at(0, 0.95, 50, 50, 9)
	for name, c := range map[string]struct {
		cfg     config.Verdict
		found   *wire.Detection
		dropped uint32
		score   float32
		want    event.Verdict
	}{
		"nothing left out":       {text, ignored, 0, 0, event.Pass},
		"one that may count":     {text, ignored, 7, 0.9, event.Unknown},
		"at the least threshold": {text, ignored, 7, 0.5, event.Unknown},
		"none that counts":       {text, ignored, 7, 0.49, event.Pass},
		"least of a zone":        {rework, ignored, 7, 0.2, event.Unknown},
		"below all zones":        {rework, ignored, 7, 0.19, event.Pass},
		"no believable score":    {rework, ignored, 7, float32(math.NaN()), event.Unknown},
		"a defect is one":        {rework, at(0, 0.9, 150, 50, 9), 7, 0.9, event.Fail},
		"also for rework":        {rework, at(0, 0.9, 290, 10, 9), 7, 0.9, event.Rework},
		"nothing ever counts": {
			config.Verdict{Classes: map[string]config.ClassRule{
				"open": {Verdict: "ignore"}, "spur": {Verdict: "ignore"},
			}}, ignored, 7, 1, event.Pass,
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := answer(c.found)
			in.Dropped, in.DroppedScore = c.dropped, c.score
			out := compile(t, c.cfg).Judge(in)
			require.Equal(t, c.want, out.Verdict)
			if c.want != event.Unknown {
				require.Empty(t, out.Reason)
				return
			}
			require.Equal(t, verdict.ReasonBadOutput, out.Reason)
			require.Equal(t, "none of the 1 most certain findings counts, and 7 more, which may, were left "+
				"out: raise max_detections, score_floor or then.most of the bundle, with method compare "+
				"min_area or tolerance", out.Detail)
			require.Empty(t, out.Defects)
		})
	}
}

// A large sheet may have more defects than an event lists.
func TestMoreDefectsThanAResultListsAreCounted(t *testing.T) {
	many := make([]*wire.Detection, verdict.MaxDetections)
	for i := range many {
		many[i] = at(0, 0.9, float32(i), 9, 9)
	}
	out := compile(t, config.Verdict{}).Judge(answer(many...))
	require.Equal(t, event.Fail, out.Verdict)
	require.Len(t, out.Defects, event.MaxDefects)
	require.Equal(t, "10000 defects counted; the 1000 most certain are listed", out.Detail)
	require.Empty(t, compile(t, config.Verdict{}).Judge(answer(many[:event.MaxDefects]...)).Detail)
}

func TestEveryMistakeInTheRulesIsNamedAtOnce(t *testing.T) {
	_, err := verdict.Compile(config.Verdict{
		Classes: map[string]config.ClassRule{"scratch": {}, "open": {Verdict: "maybe"}},
		Zones:   []config.Zone{{Name: "core", Classes: map[string]config.ClassRule{"dent": {}}}},
	}, &bundle.Manifest{Classes: []bundle.Class{{Name: "open"}, {Name: "spur"}}})
	for _, want := range []string{
		`verdict.classes.scratch: the bundle has no class "scratch" (it knows open, spur)`,
		`verdict.classes.open.verdict: verdict "maybe" is none of fail, rework, ignore`,
		`verdict.zones[0].classes.dent: the bundle has no class "dent"`,
	} {
		require.ErrorContains(t, err, want)
	}
}

// Whatever numbers come, an accepted part had no believable defect above the rules and no unbelievable one.
func FuzzJudge(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x3f})
	r := compile(f, config.Verdict{Zones: []config.Zone{
		{Name: "z", Polygon: [][2]float64{{0, 0}, {9, 0}, {9, 9}}, Ignore: true},
	}})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var found []*wire.Detection
		for ; len(raw) >= 24; raw = raw[24:] {
			word := func(i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])) }
			found = append(found, &wire.Detection{
				Class: int32(binary.LittleEndian.Uint32(raw)), Score: word(1),
				X1: word(2), Y1: word(3), X2: word(4), Y2: word(5),
			})
		}
		out := r.Judge(answer(found...))
		require.Equal(t, out.Verdict == event.Unknown, out.Reason != "")
		require.Equal(t, out.Verdict == event.Fail, len(out.Defects) > 0)
		for _, d := range out.Defects {
			for _, v := range d.Box {
				require.False(t, math.IsNaN(float64(v)) || math.IsInf(float64(v), 0))
			}
		}
	})
}

// The centre of a ring's box is in its hole: what is ignored there may not hide the ring.
func TestAnIgnoredZoneHidesAnOutlineOnlyWhenItHoldsAllOfIt(t *testing.T) {
	square := [][2]float64{{0, 0}, {100, 0}, {100, 100}, {0, 100}}
	around := func(x1, y1, x2, y2 float32) *wire.Detection {
		return &wire.Detection{
			Score: 0.9, X1: x1, Y1: y1, X2: x2, Y2: y2, Area: 9,
			Outline: []float32{x1, y1, x2, y1, x2, y2, x1, y2},
		}
	}
	ignored := map[string]config.ClassRule{"open": {Verdict: "ignore"}}
	for name, z := range map[string]config.Zone{
		"zone":  {Name: "hole", Polygon: square, Ignore: true},
		"class": {Name: "hole", Polygon: square, Classes: ignored},
	} {
		r := compile(t, config.Verdict{Zones: []config.Zone{z}})
		for want, found := range map[event.Verdict][]*wire.Detection{
			event.Pass: {around(20, 20, 60, 60), around(0, 0, 100, 100)},
			event.Fail: {around(-50, -50, 150, 150), around(20, 20, 101, 60)},
		} {
			for _, d := range found {
				out := r.Judge(answer(d))
				require.Equal(t, want, out.Verdict, "%s %v", name, d)
				for _, defect := range out.Defects {
					require.Empty(t, defect.Zone)
				}
			}
		}
	}
}

func TestDoubtIsTheDistanceToTheNearestThresholdThatMatters(t *testing.T) {
	small, high := 20.0, 0.9
	rules, err := verdict.Compile(config.Verdict{
		Classes: map[string]config.ClassRule{
			"short": {MinSize: &small}, "spur": {Verdict: config.RuleIgnore},
		},
		Zones: []config.Zone{{
			Name: "strict", Polygon: [][2]float64{{100, 100}, {200, 100}, {200, 200}, {100, 200}},
			Classes: map[string]config.ClassRule{"open": {Threshold: &high}},
		}},
	}, &bundle.Manifest{Classes: []bundle.Class{
		{Name: "open", Threshold: 0.5}, {Name: "short", Threshold: 0.4}, {Name: "spur", Threshold: 0.3},
	}})
	require.NoError(t, err)
	at := func(class int32, score, place, size float32) *wire.Detection {
		return &wire.Detection{
			Class: class, Score: score, X1: place, Y1: place, X2: place + size, Y2: place + size,
		}
	}
	for _, c := range []struct {
		name  string
		found []*wire.Detection
		want  float64
	}{
		{"nothing found", nil, math.Inf(1)},
		{"above", []*wire.Detection{at(0, 0.95, 0, 9), at(0, 0.56, 0, 9)}, 0.06},
		{"below", []*wire.Detection{at(0, 0.95, 0, 9), at(0, 0.46, 0, 9)}, 0.04},
		{"too small to count", []*wire.Detection{at(1, 0.41, 0, 9)}, math.Inf(1)},
		{"large enough", []*wire.Detection{at(1, 0.41, 0, 29)}, 0.01},
		{"ignored", []*wire.Detection{at(2, 0.31, 0, 9)}, math.Inf(1)},
		{"another threshold in a zone", []*wire.Detection{at(0, 0.5, 150, 9)}, 0.4},
		{"no number", []*wire.Detection{at(0, float32(math.NaN()), 0, 9), at(7, 0.5, 0, 9)}, math.Inf(1)},
	} {
		got := float64(rules.Doubt(&wire.Inspected{Detections: c.found}))
		if math.IsInf(c.want, 1) {
			require.Equal(t, c.want, got, c.name)
			continue
		}
		require.InDelta(t, c.want, got, 1e-6, c.name)
	}
}
