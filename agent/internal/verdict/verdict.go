// Package verdict turns the detections of one part into its verdict, by the station's rules: thresholds and
// minimum sizes for each class, zones, and what a class means.
package verdict

import (
	"fmt"
	"math"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

// MaxDetections bounds the detections of one frame, those of a large sheet in tiles: more are no finding but
// a broken worker.
const MaxDetections = 10_000

// minCorners of an outline.
const minCorners = 3

// ReasonBadOutput is the reason of an UNKNOWN whose detections cannot be believed, or are too many to have
// all been looked at.
const ReasonBadOutput = "bad_output"

// ReasonUnsure is the reason of an UNKNOWN whose model knows neither a good part nor a defect in it.
const ReasonUnsure = "unsure"

// Outcome is what a part ends in. Reason is set for UNKNOWN only; Detail then, and when not all defects are
// listed.
type Outcome struct {
	Verdict event.Verdict
	Reason  string
	Detail  string
	Defects []event.Defect // what counted, in the order of the detections; never nil
}

// Unknown is the outcome of a part that nobody could judge.
func Unknown(reason, detail string) Outcome {
	return Outcome{Verdict: event.Unknown, Reason: reason, Detail: detail, Defects: []event.Defect{}}
}

// Rules are a station's, compiled against its bundle. Safe for concurrent use.
type Rules struct {
	task  string   // of the bundle
	names []string // classes, in the order of the model's outputs
	own   int      // of them the first model's, before those of a second one
	plain []rule   // by class, outside of all zones
	zones []zone

	measures []event.Measure // of the second model, without values
}

// rule is what one class means at one place.
type rule struct {
	threshold, minSize float32
	verdict            event.Verdict // empty: ignored, or good
	good               bool          // lets a part of a classification pass
}

type zone struct {
	name    string
	polygon [][2]float64
	rules   []rule // by class
}

// Classes returns the names in the order of the model's outputs. Not to be changed.
func (r *Rules) Classes() []string { return r.names }

// Class names a class, also one that the model has no right to know.
func (r *Rules) Class(i int32) string {
	if i < 0 || int(i) >= len(r.names) {
		return "unknown"
	}
	return r.names[i]
}

// Judge gives the verdict: FAIL over REWORK over PASS, and UNKNOWN when one detection is not finite, out of
// range or of no known class, since then none of them can be believed. A part of which nothing counts is
// UNKNOWN, too, when the worker kept back findings that may, and, of a classification, when it is of no good
// class.
func (r *Rules) Judge(answer *wire.Inspected) Outcome {
	found := answer.GetDetections()
	if len(found) > MaxDetections {
		return Unknown(ReasonBadOutput, "more detections than a model may give")
	}
	out := Outcome{Verdict: event.Pass, Defects: make([]event.Defect, 0, len(found))}
	for _, d := range found {
		if fault := r.distrust(d); fault != "" {
			return Unknown(ReasonBadOutput, fault)
		}
		meant, where := r.at(d)
		if !meant.counts(d) {
			continue
		}
		out.Verdict = graver(out.Verdict, meant.verdict)
		out.Defects = append(out.Defects, event.Defect{
			Class: r.names[d.Class], Score: d.Score, Box: [4]float32{d.X1, d.Y1, d.X2, d.Y2}, Zone: where,
			Outline: wire.Points(d.GetOutline()), Area: d.GetArea(), Measures: r.measured(d.GetMeasures()),
		})
	}
	if out.Verdict == event.Pass && r.hidden(answer) {
		return Unknown(ReasonBadOutput, fmt.Sprintf("none of the %d most certain findings counts, and %d "+
			"more, which may, were left out: raise max_detections, score_floor or then.most of the "+
			"bundle, with method compare min_area or tolerance", len(found), answer.GetDropped()))
	}
	if out.Verdict == event.Pass && r.task == bundle.TaskClassification && !r.isGood(found) {
		return Unknown(ReasonUnsure, r.unsure(found))
	}
	if n := len(out.Defects); n > event.MaxDefects {
		out.Defects = out.Defects[:event.MaxDefects]
		out.Detail = fmt.Sprintf("%d defects counted; the %d most certain are listed", n, event.MaxDefects)
	}
	return out
}

// hidden says whether one of the findings that the worker left out may count.
func (r *Rules) hidden(answer *wire.Inspected) bool {
	return answer.GetDropped() > 0 && !(answer.GetDroppedScore() < r.least()) // also NaN
}

// least is the lowest score with which anything counts anywhere; infinite when nothing does.
func (r *Rules) least() float32 {
	least := float32(math.Inf(1))
	take := func(rules []rule) {
		for _, u := range rules {
			if u.verdict != "" {
				least = min(least, u.threshold)
			}
		}
	}
	take(r.plain)
	for i := range r.zones {
		take(r.zones[i].rules)
	}
	return least
}

// distrust returns why a detection cannot be believed, or "".
func (r *Rules) distrust(d *wire.Detection) string {
	switch {
	case d.Class < 0 || int(d.Class) >= len(r.names):
		return "a detection of a class that the bundle does not have"
	case !(d.Score >= 0 && d.Score <= 1): // also NaN
		return "a score that is not between 0 and 1"
	}
	if !finite(d.X1, d.Y1, d.X2, d.Y2) {
		return "a box that is not finite"
	}
	if d.X2 < d.X1 || d.Y2 < d.Y1 {
		return "a box that is turned inside out"
	}
	if n := len(d.GetMeasures()); n != 0 && n != len(r.measures) || !finite(d.GetMeasures()...) {
		return "measures that are not finite or not the bundle's"
	}
	return distrustOutline(d)
}

// distrustOutline returns why an outline cannot be believed, or "".
func distrustOutline(d *wire.Detection) string {
	switch n := len(d.GetOutline()); {
	case n == 0 && d.GetArea() == 0:
		return ""
	case n%2 != 0 || n < 2*minCorners || n > 2*wire.MaxCorners:
		return "an outline of an impossible number of corners"
	case !finite(d.GetOutline()...) || !finite(d.GetArea()) || d.GetArea() <= 0:
		return "an outline that is not finite or holds nothing"
	}
	return ""
}

func finite(values ...float32) bool {
	for _, v := range values {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
	}
	return true
}

// at finds the rule for a detection: that of the first zone which holds the centre of its box, else the plain
// one. A zone that ignores it must hold its whole outline, if it has one: the centre of a ring or of a large
// part says nothing of the rest. An anomaly without an outline is the whole image's, and in no zone.
func (r *Rules) at(d *wire.Detection) (rule, string) {
	if r.task == bundle.TaskAnomaly && len(d.GetOutline()) == 0 {
		return r.plain[d.Class], ""
	}
	x, y := (float64(d.X1)+float64(d.X2))/2, (float64(d.Y1)+float64(d.Y2))/2
	for i := range r.zones {
		z := &r.zones[i]
		if !inside(z.polygon, x, y) || z.rules[d.Class].verdict == "" && !z.holds(d.GetOutline()) {
			continue
		}
		return z.rules[d.Class], z.name
	}
	return r.plain[d.Class], ""
}

func (u rule) counts(d *wire.Detection) bool {
	return u.verdict != "" && d.Score >= u.threshold && max(d.X2-d.X1, d.Y2-d.Y1) >= u.minSize
}

func graver(a, b event.Verdict) event.Verdict {
	if a == event.Fail || b == event.Pass {
		return a
	}
	return b
}

// holds says whether all corners x, y of an outline lie in the zone or on its border.
func (z *zone) holds(outline []float32) bool {
	for i := 0; i+1 < len(outline); i += 2 {
		x, y := float64(outline[i]), float64(outline[i+1])
		if !inside(z.polygon, x, y) && !onBorder(z.polygon, x, y) {
			return false
		}
	}
	return true
}

// onBorder says whether a point lies on a side: outlines are clipped to the frame, as zones may be.
func onBorder(polygon [][2]float64, x, y float64) bool {
	q := polygon[len(polygon)-1]
	for _, p := range polygon {
		turn := (q[0]-p[0])*(y-p[1]) - (q[1]-p[1])*(x-p[0])
		if turn == 0 && x >= min(p[0], q[0]) && x <= max(p[0], q[0]) && y >= min(p[1], q[1]) &&
			y <= max(p[1], q[1]) {
			return true
		}
		q = p
	}
	return false
}

// inside is the even-odd rule: a ray to the right crosses the outline an odd number of times.
func inside(polygon [][2]float64, x, y float64) bool {
	in := false
	j := len(polygon) - 1
	for i, p := range polygon {
		q := polygon[j]
		if (p[1] > y) != (q[1] > y) && x < (q[0]-p[0])*(y-p[1])/(q[1]-p[1])+p[0] {
			in = !in
		}
		j = i
	}
	return in
}
