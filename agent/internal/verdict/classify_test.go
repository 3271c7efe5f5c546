package verdict_test

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// kinds are those of a classification: 0 ok and 1 reworked are good, 2 scratch and 3 dust are not.
func kinds(task string) *bundle.Manifest {
	return &bundle.Manifest{Task: task, Classes: []bundle.Class{
		{Name: "ok", Threshold: 0.8, Good: true},
		{Name: "reworked", Threshold: 0.9, Good: true},
		{Name: "scratch", Threshold: 0.5},
		{Name: "dust", Threshold: 0.6},
	}}
}

func classified(tb testing.TB, cfg config.Verdict) *verdict.Rules {
	tb.Helper()
	r, err := verdict.Compile(cfg, kinds(bundle.TaskClassification))
	require.NoError(tb, err)
	return r
}

// whole is a class of the whole frame.
func whole(class int32, score float32) *wire.Detection {
	return &wire.Detection{Class: class, Score: score, X2: 640, Y2: 480}
}

func TestAClassificationPassesByAGoodClassOnly(t *testing.T) {
	none := "no class scores as high as score_floor of the bundle"
	neither := "neither a good class nor a defect reaches its threshold: "
	rule := func(class string, c config.ClassRule) config.Verdict {
		return config.Verdict{Classes: map[string]config.ClassRule{class: c}}
	}
	for name, c := range map[string]struct {
		cfg   config.Verdict
		found []*wire.Detection
		want  event.Verdict
		says  string
	}{
		"good": {found: []*wire.Detection{whole(0, 0.8), whole(2, 0.2)}, want: event.Pass},
		"another good one": {
			found: []*wire.Detection{whole(1, 0.9), whole(0, 0.1)}, want: event.Pass,
		},
		"a defect": {found: []*wire.Detection{whole(2, 0.5), whole(0, 0.5)}, want: event.Fail},
		"a defect beside a good class": {
			found: []*wire.Detection{whole(0, 0.95), whole(3, 0.6)}, want: event.Fail,
		},
		"rework": {
			cfg: rule("dust", config.ClassRule{Verdict: "rework"}), want: event.Rework,
			found: []*wire.Detection{whole(3, 0.7), whole(0, 0.3)},
		},
		"nothing": {want: event.Unknown, says: none},
		"one below": {
			found: []*wire.Detection{whole(0, 0.79)}, want: event.Unknown,
			says: neither + "ok scores 0.790 of 0.800",
		},
		"the two best, in whatever order": {
			found: []*wire.Detection{whole(3, 0.1), whole(2, 0.3), whole(1, 0.2), whole(0, 0.4)},
			want:  event.Unknown, says: neither + "ok scores 0.400 of 0.800, scratch scores 0.300 of 0.500",
		},
		"a stricter good class": {
			cfg: rule("ok", config.ClassRule{Threshold: new(0.99)}), want: event.Unknown,
			found: []*wire.Detection{whole(0, 0.98)}, says: neither + "ok scores 0.980 of 0.990",
		},
		"a defect that is ignored is not good": {
			cfg: rule("dust", config.ClassRule{Verdict: "ignore"}), want: event.Unknown,
			found: []*wire.Detection{whole(3, 0.97), whole(0, 0.03)},
			says:  neither + "dust scores 0.970 of 0.600, ok scores 0.030 of 0.800",
		},
		"and does not forbid": {
			cfg: rule("dust", config.ClassRule{Verdict: "ignore"}), want: event.Pass,
			found: []*wire.Detection{whole(3, 0.97), whole(0, 0.9)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out := classified(t, c.cfg).Judge(answer(c.found...))
			require.Equal(t, c.want, out.Verdict)
			require.Equal(t, c.says, out.Detail)
			if c.want == event.Unknown {
				require.Equal(t, verdict.ReasonUnsure, out.Reason)
				require.Empty(t, out.Defects)
			}
			for _, d := range out.Defects {
				require.NotContains(t, []string{"ok", "reworked"}, d.Class)
			}
		})
	}
}

// The longest names that a bundle may have leave the detail as long as an event has room for.
func TestTheDetailOfLongNamesFitsAnEvent(t *testing.T) {
	m := kinds(bundle.TaskClassification)
	for i := range m.Classes {
		m.Classes[i].Name = strings.Repeat("é", 63) + string(rune('a'+i))
	}
	r, err := verdict.Compile(config.Verdict{}, m)
	require.NoError(t, err)
	detail := r.Judge(answer(whole(0, 0.2), whole(2, 0.2))).Detail
	require.LessOrEqual(t, len([]rune(detail)), 300)
}

func TestAGoodClassNeverCountsAsADefect(t *testing.T) {
	r, err := verdict.Compile(config.Verdict{Zones: []config.Zone{{
		Name: "core", Polygon: [][2]float64{{0, 0}, {700, 0}, {700, 700}, {0, 700}},
		Classes: map[string]config.ClassRule{"ok": {Threshold: new(0.1)}},
	}}}, kinds(bundle.TaskDetection))
	require.NoError(t, err)
	out := r.Judge(answer(whole(0, 1), whole(1, 1)))
	require.Equal(t, event.Pass, out.Verdict)
	require.Empty(t, out.Defects)
	require.Equal(t, event.Fail, r.Judge(answer(whole(0, 1), whole(2, 0.5))).Verdict)
	require.Equal(t, event.Pass, r.Judge(answer()).Verdict, "of a detection, where nothing is found")
}

// The middle of the frame may lie in a zone that is ignored; an image that is unusual, nobody knows where,
// does not.
func TestAnAnomalyOfTheWholeImageIsInNoZone(t *testing.T) {
	r, err := verdict.Compile(config.Verdict{Zones: []config.Zone{{
		Name: "text", Polygon: [][2]float64{{0, 0}, {640, 0}, {640, 480}, {0, 480}}, Ignore: true,
	}}}, &bundle.Manifest{
		Task: bundle.TaskAnomaly, Classes: []bundle.Class{{Name: "anomaly", Threshold: 0.5}},
	})
	require.NoError(t, err)
	require.Equal(t, event.Fail, r.Judge(answer(whole(0, 0.5))).Verdict)
	require.Equal(t, event.Pass, r.Judge(answer(whole(0, 0.49))).Verdict)
	require.Equal(t, event.Pass, r.Judge(answer(turned(40, 9, 1, 17, 9, 9, 17, 1, 9))).Verdict)
}

func TestRulesThatAGoodClassOrAWholeFrameCannotHaveAreNamed(t *testing.T) {
	cfg := config.Verdict{
		MinSize: 4,
		Classes: map[string]config.ClassRule{
			"ok": {Verdict: "fail"}, "dust": {MinSize: new(3.0), Verdict: "ignore"},
		},
		Zones: []config.Zone{{Name: "core", Classes: map[string]config.ClassRule{
			"reworked": {Verdict: "ignore"},
		}}},
	}
	good := []string{
		`verdict.classes.ok.verdict: class "ok" is good: it is no defect (leave verdict out, or good out ` +
			`of the bundle)`,
		`verdict.zones[0].classes.reworked.verdict: class "reworked" is good`,
	}
	places := []string{
		"verdict.min_size: the bundle classifies the frame as a whole (leave it out)",
		"verdict.classes.dust.min_size: ", "verdict.zones: ",
	}
	_, err := verdict.Compile(cfg, kinds(bundle.TaskClassification))
	for _, want := range append(good, places...) {
		require.ErrorContains(t, err, want)
	}
	_, err = verdict.Compile(cfg, kinds(bundle.TaskDetection))
	for _, want := range good {
		require.ErrorContains(t, err, want)
	}
	for _, want := range places {
		require.NotContains(t, err.Error(), want)
	}
}

// Whatever numbers come: an accepted part is of a good class, and of no other that counts.
func FuzzClassify(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0x80, 0x3f, 2, 0, 0, 0, 0, 0, 0, 0x3e})
	r := classified(f, config.Verdict{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var found []*wire.Detection
		for ; len(raw) >= 8; raw = raw[8:] {
			score := math.Float32frombits(binary.LittleEndian.Uint32(raw[4:]))
			found = append(found, whole(int32(binary.LittleEndian.Uint32(raw)), score))
		}
		good, bad := false, false
		for _, d := range found {
			good = good || d.Class == 0 && d.Score >= 0.8 || d.Class == 1 && d.Score >= 0.9
			bad = bad || d.Class == 2 && d.Score >= 0.5 || d.Class == 3 && d.Score >= 0.6
		}
		out := r.Judge(answer(found...))
		switch out.Verdict {
		case event.Pass:
			require.True(t, good && !bad)
		case event.Fail:
			require.True(t, bad)
		default:
			require.NotEmpty(t, out.Reason)
			require.NotEmpty(t, out.Detail)
		}
	})
}
