package bundle

import (
	"fmt"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// ReferenceBins are the parts of a reference's scores: each a tenth of 0 to 1.
const ReferenceBins = 10

const (
	// MinReference images say something of those to come.
	MinReference = 30
	maxReference = 10_000_000
	maxGray      = 255
)

// Reference is what images of good parts were like when the model was released: a station compares with it
// what it sees, and says when that has drifted away. `sightline-agent reference` makes it. Grays are those of
// the frame, 0 to 255.
type Reference struct {
	Images int `yaml:"images"` // good ones that it was made of, at least 30; 0: there is no reference
	// Scores are how many of these images had their highest score of a defect in each tenth of 0 to 1; one
	// in which nothing was found counts as 0.
	Scores     []int  `yaml:"scores"`
	Brightness Spread `yaml:"brightness"` // of the mean gray of an image
	Contrast   Spread `yaml:"contrast"`   // of the standard deviation of its grays
	Sharpness  Spread `yaml:"sharpness"`  // of the mean difference of horizontal neighbours
}

// Spread is how a number varies from image to image.
type Spread struct {
	Mean      float64 `yaml:"mean"`
	Deviation float64 `yaml:"deviation"` // standard
}

// checkReference reports a reference with which nothing can be compared.
func (m *Manifest) checkReference(doc *strictyaml.Document) {
	r := &m.Reference
	spreads := map[string]Spread{
		"brightness": r.Brightness, "contrast": r.Contrast, "sharpness": r.Sharpness,
	}
	if r.Images == 0 && r.Scores == nil && r.Brightness == (Spread{}) && r.Contrast == (Spread{}) &&
		r.Sharpness == (Spread{}) {
		return
	}
	const remedy = "make it with sightline-agent reference, or leave it out"
	doc.Within("reference.images", float64(r.Images), MinReference, maxReference)
	sum := 0
	for i, n := range r.Scores {
		if n < 0 || n > r.Images {
			at := fmt.Sprintf("reference.scores[%d]", i)
			doc.Add(at, fmt.Sprintf("%d of %d images", n, r.Images), remedy)
			return
		}
		sum += n
	}
	if len(r.Scores) != ReferenceBins || sum != r.Images {
		doc.Add("reference.scores", fmt.Sprintf("%d numbers with the sum %d, not %d with the sum %d",
			len(r.Scores), sum, ReferenceBins, r.Images), remedy)
	}
	for _, name := range []string{"brightness", "contrast", "sharpness"} {
		doc.Within("reference."+name+".mean", spreads[name].Mean, 0, maxGray)
		doc.Within("reference."+name+".deviation", spreads[name].Deviation, 0, maxGray)
	}
}
