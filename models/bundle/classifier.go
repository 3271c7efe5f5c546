package bundle

import (
	"slices"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// checkClassifier reports what makes no sense in a classification.
func (m *Manifest) checkClassifier(doc *strictyaml.Document) {
	if m.Decoder.Family != FamilyClassifier {
		return
	}
	if m.Decoder.Activation == "" {
		doc.Add("decoder.activation", "missing: the model's outputs may be scores, or what comes before them",
			"softmax or sigmoid, or none where the graph ends in one of these")
	} else {
		doc.OneOf("decoder.activation", m.Decoder.Activation, ActivationSoftmax, ActivationSigmoid,
			ActivationNone)
	}
	if m.Decoder.Activation == ActivationSoftmax && len(m.Classes) == 1 {
		doc.Add("classes", "softmax makes 1 of a single class, whatever the frame",
			"name the class of good parts, too, or use sigmoid")
	}
	good := func(c Class) bool { return c.Good }
	defect := func(c Class) bool { return !c.Good }
	if m.ofCrops && m.Decoder.Activation == ActivationSoftmax && len(m.Classes) > 1 &&
		!slices.ContainsFunc(m.Classes, defect) {
		doc.Add("classes", "all of them are good, and softmax finds one in whatever it sees: each part "+
			"would pass", "leave good out at those that are defects, or use sigmoid")
	}
	if len(m.Classes) > 0 && !m.ofCrops && !slices.ContainsFunc(m.Classes, good) {
		doc.Add("classes", "none of them is good: no part would ever pass",
			"write good: true at the classes of good parts")
	}
}
