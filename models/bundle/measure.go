package bundle

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// Measure is one number that family measure reads: value = output × scale, times a side of the crop in frame
// pixels where it is relative to one. A value outside of its limits makes of the finding a defect of the
// class with the measure's name.
type Measure struct {
	Name     string   `yaml:"name"`
	Unit     string   `yaml:"unit"`     // such as mm, at most 16 characters
	Relative string   `yaml:"relative"` // width or height: the output is a part of that side; empty: of none
	Scale    float64  `yaml:"scale"`    // default 1
	Min      *float64 `yaml:"min"`      // what is below is a defect; nil: nothing is
	Max      *float64 `yaml:"max"`      // what is above is a defect; nil: nothing is
	// Tolerance is by how much a golden sample may be off; nil: by a twentieth of what it expects.
	Tolerance *float64 `yaml:"tolerance"`
}

// What an output is a part of.
const (
	RelativeWidth  = "width"
	RelativeHeight = "height"
)

const (
	maxMeasures = 16
	maxUnit     = 16  // characters
	mostMeasure = 1e9 // float32 and JSON hold it
)

// Limited says whether a value can be a defect.
func (m *Measure) Limited() bool { return m.Min != nil || m.Max != nil }

// Within says whether a value is no defect.
func (m *Measure) Within(value float32) bool {
	return (m.Min == nil || value >= float32(*m.Min)) && (m.Max == nil || value <= float32(*m.Max))
}

// usualTolerance is the part of a value by which a golden sample may be off.
const usualTolerance = 0.05

// Agrees says whether a value is what a golden sample expects.
func (m *Measure) Agrees(value, expected float32) bool {
	slack := usualTolerance * math.Abs(float64(expected))
	if m.Tolerance != nil {
		slack = *m.Tolerance
	}
	return math.Abs(float64(value-expected)) <= slack
}

// Measures are what the second model measures, in the order of Detection.Measures; nil without such a one.
func (m *Manifest) Measures() []Measure {
	if m.Then == nil {
		return nil
	}
	return m.Then.Decoder.Measures
}

// completeMeasures makes a class of each measure with limits. Whatever the first model finds counts as such,
// with its own score: the class has the least of its thresholds.
func (t *Then) completeMeasures(first []Class) {
	if t.Decoder.Family != FamilyMeasure {
		return
	}
	least := 1.0
	for _, c := range first {
		if slices.Contains(t.Of, c.Name) {
			least = min(least, c.Threshold)
		}
	}
	t.Classes = nil
	for i := range t.Decoder.Measures {
		m := &t.Decoder.Measures[i]
		setDefault(&m.Scale, 1)
		if m.Limited() {
			t.Classes = append(t.Classes, Class{Name: m.Name, Threshold: least})
		}
	}
}

func (d *Decoder) checkMeasures(doc *strictyaml.Document) {
	if d.Family != FamilyMeasure {
		return
	}
	if n := len(d.Measures); n == 0 || n > maxMeasures {
		doc.Add("decoder.measures", fmt.Sprintf("%d measures", n),
			fmt.Sprintf("1 to %d: one for each number that the model gives, in its order", maxMeasures))
	}
	for i := range d.Measures {
		m, at := &d.Measures[i], fmt.Sprintf("decoder.measures[%d]", i)
		m.check(doc, at)
		same := func(other Measure) bool { return other.Name == m.Name }
		if slices.ContainsFunc(d.Measures[:i], same) {
			doc.Add(at+".name", m.Name+" is there twice", "measures have different names")
		}
	}
}

func (m *Measure) check(doc *strictyaml.Document, at string) {
	if !printable(m.Name) {
		doc.Add(at+".name", fmt.Sprintf("%q is not a name", m.Name),
			"1 to 64 characters that print, no blank at its ends")
	}
	if m.Unit != "" && (!printable(m.Unit) || utf8.RuneCountInString(m.Unit) > maxUnit) {
		doc.Add(at+".unit", fmt.Sprintf("%q is not a unit", m.Unit),
			"1 to 16 characters that print, such as mm, or leave it out")
	}
	if m.Relative != "" {
		doc.OneOf(at+".relative", m.Relative, RelativeWidth, RelativeHeight)
	}
	doc.Within(at+".scale", math.Abs(m.Scale), leastFactor, mostFactor)
	for _, limit := range []struct {
		key   string
		value *float64
	}{{"min", m.Min}, {"max", m.Max}} {
		if limit.value != nil {
			doc.Within(at+"."+limit.key, *limit.value, -mostMeasure, mostMeasure)
		}
	}
	if m.Tolerance != nil {
		doc.Within(at+".tolerance", *m.Tolerance, 0, mostMeasure)
	}
	if m.Min != nil && m.Max != nil && *m.Min > *m.Max {
		doc.Add(at+".max", fmt.Sprintf("%g is below min, %g: every value would be a defect", *m.Max, *m.Min),
			"correct min or max")
	}
}
