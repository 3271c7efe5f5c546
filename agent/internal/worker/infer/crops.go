package infer

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// dismissed is the class of a finding whose measures are all within their limits.
const dismissed = -1

// mostSaid is how many defects of one finding are kept, as many as there may be measures: of more the part is
// not believed to be good.
const mostSaid = 16

// crops is a second model, which sees what the first one found: boxes, cut out of the frame. One goroutine at
// a time.
type crops struct {
	session *Session
	own     []bundle.Class // of the first model
	asked   []bool         // by class of the first model: its boxes are looked at
	classes []bundle.Class // of the second model
	margin  float32
	most    int // crops of one frame

	measures []bundle.Measure // nil: it classifies
	limits   []int            // by measure its class among those of the second model; -1: it has no limits
	limited  bool             // any of them has
	values   []float32        // memory of the results' measures
	used     int              // of values

	extra []extra              // defects beyond the first of each finding
	found [][]detect.Detection // by image, where there are such ones: memory of the results

	whole    [1]Result   // of judgeFrame
	part     frame.Frame // that is fitted
	canvases []*tensor.Canvas
	waiting  []crop // what the first canvases hold
}

// crop is where a crop comes from: a finding of one of the images.
type crop struct{ image, finding int }

// extra is a defect more than one of a finding of one of the images.
type extra struct {
	image int
	found detect.Detection
}

// newCrops makes the second model's part of a session that takes so many frames at once.
func newCrops(m *bundle.Manifest, s *Session, frames int) *crops {
	first := m.First()
	c := &crops{
		session: s, own: first.Classes, classes: m.Then.Classes, margin: float32(m.Then.Margin),
		most: m.Then.Most, waiting: make([]crop, 0, s.Images()), measures: m.Then.Decoder.Measures,
		found: make([][]detect.Detection, frames),
	}
	c.values = make([]float32, frames*c.most*len(c.measures))
	for i := range c.measures {
		c.limits = append(c.limits, -1)
		if c.measures[i].Limited() {
			c.limits[i] = slices.IndexFunc(c.classes, func(class bundle.Class) bool {
				return class.Name == c.measures[i].Name
			})
			c.limited = true
		}
	}
	for _, class := range first.Classes {
		c.asked = append(c.asked, slices.Contains(m.Then.Of, class.Name))
	}
	for range s.Images() {
		c.canvases = append(c.canvases, tensor.NewCropCanvas(s.Plan))
	}
	return c
}

// judge shows the second model what was found in the frames that the canvases hold, as many crops in one run
// as it takes, and changes the results as it says. A crop that cannot be judged fails its image.
func (c *crops) judge(canvases []*tensor.Canvas, results []Result, deadlineNs int64) {
	c.used, c.extra = 0, c.extra[:0]
	for i, canvas := range canvases {
		c.show(canvas.Frame(), results, i, deadlineNs)
	}
	c.end(results, deadlineNs)
}

// judgeFrame is judge for one frame, which no canvas holds as a whole.
func (c *crops) judgeFrame(f *frame.Frame, r *Result, deadlineNs int64) {
	c.used, c.extra, c.whole[0] = 0, c.extra[:0], *r
	c.show(f, c.whole[:], 0, deadlineNs)
	c.end(c.whole[:], deadlineNs)
	*r = c.whole[0]
}

// end shows the last crops, and leaves what stays of the findings.
func (c *crops) end(results []Result, deadlineNs int64) {
	c.run(results, deadlineNs)
	for i := range results {
		if r := &results[i]; r.Err != nil {
			r.Detections = nil
		} else {
			r.Detections = left(c.joined(i, r.Detections))
		}
	}
}

// joined is what was found in an image, with the defects beyond the first of each finding.
func (c *crops) joined(image int, found []detect.Detection) []detect.Detection {
	if !slices.ContainsFunc(c.extra, func(e extra) bool { return e.image == image }) {
		return found
	}
	all := &c.found[image]
	*all = append((*all)[:0], found...)
	for i := range c.extra {
		if c.extra[i].image == image {
			*all = append(*all, c.extra[i].found)
		}
	}
	return *all
}

// show cuts out what was found in one image. Beyond the most crops a finding stays as it is, and counts as
// one that was left out: nobody knows which class it would be of.
func (c *crops) show(f *frame.Frame, results []Result, image int, deadlineNs int64) {
	r, room := &results[image], c.most
	for n := range r.Detections {
		d := &r.Detections[n]
		if r.Err != nil {
			return
		}
		if !c.wanted(d) {
			continue
		}
		if room == 0 {
			r.Cut.Add(detect.Cut{Count: 1, Score: 1})
			continue
		}
		room--
		c.cut(f, r, crop{image, n})
		if len(c.waiting) == len(c.canvases) {
			c.run(results, deadlineNs)
		}
	}
}

// wanted says whether the second model sees a finding.
func (c *crops) wanted(d *detect.Detection) bool {
	return c.asked[d.Class] && d.Score >= float32(c.own[d.Class].Threshold)
}

// cut puts one crop into the next canvas.
func (c *crops) cut(f *frame.Frame, r *Result, from crop) {
	start := monotime.Now()
	c.part = c.around(f, r.Detections[from.finding].Box)
	if err := c.canvases[len(c.waiting)].Fit(&c.part); err != nil {
		r.Err = fmt.Errorf("%w: crop: %w", ErrRun, err)
		return
	}
	c.waiting = append(c.waiting, from)
	r.FillNs += monotime.Now() - start
}

// around is the part of a frame that holds all of a box and its margin, as far as the frame has it.
func (c *crops) around(f *frame.Frame, box [4]float32) frame.Frame {
	x, width := span(box[0], box[2], c.margin, f.Width)
	y, height := span(box[1], box[3], c.margin, f.Height)
	return f.Part(x, y, width, height)
}

// span is the first whole pixel between from and to, widened by a margin, and how many there are: at least
// one.
func span(from, to, margin float32, side int) (first, length int) {
	more := (to - from) * margin
	first = min(max(int(math.Floor(float64(from-more))), 0), side-1)
	last := min(max(int(math.Ceil(float64(to+more))), first+1), side)
	return first, last - first
}

// run asks the second model about the crops that wait.
func (c *crops) run(results []Result, deadlineNs int64) {
	if len(c.waiting) == 0 {
		return
	}
	answers := c.session.Infer(c.canvases[:len(c.waiting)], deadlineNs)
	for i, from := range c.waiting {
		r, answer := &results[from.image], &answers[i]
		r.FillNs, r.InferenceNs = r.FillNs+answer.FillNs, r.InferenceNs+answer.InferenceNs
		r.DecodeNs += answer.DecodeNs
		switch {
		case r.Err != nil:
		case answer.Err != nil:
			r.Err = fmt.Errorf("second model: %w", answer.Err)
		case c.measures != nil:
			c.measured(r, from, answer.Detections[0].Measures)
		default:
			c.believe(r, from, answer.Detections)
		}
	}
	c.waiting = c.waiting[:0]
}

// believe takes what the second model is sure of: defects before all that is good, as with a classification
// of the whole frame. What is good has its good class, which never counts. Of what the second model is not
// sure it says nothing.
func (c *crops) believe(r *Result, from crop, answer []detect.Detection) {
	defects, good := 0, -1
	for i, said := range answer {
		class := &c.classes[said.Class]
		switch {
		case said.Score < float32(class.Threshold):
		case !class.Good:
			c.defect(r, from, defects, said.Class, said.Score)
			defects++
		case good < 0:
			good = i
		}
	}
	if d := &r.Detections[from.finding]; defects == 0 && good >= 0 {
		d.Class, d.Score = len(c.own)+answer[good].Class, answer[good].Score
	}
}

// measured adds what was measured to a finding: a defect of each measure that is beyond its limits, and none
// when all are within theirs.
func (c *crops) measured(r *Result, from crop, values []float32) {
	d := &r.Detections[from.finding]
	d.Measures = c.values[c.used:][:len(values):len(values)]
	c.used += copy(d.Measures, values)
	defects := 0
	for i, value := range values {
		if !c.measures[i].Within(value) {
			c.defect(r, from, defects, c.limits[i], d.Score)
			defects++
		}
	}
	if defects == 0 && c.limited {
		d.Class = dismissed
	}
}

// defect makes a finding a defect of a class of the second model. The nth one of the same finding, from 1, is
// a finding of its own: a station may ignore the class of one and not that of another.
func (c *crops) defect(r *Result, from crop, nth, class int, score float32) {
	d := &r.Detections[from.finding]
	switch {
	case nth == 0:
		d.Class, d.Score = len(c.own)+class, score
	case nth < mostSaid:
		more := *d
		more.Class, more.Score = len(c.own)+class, score
		c.extra = append(c.extra, extra{from.image, more})
	default:
		r.Cut.Add(detect.Cut{Count: 1, Score: score})
	}
}

// left are the findings that were not dismissed, in the order of their scores.
func left(found []detect.Detection) []detect.Detection {
	found = slices.DeleteFunc(found, func(d detect.Detection) bool { return d.Class == dismissed })
	slices.SortStableFunc(found, func(a, b detect.Detection) int { return cmp.Compare(b.Score, a.Score) })
	return found
}

func (c *crops) close() error {
	if c == nil {
		return nil
	}
	for _, canvas := range c.canvases {
		canvas.Close()
	}
	return c.session.Close()
}
