package infer

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// ErrGolden is wrapped when a bundle runs here, but not as its maker saw it run.
var ErrGolden = errors.New("golden sample differs")

const blankSide = 64

// prove runs all golden samples, or a blank frame, each as often in one run as a batch has images.
func (s *Session) prove() error {
	canvas := tensor.NewCanvas(s.Plan)
	defer canvas.Close()
	if len(s.Bundle.Manifest.Golden.Samples) == 0 {
		return s.proveBlank(canvas)
	}
	for _, sample := range s.Bundle.Manifest.Golden.Samples {
		if err := s.proveSample(canvas, sample); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) proveBlank(canvas *tensor.Canvas) error {
	blank := &frame.Frame{}
	if err := blank.Shape(blankSide, blankSide, 1); err != nil {
		return fmt.Errorf("make blank frame: %w", err)
	}
	defer blank.Release()
	if err := canvas.Fit(blank); err != nil {
		return err
	}
	if s.Plan.Template() {
		copy(canvas.Template(), canvas.Plane())
	}
	for _, r := range s.Infer(slices.Repeat([]*tensor.Canvas{canvas}, s.images), 0) {
		if r.Err != nil && !errors.Is(r.Err, decode.ErrOutput) { // nobody vouches for a blank frame
			return fmt.Errorf("first run: %w", r.Err)
		}
	}
	return nil
}

func (s *Session) proveSample(canvas *tensor.Canvas, sample bundle.GoldenSample) error {
	expected, err := s.Bundle.Expected(sample)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGolden, err)
	}
	release, err := s.show(canvas, sample)
	if err != nil {
		return err
	}
	defer release()
	for i, result := range s.Infer(slices.Repeat([]*tensor.Canvas{canvas}, s.images), 0) {
		if errors.Is(result.Err, decode.ErrOutput) {
			return fmt.Errorf("%w: %s on %s: %w", ErrGolden, sample.Image, s.Provider, result.Err)
		}
		if result.Err != nil {
			return fmt.Errorf("run golden sample %s: %w", sample.Image, result.Err)
		}
		if difference := s.compare(result.Detections, expected); difference != "" {
			return fmt.Errorf("%w: %s on %s, image %d of %d: %s", ErrGolden, sample.Image, s.Provider, i+1,
				s.images, difference)
		}
	}
	return s.proveCrops(canvas, sample.Image)
}

// show puts a sample on the canvas. Its picture is released behind the run: the canvas may refer to it.
func (s *Session) show(canvas *tensor.Canvas, sample bundle.GoldenSample) (release func(), err error) {
	picture, err := s.picture(sample.Image)
	if err != nil {
		return nil, err
	}
	if err = canvas.Fit(picture); err == nil {
		err = s.besides(canvas, sample)
	}
	if err != nil {
		picture.Release()
		return nil, err
	}
	return picture.Release, nil
}

// besides puts the sample's template beside its picture, for models that take one.
func (s *Session) besides(canvas *tensor.Canvas, sample bundle.GoldenSample) error {
	if !s.Plan.Template() {
		return nil
	}
	template, err := s.picture(sample.Template)
	if err != nil {
		return err
	}
	defer template.Release()
	golden, err := pairing.New(s.Plan, template)
	if err == nil {
		_, err = golden.Matcher().Match(canvas)
	}
	if err != nil {
		return fmt.Errorf("%w: %s with %s: %w", ErrGolden, sample.Image, sample.Template, err)
	}
	return nil
}

func (s *Session) picture(name string) (*frame.Frame, error) {
	raw, err := s.Bundle.Read(name, maxPNGBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGolden, err)
	}
	picture, err := decodePNG(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: read %s: %w", ErrGolden, name, err)
	}
	return picture, nil
}

// compare pairs what was found with what was expected and tells the first difference, or nothing. A detection
// whose score is within the tolerance of its threshold may be there or not.
func (s *Session) compare(found []detect.Detection, expected []bundle.Detection) string {
	m := &s.Bundle.Manifest
	slack := float32(*m.Golden.ScoreTolerance)
	used := make([]bool, len(found))
	for _, want := range expected {
		best := s.nearest(found, used, want)
		switch {
		case best < 0 && want.Score < s.threshold(want.Class)+slack:
			continue
		case best < 0:
			return fmt.Sprintf("%s %.2f at %.0f is not found", want.Class, want.Score, want.Box)
		}
		used[best] = true
		if far(found[best].Box, want.Box) > *m.Golden.BoxTolerance {
			return fmt.Sprintf("%s at %.1f is found at %.1f", want.Class, want.Box, found[best].Box)
		}
		if math.Abs(float64(found[best].Score-want.Score)) > *m.Golden.ScoreTolerance {
			return fmt.Sprintf("%s at %.0f scores %.3f instead of %.3f",
				want.Class, want.Box, found[best].Score, want.Score)
		}
		if difference := compareSizes(m, &found[best], &want); difference != "" {
			return fmt.Sprintf("%s at %.0f %s", want.Class, want.Box, difference)
		}
	}
	return s.unexpected(found, used, slack)
}

// unexpected tells the first detection that no sample expects, or nothing. None need expect false alarms.
func (s *Session) unexpected(found []detect.Detection, used []bool, slack float32) string {
	m := &s.Bundle.Manifest
	for i, d := range found {
		name := m.Classes[d.Class].Name
		if !used[i] && !m.Dismisses(d.Class) && d.Score >= s.threshold(name)+slack {
			return fmt.Sprintf("%s %.2f at %.0f is found and not expected", name, d.Score, d.Box)
		}
	}
	return ""
}

// nearest is the unused detection of the wanted class that overlaps most, or -1.
func (s *Session) nearest(found []detect.Detection, used []bool, want bundle.Detection) int {
	best, most := -1, float32(0)
	for i, d := range found {
		if used[i] || s.Bundle.Manifest.Classes[d.Class].Name != want.Class {
			continue
		}
		if overlap := detect.IoU(d.Box, want.Box); overlap > most {
			best, most = i, overlap
		}
	}
	return best
}

func (s *Session) threshold(class string) float32 {
	for _, c := range s.Bundle.Manifest.Classes {
		if c.Name == class {
			return float32(c.Threshold)
		}
	}
	return 0
}

// compareSizes tells by what area and measures differ, or nothing.
func compareSizes(m *bundle.Manifest, found *detect.Detection, want *bundle.Detection) string {
	if unlike(found.Area, want.Area) > *m.Golden.AreaTolerance {
		return fmt.Sprintf("has an area of %.0f pixels instead of %.0f", found.Area, want.Area)
	}
	for i, value := range want.Measures {
		switch one := &m.Measures()[i]; {
		case found.Measures == nil:
			return "is not measured"
		case !one.Agrees(found.Measures[i], value):
			return fmt.Sprintf("has a %s of %.4g instead of %.4g", one.Name, found.Measures[i], value)
		}
	}
	return ""
}

// unlike is by which part of it an area differs from the one that is wanted, if any is.
func unlike(area, want float32) float64 {
	if want == 0 {
		return 0
	}
	return math.Abs(float64(area-want)) / float64(want)
}

// far is the largest distance between two boxes' sides.
func far(a, b [4]float32) float64 {
	most := 0.0
	for i := range a {
		most = max(most, math.Abs(float64(a[i]-b[i])))
	}
	return most
}
