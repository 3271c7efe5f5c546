package bundle

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// Then is a second model, which sees what the first one found: each box, cut out of the frame's own pixels.
// Where it is sure of defects, each of them is a finding, with its score; of a good class alone, the finding
// is of that one, which never counts. Where it is not sure, the finding stays what the first model said. One
// that measures makes no finding of what is within the limits, and a defect of each measure that is not;
// without limits it only adds its numbers.
type Then struct {
	Model  string   `yaml:"model"`  // an ONNX file of the bundle, one file, no external data
	Of     []string `yaml:"of"`     // classes of the first model that it sees; default all that are not good
	Margin float64  `yaml:"margin"` // part of a box's sides that is added at each of them, 0 (default) to 2
	Most   int      `yaml:"most"`   // boxes of one frame, the most certain ones, 1 to 256, default 16
	// Batch is the most crops of one run, 1 (default) to 64: more than one where the model's first dimension
	// is not fixed. It is used only where it turns out to be faster.
	Batch      int        `yaml:"batch"`
	Input      Input      `yaml:"input"`
	Preprocess Preprocess `yaml:"preprocess"` // of a crop
	Decoder    Decoder    `yaml:"decoder"`    // of family classifier or measure
	Classes    []Class    `yaml:"classes"`    // of a classifier in the order of its outputs
}

const (
	usualCrops = 16
	mostCrops  = 256
	mostMargin = 2
)

// profiles begin the names of options that speak of the first model's inputs.
const profiles = "trt_profile_"

// manifest is what the second model's would be if it were alone.
func (t *Then) manifest(m *Manifest) *Manifest {
	return &Manifest{
		Name: m.Name, Version: m.Version, Model: t.Model, Input: t.Input, Preprocess: t.Preprocess,
		Decoder: t.Decoder, Classes: t.Classes, ofCrops: true,
	}
}

// First is the manifest of the first model, with its own classes alone.
func (m *Manifest) First() *Manifest {
	first := *m
	if m.Then != nil {
		own := len(m.Classes) - len(m.Then.Classes)
		first.Classes, first.Then = m.Classes[:own:own], nil
	}
	return &first
}

// On is how the second model runs where the first one runs on a provider of the manifest: on the same, with
// its variant for it, and without options that speak of the first one's inputs.
func (t *Then) On(p Provider) Provider {
	options := maps.Clone(p.Options)
	maps.DeleteFunc(options, func(key, _ string) bool { return strings.HasPrefix(key, profiles) })
	return Provider{Name: p.Name, Model: p.Then, Batch: t.Batch, Options: options}
}

// Second is the second model as a bundle without samples, with the same providers; nil without one.
func (b *Bundle) Second() *Bundle {
	then := b.Manifest.Then
	if then == nil {
		return nil
	}
	m := then.manifest(&b.Manifest)
	m.Providers.Policy = b.Manifest.Providers.Policy
	for _, p := range b.Manifest.Providers.Order {
		m.Providers.Order = append(m.Providers.Order, then.On(p))
	}
	m.complete()
	// A defect that scores less than a good class must be known: none of them is cut off.
	m.Decoder.MaxDetections = max(m.Decoder.MaxDetections, len(m.Classes))
	second := *b
	second.Manifest = *m
	return &second
}

// Dismisses says whether a class, by its place among all of them, is what the second model calls a false
// alarm of the first one.
func (m *Manifest) Dismisses(class int) bool {
	return m.Then != nil && class >= len(m.Classes)-len(m.Then.Classes) && class < len(m.Classes) &&
		m.Classes[class].Good
}

// join puts the second model's classes behind those of the first.
func (m *Manifest) join() {
	if m.Then != nil {
		m.Classes = slices.Concat(m.Classes, m.Then.Classes)
	}
}

func (m *Manifest) givenOfThen(doc *strictyaml.Document) {
	t := m.Then
	if t == nil {
		return
	}
	t.manifest(m).checkGiven(doc.Below("then"))
	if t.Decoder.Family == FamilyMeasure && t.Classes != nil {
		doc.Add("then.classes", "a measurement has a class for each measure with limits", "leave it out")
	}
}

func (m *Manifest) completeThen() {
	t := m.Then
	if t == nil {
		return
	}
	setDefault(&t.Most, usualCrops)
	setDefault(&t.Batch, 1)
	given := t.Of != nil
	second := t.manifest(m)
	second.complete()
	t.Input, t.Preprocess, t.Decoder = second.Input, second.Preprocess, second.Decoder
	for i := range m.Providers.Order {
		setDefault(&m.Providers.Order[i].Then, t.Model)
	}
	for _, c := range m.Classes {
		if !c.Good && !given {
			t.Of = append(t.Of, c.Name)
		}
	}
	t.completeMeasures(m.Classes)
}

func (m *Manifest) checkThen(doc *strictyaml.Document) {
	if m.Then == nil {
		for i, p := range m.Providers.Order {
			if p.Then != "" {
				doc.Add(fmt.Sprintf("providers.order[%d].then", i), "there is no second model",
					"leave it out, or describe the model in then")
			}
		}
		return
	}
	if m.Task == TaskClassification || m.Task == TaskAnomaly {
		doc.Add("then", fmt.Sprintf("the first model's task is %s: it gives no boxes of things", m.Task),
			"leave it out, or take a model that finds things")
	}
	m.Then.check(m, doc.Below("then"))
}

// check reports what is wrong with the second model of a manifest, at paths below then.
func (t *Then) check(m *Manifest, doc *strictyaml.Document) {
	second := t.manifest(m)
	second.complete() // its task
	second.checkInput(doc)
	second.checkPreprocess(doc)
	second.checkDecoder(doc)
	if t.Decoder.Family != FamilyMeasure {
		second.checkClasses(doc)
	}
	if t.Input.Template {
		doc.Add("input.template", "a crop has no golden template beside it", "leave it out")
	}
	doc.Within("margin", t.Margin, 0, mostMargin)
	doc.Within("most", float64(t.Most), 1, mostCrops)
	doc.Within("batch", float64(t.Batch), 1, maxBatch)
	checkRun(doc, "batch", t.Batch, &t.Input)
	t.checkOf(m, doc)
	t.checkNames(m.Classes, doc)
}

// checkNames reports classes that would be in a result twice.
func (t *Then) checkNames(first []Class, doc *strictyaml.Document) {
	check := func(at, name string) {
		if slices.ContainsFunc(first, func(own Class) bool { return own.Name == name }) {
			doc.Add(at+".name", name+" is a class of the first model, too",
				"give one of them another name: a result says by it which model has spoken")
		}
	}
	if t.Decoder.Family == FamilyMeasure {
		for i := range t.Decoder.Measures {
			check(fmt.Sprintf("decoder.measures[%d]", i), t.Decoder.Measures[i].Name)
		}
		return
	}
	for i, c := range t.Classes {
		check(fmt.Sprintf("classes[%d]", i), c.Name)
	}
}

// checkOf reports classes that the second model cannot be asked about.
func (t *Then) checkOf(m *Manifest, doc *strictyaml.Document) {
	if len(t.Of) == 0 && len(m.Classes) > 0 {
		doc.Add("of", "no class: the second model would see nothing",
			"leave it out for all that are not good")
	}
	for i, name := range t.Of {
		at := fmt.Sprintf("of[%d]", i)
		known := slices.IndexFunc(m.Classes, func(c Class) bool { return c.Name == name })
		switch {
		case known < 0:
			doc.Add(at, fmt.Sprintf("%q is no class of the first model", name), "one of those in classes")
		case m.Classes[known].Good:
			doc.Add(at, name+" is good: a part would pass by it where the second model is not sure",
				"leave good out of the class; what the second model finds good is no finding")
		case slices.Contains(t.Of[:i], name):
			doc.Add(at, name+" is there twice", "leave one out")
		}
	}
}
