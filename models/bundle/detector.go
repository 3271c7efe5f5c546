package bundle

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// How boxes are written, and which of their scores stands for no object.
const (
	CoordinatesPixels = "pixels"
	CoordinatesUnit   = "unit"

	CornersXYXY   = "xyxy"
	CornersYXYX   = "yxyx"
	CornersCentre = "cxcywh"

	NoObjectNone  = "none"
	NoObjectFirst = "first"
	NoObjectLast  = "last"
)

// Bounds of Input.Constants.
const (
	maxConstants = 8
	maxConstant  = 64  // numbers of one of them
	mostConstant = 1e9 // float32 and all integers hold it
)

// givenOfFamilies reports keys that the decoder's family has no use for. It comes before complete.
func (m *Manifest) givenOfFamilies(doc *strictyaml.Document) {
	d := &m.Decoder
	for _, key := range []struct {
		path     string
		given    bool
		families []string
	}{
		{
			"decoder.activation", d.Activation != "",
			[]string{FamilySemantic, FamilyClassifier, FamilyDETR, FamilySSD},
		},
		{"decoder.background", d.Background != nil, []string{FamilySemantic}},
		{"decoder.min_area", d.MinArea != 0, []string{FamilySemantic}},
		{"decoder.coordinates", d.Coordinates != "", []string{FamilySSD}},
		{"decoder.corners", d.Corners != "", []string{FamilySSD}},
		{"decoder.no_object", d.NoObject != "", []string{FamilySSD, FamilyLabelled}},
		{"decoder.measures", d.Measures != nil, []string{FamilyMeasure}},
		{"decoder.anomaly", d.Anomaly != (Anomaly{}), []string{FamilyAnomaly}},
	} {
		if key.given && !slices.Contains(key.families, d.Family) {
			doc.Add(key.path, fmt.Sprintf("family %s has no use for it", d.Family), "leave it out")
		}
	}
}

func (m *Manifest) completeDetector() {
	d := &m.Decoder
	switch d.Family {
	case FamilyDETR:
		setDefault(&d.Activation, ActivationSigmoid)
	case FamilySSD:
		setDefault(&d.Activation, ActivationNone)
		setDefault(&d.Coordinates, CoordinatesPixels)
		setDefault(&d.Corners, CornersXYXY)
		setDefault(&d.NoObject, NoObjectNone)
	case FamilyLabelled:
		setDefault(&d.NoObject, NoObjectNone)
	}
}

func (m *Manifest) checkDetector(doc *strictyaml.Document) {
	d := &m.Decoder
	switch d.Family {
	case FamilyDETR:
		doc.OneOf("decoder.activation", d.Activation, ActivationSigmoid, ActivationSoftmax)
	case FamilySSD:
		doc.OneOf("decoder.activation", d.Activation, ActivationNone, ActivationSoftmax, ActivationSigmoid)
		doc.OneOf("decoder.coordinates", d.Coordinates, CoordinatesPixels, CoordinatesUnit)
		doc.OneOf("decoder.corners", d.Corners, CornersXYXY, CornersYXYX, CornersCentre)
		doc.OneOf("decoder.no_object", d.NoObject, NoObjectNone, NoObjectFirst, NoObjectLast)
		if len(m.Classes) == 1 && d.Activation == ActivationSoftmax && d.NoObject == NoObjectNone {
			doc.Add("decoder.activation", "softmax of one class is 1 everywhere",
				"say which score is no object's by decoder.no_object, or take sigmoid or none")
		}
	case FamilyLabelled:
		doc.OneOf("decoder.no_object", d.NoObject, NoObjectNone, NoObjectFirst)
	}
}

// checkConstants bounds the inputs that are the same in each run. Their types are the model's.
func (m *Manifest) checkConstants(doc *strictyaml.Document) {
	all := m.Input.Constants
	if len(all) > maxConstants {
		doc.Add("input.constants", fmt.Sprintf("%d inputs", len(all)),
			fmt.Sprintf("at most %d", maxConstants))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		at, values := "input.constants."+name, all[name]
		switch {
		case name == "" || name == m.Input.Name:
			doc.Add(at, fmt.Sprintf("%q is the image's input, or none", name),
				"name another input of the model")
		case len(values) == 0 || len(values) > maxConstant:
			doc.Add(at, fmt.Sprintf("%d numbers", len(values)), fmt.Sprintf("1 to %d", maxConstant))
		}
		for i, v := range values {
			doc.Within(fmt.Sprintf("%s[%d]", at, i), v, -mostConstant, mostConstant)
		}
	}
}
