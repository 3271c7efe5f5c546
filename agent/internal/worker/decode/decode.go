// Package decode turns a model's outputs into detections in frame pixels: one file for each family of models.
// The steady state allocates nothing.
package decode

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// maxCells bounds the places of an output that may hold something: 4096×4096 at stride 4.
const maxCells = 1 << 20

// ErrOutput is wrapped by errors about an output that no working model gives.
var ErrOutput = errors.New("bad model output")

// Port is an output as the model's file describes it: its name, and its dimensions, the first of them the
// images of one run, which has to be 1. Open says that it has as many rows as were found, and is filled up as
// OpenRows says.
type Port struct {
	Name string
	Dims []int64
	Open bool
}

// Decoder turns outputs into detections. Not safe for concurrent use.
type Decoder struct {
	family  family
	kept    []detect.Detection
	maxKept int
	cut     detect.Cut
	heat    *detect.Heat
}

// family reads the outputs of one kind of model.
type family interface {
	// decode keeps what it finds, best first, or refuses the outputs.
	decode(d *Decoder, outputs [][]float32, g tensor.Geometry) error
}

// families makes each of bundle.Families and bundle.FamiliesOfCrops for outputs in the order of its roles. An
// error says what is wrong with them.
func families() map[string]func(m *bundle.Manifest, ports []Port) (family, error) {
	return map[string]func(m *bundle.Manifest, ports []Port) (family, error){
		bundle.FamilyYOLOv8: newYOLOv8,
		bundle.FamilyDFL:    newDFL,

		bundle.FamilyYOLOv5:   newYOLOv5,
		bundle.FamilyYOLOX:    newYOLOX,
		bundle.FamilyEnd2End:  newEnd2End,
		bundle.FamilyDETR:     newDETR,
		bundle.FamilySSD:      newSSD,
		bundle.FamilyLabelled: newLabelled,

		bundle.FamilyYOLOv8OBB: newOriented,
		bundle.FamilyYOLOv8Seg: newYOLOv8Seg,
		bundle.FamilyYOLOv5Seg: newYOLOv5Seg,
		bundle.FamilySemantic:  newSemantic,

		bundle.FamilyClassifier: newClassifier,
		bundle.FamilyAnomaly:    newAnomaly,

		bundle.FamilyMeasure: newMeasure,
	}
}

// New makes the decoder of a manifest that bundle.Load has found valid, for outputs in the order of its
// family's roles, without those that the model lacks. An error says why these are not what it reads.
func New(m *bundle.Manifest, ports []Port) (*Decoder, error) {
	made, err := families()[m.Decoder.Family](m, ports)
	if err != nil {
		return nil, err
	}
	most := m.Decoder.MaxDetections
	return &Decoder{family: made, kept: make([]detect.Detection, 0, most), maxKept: most}, nil
}

// Decode returns the detections in frame pixels, descending score, valid until the next call. Numbers that no
// working model gives are an error: what is not finite, scores outside of 0 to 1, absurd boxes, and absurdly
// many of them.
func (d *Decoder) Decode(outputs [][]float32, g tensor.Geometry) ([]detect.Detection, error) {
	d.kept, d.cut, d.heat = d.kept[:0], detect.Cut{}, nil
	if err := d.family.decode(d, outputs, g); err != nil {
		return nil, err
	}
	if a, ok := d.family.(*anomaly); ok {
		d.heat = &a.heat
	}
	return d.kept, nil
}

// Heat is the map of the last Decode of a model for anomalies, valid as long as its outputs: nil of other
// models, and when the outputs were refused.
func (d *Decoder) Heat() *detect.Heat { return d.heat }

// Cut is what limits cost the last Decode: detections beyond max_detections, and candidates beyond those that
// suppression looks at, though many of these are of the same defects.
func (d *Decoder) Cut() detect.Cut { return d.cut }

// full says that keep will only count.
func (d *Decoder) full() bool { return len(d.kept) == d.maxKept }

// keep takes one more detection, or counts it beyond the limit.
func (d *Decoder) keep(found detect.Detection) {
	if d.full() {
		d.cut.Add(detect.Cut{Count: 1, Score: found.Score})
		return
	}
	d.kept = append(d.kept, found)
}

// shaped says what is wrong with an output that should have so many dimensions of fixed sizes.
func (p *Port) shaped(dims int, wanted string) error {
	switch {
	case len(p.Dims) != dims || p.Dims[0] != 1:
		return fmt.Errorf("output %q is %s, %s", p.Name, onnxfile.Shape(p.Dims), wanted)
	case slices.Contains(p.Dims, onnxfile.Dynamic):
		return fmt.Errorf("output %q is %s: export the model with fixed sizes", p.Name,
			onnxfile.Shape(p.Dims))
	}
	return nil
}

// classes says what is wrong with an output that speaks of so many classes.
func (p *Port) classes(found int64, m *bundle.Manifest) error {
	if found == int64(len(m.Classes)) {
		return nil
	}
	return fmt.Errorf("output %q is %s, which means %d classes; bundle.yaml names %d", p.Name,
		onnxfile.Shape(p.Dims), found, len(m.Classes))
}
