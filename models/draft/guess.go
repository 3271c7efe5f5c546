package draft

import (
	"fmt"
	"strings"

	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// Guess is a family of decoders that may read a model's outputs.
type Guess struct {
	Family  string            `json:"family"`
	Outputs map[string]string `json:"outputs"` // names of the model's outputs, by what the family reads
	Classes int               `json:"classes"`
	Why     string            `json:"why"`
}

// fewRows is fewer than any grid of cells has: models that suppress by themselves give some hundreds.
const fewRows = 1000

// shapes of outputs that do not depend on their names.
const (
	boxSize    = 4
	objectness = 1
	finalRow   = 6 // x1, y1, x2, y2, score, class
)

// seen is what guesses are made of: a model's outputs, the image it takes, and what its exporter wrote.
type seen struct {
	outputs       []onnxfile.Port
	width, height int64
	task          string // of Ultralytics' exporter
}

// guesses are the families that fit, the likeliest first.
func (s *seen) guesses() []Guess {
	var all []Guess
	for _, rule := range []func() (Guess, bool){
		s.logits, s.listed, s.queries, s.prototypes, s.boxesAndScores,
		s.columns, s.finals, s.rows, s.anomalies, s.masks, s.vector,
	} {
		if g, fits := rule(); fits {
			all = append(all, g)
			all = append(all, s.alike(g)...)
		}
	}
	return all
}

// alike are the families whose outputs have the same shapes.
func (s *seen) alike(g Guess) []Guess {
	other := g
	switch {
	case g.Family == bundle.FamilyYOLOX:
		other.Family, other.Why = bundle.FamilyYOLOv5, "where the export decodes the boxes"
	case g.Family == bundle.FamilyYOLOv8 && s.task == "":
		other.Family, other.Why = bundle.FamilyYOLOv8OBB, "where the last row is an angle"
		other.Classes--
	default:
		return nil
	}
	return []Guess{other}
}

// named is the output whose name has one of the words in it.
func (s *seen) named(words ...string) (onnxfile.Port, bool) {
	for _, word := range words {
		for _, p := range s.outputs {
			if strings.Contains(strings.ToLower(p.Name), word) {
				return p, true
			}
		}
	}
	return onnxfile.Port{}, false
}

// only is the model's one output, of so many dimensions.
func (s *seen) only(dims int) (onnxfile.Port, bool) {
	if len(s.outputs) != 1 || len(s.outputs[0].Dims) != dims {
		return onnxfile.Port{}, false
	}
	return s.outputs[0], true
}

// logits is the family of the reference detectors.
func (s *seen) logits() (Guess, bool) {
	scores, a := s.named("score")
	distances, b := s.named("distance")
	if !a || !b || len(scores.Dims) != 4 || len(distances.Dims) != 4 {
		return Guess{}, false
	}
	return Guess{
		Family: bundle.FamilyDFL, Classes: int(scores.Dims[1]),
		Outputs: map[string]string{"scores": scores.Name, "distances": distances.Name},
		Why: fmt.Sprintf("scores %s and distances %s over one grid", onnxfile.Shape(scores.Dims),
			onnxfile.Shape(distances.Dims)),
	}, true
}

// listed are labels, boxes and scores, as RT-DETR's deployment and torchvision write them.
func (s *seen) listed() (Guess, bool) {
	labels, a := s.named("label")
	boxes, b := s.named("box")
	scores, c := s.named("score")
	if !a || !b || !c || labels.Elem.Floating() || !ends(boxes, boxSize) {
		return Guess{}, false
	}
	return Guess{
		Family:  bundle.FamilyLabelled,
		Outputs: map[string]string{"labels": labels.Name, "boxes": boxes.Name, "scores": scores.Name},
		Why:     "labels, boxes and scores of what is left after suppression",
	}, true
}

// queries are a transformer's: logits and boxes of a few hundred queries.
func (s *seen) queries() (Guess, bool) {
	logits, a := s.named("logit", "class")
	boxes, b := s.named("box")
	if !a || !b || len(logits.Dims) != 3 || len(boxes.Dims) != 3 || !ends(boxes, boxSize) ||
		logits.Dims[1] != boxes.Dims[1] || logits.Dims[1] > fewRows {
		return Guess{}, false
	}
	return Guess{
		Family: bundle.FamilyDETR, Classes: int(logits.Dims[2]),
		Outputs: map[string]string{"logits": logits.Name, "boxes": boxes.Name},
		Why:     fmt.Sprintf("logits and boxes of %d queries", logits.Dims[1]),
	}, true
}

// prototypes of masks [1, M, h, w] beside predictions with M coefficients.
func (s *seen) prototypes() (Guess, bool) {
	if len(s.outputs) != 2 {
		return Guess{}, false
	}
	predictions, prototypes := s.outputs[0], s.outputs[1]
	if len(predictions.Dims) == 4 {
		predictions, prototypes = prototypes, predictions
	}
	if len(predictions.Dims) != 3 || len(prototypes.Dims) != 4 {
		return Guess{}, false
	}
	outputs := map[string]string{"predictions": predictions.Name, "prototypes": prototypes.Name}
	why := fmt.Sprintf("predictions %s beside prototypes of masks %s", onnxfile.Shape(predictions.Dims),
		onnxfile.Shape(prototypes.Dims))
	rows, columns := predictions.Dims[1], predictions.Dims[2]
	if rows < columns {
		return Guess{bundle.FamilyYOLOv8Seg, outputs, int(rows - boxSize - prototypes.Dims[1]), why}, true
	}
	classes := int(columns - boxSize - objectness - prototypes.Dims[1])
	return Guess{bundle.FamilyYOLOv5Seg, outputs, classes, why}, true
}

// boxesAndScores are those of many anchors.
func (s *seen) boxesAndScores() (Guess, bool) {
	boxes, a := s.named("box", "loc")
	scores, b := s.named("score", "conf", "prob")
	if !a || !b || len(boxes.Dims) != 3 || len(scores.Dims) != 3 || !ends(boxes, boxSize) ||
		boxes.Dims[1] != scores.Dims[1] {
		return Guess{}, false
	}
	return Guess{
		Family: bundle.FamilySSD, Classes: int(scores.Dims[2]),
		Outputs: map[string]string{"boxes": boxes.Name, "scores": scores.Name},
		Why: fmt.Sprintf("boxes and scores of %d anchors; one of the %d scores may be the background's",
			boxes.Dims[1], scores.Dims[2]),
	}, true
}

// columns are predictions [1, rows, N] of many cells.
func (s *seen) columns() (Guess, bool) {
	out, fits := s.only(3)
	if !fits || out.Dims[1] <= boxSize || out.Dims[1] >= out.Dims[2] {
		return Guess{}, false
	}
	outputs := map[string]string{"predictions": out.Name}
	if s.task == "obb" {
		return Guess{
			bundle.FamilyYOLOv8OBB, outputs, int(out.Dims[1]) - boxSize - 1,
			fmt.Sprintf("its exporter says obb: a box, scores and an angle in each of %d cells", out.Dims[2]),
		}, true
	}
	return Guess{
		bundle.FamilyYOLOv8, outputs, int(out.Dims[1]) - boxSize,
		fmt.Sprintf("a box and scores in each of %d cells, cells last", out.Dims[2]),
	}, true
}

// finals are what is left after suppression in the graph.
func (s *seen) finals() (Guess, bool) {
	out, fits := s.only(3)
	if !fits || out.Dims[2] != finalRow || out.Dims[1] > fewRows {
		return Guess{}, false
	}
	return Guess{
		Family: bundle.FamilyEnd2End, Outputs: map[string]string{"detections": out.Name},
		Why: fmt.Sprintf("at most %d rows of a box, a score and a class", out.Dims[1]),
	}, true
}

// rows are predictions [1, N, 5+classes] of many cells, with an objectness.
func (s *seen) rows() (Guess, bool) {
	out, fits := s.only(3)
	if !fits || out.Dims[2] <= boxSize+objectness || out.Dims[1] <= out.Dims[2] {
		return Guess{}, false
	}
	g := Guess{
		Family: bundle.FamilyYOLOv5, Outputs: map[string]string{"predictions": out.Name},
		Classes: int(out.Dims[2]) - boxSize - objectness,
		Why:     fmt.Sprintf("a box, an objectness and scores in each of %d cells, cells first", out.Dims[1]),
	}
	if out.Dims[1] == s.cells() {
		g.Family = bundle.FamilyYOLOX
		g.Why += ", which are those of strides 8, 16 and 32"
	}
	return g, true
}

// cells of strides 8, 16 and 32.
func (s *seen) cells() int64 {
	var n int64
	for _, stride := range []int64{8, 16, 32} {
		n += (s.width / stride) * (s.height / stride)
	}
	return n
}

// anomalies are a map of them, as anomalib exports it, and mostly a score of the image.
func (s *seen) anomalies() (Guess, bool) {
	heat, fits := s.named("anomaly_map")
	if only, one := s.only(4); !fits && one && only.Dims[1] == 1 {
		heat, fits = only, true
	}
	if !fits {
		return Guess{}, false
	}
	g := Guess{
		Family: bundle.FamilyAnomaly, Outputs: map[string]string{"map": heat.Name}, Classes: 1,
		Why: fmt.Sprintf("one map %s of the image", onnxfile.Shape(heat.Dims)),
	}
	if score, found := s.named("pred_score"); found {
		g.Outputs["score"] = score.Name
	}
	return g, true
}

// masks are classes pixel by pixel.
func (s *seen) masks() (Guess, bool) {
	if out, fits := s.only(4); fits && out.Dims[1] > 1 {
		return Guess{
			Family: bundle.FamilySemantic, Classes: int(out.Dims[1]),
			Outputs: map[string]string{"mask": out.Name},
			Why: fmt.Sprintf("%d classes for each of %d×%d pixels", out.Dims[1], out.Dims[3],
				out.Dims[2]),
		}, true
	}
	out, fits := s.only(3)
	if !fits || out.Elem.Floating() {
		return Guess{}, false
	}
	return Guess{
		Family: bundle.FamilySemantic, Outputs: map[string]string{"mask": out.Name},
		Why: fmt.Sprintf("the class of each of %d×%d pixels", out.Dims[2], out.Dims[1]),
	}, true
}

// vector is one score for each class of the image.
func (s *seen) vector() (Guess, bool) {
	out, fits := s.only(2)
	if !fits || out.Dims[1] < 2 {
		return Guess{}, false
	}
	return Guess{
		Family: bundle.FamilyClassifier, Classes: int(out.Dims[1]),
		Outputs: map[string]string{"scores": out.Name},
		Why:     fmt.Sprintf("%d scores of the whole image", out.Dims[1]),
	}, true
}

// ends says whether an output's last dimension is of so many.
func ends(p onnxfile.Port, size int64) bool {
	return len(p.Dims) > 0 && p.Dims[len(p.Dims)-1] == size
}
