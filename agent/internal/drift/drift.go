// Package drift tells when what a station sees is no longer what its model was released for: the scores of
// the parts that pass, and the light, contrast and sharpness of their frames, over the last parts, beside the
// reference of the bundle. It is pure logic: it starts no goroutine and reads no clock.
package drift

import (
	"math"
	"strings"

	"github.com/sightline-edge/sightline/models/bundle"
)

// The signals, as metrics name them.
const (
	Scores     = "scores"
	Brightness = "brightness"
	Contrast   = "contrast"
	Sharpness  = "sharpness"
)

const (
	window = 200 // parts that are looked back at
	least  = 50  // of them, before anything is said
	// shifted is the population stability index from which a distribution is taken for another one: the
	// usual limit.
	shifted = 0.25
	// deviations of single images by which the mean of many may lie off the reference's. Of a line with two
	// products that differ in it, a batch of one of them lies off by 1.
	deviations = 1.5
	// grayFloor is the least deviation of brightness and contrast, in grays.
	grayFloor = 4
	// sharpFloor is that of sharpness, as part of its mean, and finest in grays: noise varies by itself.
	sharpFloor, finest = 0.1, 0.5
	// calm is the level below which a signal that was over its limit is no longer told of.
	calm = 0.8
)

// Seen is one part.
type Seen struct {
	Passed bool
	Score  float64 // the highest of a defect, 0 to 1; 0: nothing was found
	Looked bool    // what the frame looks like is known
	// Of the frame's grays, 0 to 255. A dead lamp makes all of them 0.
	Mean, Deviation, Sharpness float64
}

// Level is one signal. From 1 up it is over its limit.
type Level struct {
	Signal string
	Value  float64
}

// Watch compares the last parts with one reference. Not safe for concurrent use.
type Watch struct {
	reference *bundle.Reference
	passed    []int // tenths of the scores of the last parts that passed, the oldest at next
	next      int
	scores    [bundle.ReferenceBins]int // of passed
	inputs    [3]ring
	signals   [4]signal
}

// signal is what is said of one.
type signal struct {
	name  string
	level float64 // NaN: not enough parts
	side  float64 // below or above the reference
	told  bool
}

// New makes a watch that has seen nothing. The reference has images.
func New(r *bundle.Reference) *Watch {
	w := &Watch{reference: r, passed: make([]int, 0, window)}
	for i, name := range []string{Scores, Brightness, Contrast, Sharpness} {
		w.signals[i] = signal{name: name, level: math.NaN()}
	}
	for i := range w.inputs {
		w.inputs[i].values = make([]float64, 0, window)
	}
	return w
}

// Of is the reference that it compares with.
func (w *Watch) Of() *bundle.Reference { return w.reference }

// Add takes the next part, and says whether Sentence has news.
func (w *Watch) Add(s Seen) bool {
	if s.Passed {
		w.score(s.Score)
	}
	if s.Looked {
		r := w.reference
		for i, c := range []struct {
			value float64
			was   bundle.Spread
			floor float64
		}{
			{s.Mean, r.Brightness, grayFloor},
			{s.Deviation, r.Contrast, grayFloor},
			{s.Sharpness, r.Sharpness, max(sharpFloor*r.Sharpness.Mean, finest)},
		} {
			w.inputs[i].add(c.value)
			w.signals[1+i].shift(&w.inputs[i], c.was, c.floor)
		}
	}
	news := false
	for i := range w.signals {
		news = w.signals[i].judge() || news
	}
	return news
}

func (w *Watch) score(score float64) {
	bin := Bin(score)
	if len(w.passed) < window {
		w.passed = append(w.passed, bin)
	} else {
		w.scores[w.passed[w.next]]--
		w.passed[w.next] = bin
		w.next = (w.next + 1) % window
	}
	w.scores[bin]++
	if len(w.passed) >= least {
		w.signals[0].level = stability(w.reference.Scores, w.scores[:]) / shifted
	}
}

// Bin is the tenth of 0 to 1 that a score lies in.
func Bin(score float64) int {
	if !(score > 0) { // also NaN
		return 0
	}
	return min(int(score*bundle.ReferenceBins), bundle.ReferenceBins-1)
}

// stability is the population stability index of two histograms with the same bins, sum of (q − p) ln(q/p),
// with half an item more in each bin, so that none is empty. Two samples of one distribution differ, too:
// what is to be expected of that, (bins − 1)(1/n + 1/m), is taken off (Yurdakul, Naranjo: Statistical
// properties of the population stability index, 2020).
func stability(was, is []int) float64 {
	var m, n float64
	for i := range was {
		m, n = m+float64(was[i]), n+float64(is[i])
	}
	index, bins := 0.0, 0.0
	for i := range was {
		if was[i]+is[i] == 0 {
			continue
		}
		bins++
		p, q := (float64(was[i])+0.5)/(m+0.5*float64(len(was))), (float64(is[i])+0.5)/(n+0.5*float64(len(is)))
		index += (q - p) * math.Log(q/p)
	}
	return max(index-(bins-1)*(1/n+1/m), 0)
}

// shift is how far the mean of the last parts lies from that of the reference.
func (s *signal) shift(r *ring, was bundle.Spread, floor float64) {
	if len(r.values) < least {
		return
	}
	s.side = r.mean() - was.Mean
	s.level = math.Abs(s.side) / (deviations * max(was.Deviation, floor))
}

// judge says whether there is news: what is told is only taken back some way below the limit.
func (s *signal) judge() bool {
	was := s.told
	s.told = s.level >= 1 || was && s.level >= calm
	return s.told != was
}

// Levels are the signals of which enough was seen.
func (w *Watch) Levels() []Level {
	var all []Level
	for _, s := range w.signals {
		if !math.IsNaN(s.level) {
			all = append(all, Level{s.name, s.level})
		}
	}
	return all
}

// Sentence says for an operator what has drifted, and where to look; empty: nothing.
func (w *Watch) Sentence() string {
	var said []string
	for i := range w.signals {
		if s := &w.signals[i]; s.told {
			said = append(said, s.says())
		}
	}
	if len(said) == 0 {
		return ""
	}
	return strings.Join(said, "; ")
}

func (s *signal) says() string {
	more := s.side > 0
	switch s.name {
	case Brightness:
		if more {
			return "frames are brighter than the model's reference: check light and exposure"
		}
		return "frames are darker than the model's reference: check light and exposure"
	case Contrast:
		if more {
			return "frames have more contrast than the model's reference: check light and exposure"
		}
		return "frames have less contrast than the model's reference: check light and lens"
	case Sharpness:
		if more {
			return "frames are sharper or noisier than the model's reference: check gain and focus"
		}
		return "frames are less sharp than the model's reference: check focus, lens and vibration"
	default:
		return "good parts score otherwise than in the model's reference: look at the samples, the product " +
			"or the process may have changed"
	}
}

// ring holds the last numbers.
type ring struct {
	values []float64
	next   int
}

func (r *ring) add(v float64) {
	if len(r.values) < window {
		r.values = append(r.values, v)
		return
	}
	r.values[r.next] = v
	r.next = (r.next + 1) % window
}

func (r *ring) mean() float64 {
	sum := 0.0
	for _, v := range r.values {
		sum += v
	}
	return sum / float64(len(r.values))
}
