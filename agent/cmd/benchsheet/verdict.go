package main

import (
	"fmt"
	"io"

	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
)

// leastIoU of a detection and the defect that it shows, as the DeepPCB paper has it.
const leastIoU = 0.33

// tally counts defects by how often they were found.
type tally struct {
	seeded, once, doubled int
	missed                [][4]float32
	centred               [][4]float32 // of the missed, found in the middle of a tile
}

func (t *tally) add(box [4]float32, times int) {
	t.seeded++
	switch times {
	case 0:
		t.missed = append(t.missed, box)
	case 1:
		t.once++
	default:
		t.doubled++
	}
}

// verdict is what became of one sheet.
type verdict struct {
	report       *report
	seeded       int
	seam, inside tally
}

func (v *verdict) judge(truth []sim.Truth, s seams) {
	found := v.report.Sheets[0].Detections
	for _, t := range truth {
		times := matches(t.Box, found)
		if !s.cut(t.Box) {
			v.inside.add(t.Box, times)
			continue
		}
		v.seam.add(t.Box, times)
	}
}

// matches counts the detections of a defect, of whatever class.
func matches(box [4]float32, found []defect) int {
	n := 0
	for i := range found {
		if detect.IoU(box, found[i].Box) > leastIoU {
			n++
		}
	}
	return n
}

func (v *verdict) ratio() float64 {
	return v.report.Sheets[0].InspectionMs / v.report.Sheets[0].ModelMs
}

func (v *verdict) print(out io.Writer) {
	r := &v.report.Sheets[0]
	say := func(format string, values ...any) { _, _ = fmt.Fprintf(out, format+"\n", values...) }
	say("tiles              %d of %d × %d px, overlap %d", r.Tiles, v.report.Tile[0], v.report.Tile[1],
		v.report.Overlap)
	say("seconds            %.2f from the sheet in memory to its detections; %.2f to read it before",
		r.InspectionMs/1000, r.ReadMs/1000)
	say("model alone        %.2f s, %.2f ms a tile, %d threads", r.ModelMs/1000,
		r.ModelMs/float64(max(r.Tiles, 1)), v.report.Threads)
	say("ratio              %.3f (bar %.1f)", v.ratio(), maxRatio)
	say("peak RSS           %.2f GiB (bar %.1f GiB)", gib(v.report.Peak), gib(maxPeak))
	say("defects            %d seeded, %d detections, %d dropped", v.seeded, len(r.Detections), r.Dropped)
	for _, t := range []struct {
		where string
		tally
	}{{"on seams", v.seam}, {"elsewhere", v.inside}} {
		say("%-18s %d seeded, %d found once, %d doubled, %d missed, %d of them found in the middle of a tile",
			t.where, t.seeded, t.once, t.doubled, len(t.missed), len(t.centred))
	}
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }

// bars returns each bar that was missed.
func (v *verdict) bars() error {
	switch {
	case v.report.Sheets[0].Reason != "":
		return fmt.Errorf("%w: the sheet was not inspected: %s", errBar, v.report.Sheets[0].Reason)
	case v.ratio() > maxRatio:
		return fmt.Errorf("%w: the ratio of times", errBar)
	case v.report.Peak > maxPeak:
		return fmt.Errorf("%w: peak memory", errBar)
	case v.seam.once < v.seam.seeded:
		return fmt.Errorf("%w: of %d defects on seams %d are not found once; the model finds all but %d of "+
			"them in the middle of a tile", errBar, v.seam.seeded, v.seam.seeded-v.seam.once,
			len(v.seam.missed)-len(v.seam.centred))
	}
	return nil
}
