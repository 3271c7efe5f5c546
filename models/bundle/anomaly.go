package bundle

import (
	"fmt"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// usualAnomaly is the threshold of an anomaly whose manifest gives none: where the normalization puts the
// model's own.
const usualAnomaly = 0.5

// raw are the numbers of the normalization, by their keys.
func (a *Anomaly) raw() []anomalyKey {
	return []anomalyKey{
		{"image_threshold", a.ImageThreshold},
		{"pixel_threshold", a.PixelThreshold},
		{"min", a.Min},
		{"max", a.Max},
	}
}

type anomalyKey struct {
	name  string
	value *float64
}

func (m *Manifest) completeAnomaly() {
	if m.Decoder.Family != FamilyAnomaly {
		return
	}
	for i := range m.Classes {
		setDefault(&m.Classes[i].Threshold, usualAnomaly)
	}
}

func (m *Manifest) checkAnomaly(doc *strictyaml.Document) {
	if m.Decoder.Family != FamilyAnomaly {
		return
	}
	if n := len(m.Classes); n > 1 {
		doc.Add("classes", fmt.Sprintf("%d classes: an anomaly map knows one, what is not as usual", n),
			"name one, such as anomaly")
	} else if n == 1 && m.Classes[0].Good {
		doc.Add("classes[0].good", "an anomaly is nothing good: no part would ever fail", "leave it out")
	}
	m.Decoder.Anomaly.check(doc)
}

func (a *Anomaly) check(doc *strictyaml.Document) {
	const at = "decoder.anomaly"
	given := 0
	for _, key := range a.raw() {
		if key.value == nil {
			continue
		}
		given++
		doc.Within(at+"."+key.name, *key.value, -mostAnomaly, mostAnomaly)
		if a.Normalized {
			doc.Add(at+"."+key.name, "the model's own normalization has used it",
				"leave it or normalized out")
		}
	}
	switch all := len(a.raw()); {
	case a.Normalized:
	case given == 0:
		doc.Add(at, "missing: nothing in a model tells which numbers are an anomaly",
			"image_threshold, pixel_threshold, min and max as the training stored them, or normalized: true "+
				"where the model gives 0 to 1")
	case given < all:
		for _, key := range a.raw() {
			if key.value == nil {
				doc.Add(at+"."+key.name, "missing", "as the training stored it, beside the others")
			}
		}
	case !(*a.Max > *a.Min):
		doc.Add(at+".max", fmt.Sprintf("%g is not above min, %g", *a.Max, *a.Min), "correct min or max")
	}
}

// mostAnomaly bounds numbers that float32 can hold with all their sums.
const mostAnomaly = 1e30
