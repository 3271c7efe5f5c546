package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

// tally counts defects by what became of them.
type tally struct {
	seeded  int
	became  [kinds]int
	again   []int // by their number, those that were not found once
	centred int   // of these, found once in the middle of a tile
}

func (t *tally) add(number int, o outcome) {
	t.seeded++
	t.became[o]++
	if o != once {
		t.again = append(t.again, number)
	}
}

// verdict is what became of one sheet.
type verdict struct {
	report       *report
	bareMs       float64 // one run of the model in a loop of nothing else
	truth        []sim.Truth
	seam, inside tally
	strays       int // detections of no defect
}

func (v *verdict) judge(s seams) {
	became, strays := outcomes(v.truth, v.report.Sheets[0].Detections)
	v.strays = strays
	for i, o := range became {
		if s.cut(v.truth[i].Box) {
			v.seam.add(i, o)
		} else {
			v.inside.add(i, o)
		}
	}
}

// alone is what the tiles take where nothing but the model runs.
func (v *verdict) alone() float64 { return float64(v.report.Sheets[0].Tiles) * v.bareMs }

func (v *verdict) ratio() float64 { return v.report.Sheets[0].InspectionMs / v.alone() }

func (v *verdict) print(out io.Writer) {
	r := &v.report.Sheets[0]
	say := func(format string, values ...any) { _, _ = fmt.Fprintf(out, format+"\n", values...) }
	say("tiles              %d of %d × %d px, overlap %d", r.Tiles, v.report.Tile[0], v.report.Tile[1],
		v.report.Overlap)
	say("seconds            %.2f from the sheet in memory to its detections; %.2f to read it before",
		r.InspectionMs/1000, r.ReadMs/1000)
	say("model alone        %.2f s, %.2f ms a tile in a loop of nothing else, %d threads", v.alone()/1000,
		v.bareMs, v.report.Threads)
	say("ratio              %.3f (bar %.1f)", v.ratio(), maxRatio)
	say("model beside       %.2f s, %.2f ms a tile, side by side and while others are made ready",
		r.ModelMs/1000, r.ModelMs/float64(max(r.Tiles, 1)))
	say("peak RSS           %.2f GiB (bar %.1f GiB)", gib(v.report.Peak), gib(maxPeak))
	say("defects            %d seeded, %d detections, %d of them of no defect, %d dropped", len(v.truth),
		len(r.Detections), v.strays, r.Dropped)
	for _, t := range []struct {
		where string
		tally
	}{{"on seams", v.seam}, {"elsewhere", v.inside}} {
		say("%-18s %d seeded, %d found once, %d doubled, %d cut, %d of another class, %d missed", t.where,
			t.seeded, t.became[once], t.became[doubled], t.became[cut], t.became[misnamed], t.became[missed])
		say("%-18s %d of the other %d are found once in the middle of a tile", "", t.centred, len(t.again))
	}
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }

// bars returns each bar that was missed.
func (v *verdict) bars() error {
	var errs []error
	miss := func(format string, values ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{errBar}, values...)...))
	}
	if !(v.ratio() <= maxRatio) {
		miss("the ratio of times")
	}
	if v.report.Peak > maxPeak {
		miss("peak memory")
	}
	if v.seam.seeded == 0 {
		miss("no defect lies on a seam, so nothing is known of these: take more -defects or a larger -side")
	}
	if lost := len(v.seam.again); lost > 0 {
		miss("of %d defects on seams %d are not found once; in the middle of a tile the model finds all "+
			"but %d of them once", v.seam.seeded, lost, lost-v.seam.centred)
	}
	return errors.Join(errs...)
}
