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
	activation, background := ActivationSoftmax, 0
	if len(m.Classes) == 1 {
		activation, background = ActivationSigmoid, noBackground
	}
	setDefault(&m.Decoder.Activation, activation)
	setAbsent(&m.Decoder.Background, background)
	setDefault(&m.Decoder.MinArea, 1)
}

func (m *Manifest) checkSemantic(doc *strictyaml.Document) {
	d := &m.Decoder
	if d.Family != FamilySemantic {
		return
	}
	doc.OneOf("decoder.activation", d.Activation, ActivationSoftmax, ActivationSigmoid, ActivationNone)
	doc.Within("decoder.background", float64(*d.Background), noBackground, float64(len(m.Classes)-1))
	doc.Within("decoder.min_area", d.MinArea, 0, maxSide*maxSide)
	switch {
	case len(m.Classes) != 1:
	case d.Activation == ActivationSoftmax:
		doc.Add("decoder.activation", "softmax of one class is 1 everywhere", "take sigmoid or none")
	case *d.Background == 0:
		doc.Add("decoder.background", "it is the only class: nothing would ever be found", "leave it out")
	}
}
