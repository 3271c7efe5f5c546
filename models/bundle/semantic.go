package bundle

import (
	"github.com/sightline-edge/sightline/models/strictyaml"
)

// What a model's numbers still have to go through to be probabilities.
const (
	ActivationSoftmax = "softmax"
	ActivationSigmoid = "sigmoid"
	ActivationNone    = "none"
)

// noBackground is decoder.background of a model whose classes are all findings.
const noBackground = -1

func (m *Manifest) completeSemantic() {
	if m.Decoder.Family != FamilySemantic {
		return
	}
	if len(m.Classes) == 1 {
		setDefault(&m.Decoder.Activation, ActivationSigmoid)
		setAbsent(&m.Decoder.Background, noBackground)
	}
	setDefault(&m.Decoder.MinArea, 1)
}

func (m *Manifest) checkSemantic(doc *strictyaml.Document) {
	d := &m.Decoder
	if d.Family != FamilySemantic {
		return
	}
	// Nothing in a model tells these, and a wrong guess lets defects pass: softmax of what are probabilities
	// already is low everywhere, and a background that is none hides its class.
	if d.Activation == "" {
		doc.Add("decoder.activation",
			"missing: the model's numbers may be probabilities, or what comes before",
			"softmax or sigmoid, or none where the graph ends in one of these or in labels")
	} else {
		doc.OneOf("decoder.activation", d.Activation, ActivationSoftmax, ActivationSigmoid, ActivationNone)
	}
	if d.Background == nil {
		doc.Add("decoder.background", "missing: the class that is no finding",
			"its number among classes, from 0, or -1 where all of them are findings")
	} else {
		doc.Within("decoder.background", float64(*d.Background), noBackground, float64(len(m.Classes)-1))
	}
	doc.Within("decoder.min_area", d.MinArea, 0, maxSide*maxSide)
	switch {
	case len(m.Classes) != 1:
	case d.Activation == ActivationSoftmax:
		doc.Add("decoder.activation", "softmax of one class is 1 everywhere", "take sigmoid or none")
	case d.Background != nil && *d.Background == 0:
		doc.Add("decoder.background", "it is the only class: nothing would ever be found", "leave it out")
	}
}
