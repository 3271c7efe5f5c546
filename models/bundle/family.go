package bundle

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// The families of decoders: each reads the outputs of one kind of model.
const (
	FamilyYOLOv8 = "yolov8"
	FamilyDFL    = "dfl"

	FamilyYOLOv5   = "yolov5"
	FamilyYOLOX    = "yolox"
	FamilyEnd2End  = "end2end"
	FamilyDETR     = "detr"
	FamilySSD      = "ssd"
	FamilyLabelled = "labelled"

	FamilyYOLOv8OBB = "yolov8-obb"
	FamilyYOLOv8Seg = "yolov8-seg"
	FamilyYOLOv5Seg = "yolov5-seg"
	FamilySemantic  = "semantic"

	FamilyClassifier = "classifier"
	FamilyAnomaly    = "anomaly"

	FamilyMeasure = "measure" // of a second model alone
)

// Role is an output that a family reads.
type Role struct {
	Key   string // in decoder.outputs
	Usual string // the output's name if the manifest gives none; empty: the model's only output
	// Optional: the model may lack it, unless the manifest names it. Such a role is the last.
	Optional bool
}

type family struct {
	task  string // empty: it sees what another model found
	roles []Role
}

func families() map[string]family {
	return map[string]family{
		FamilyYOLOv8: {TaskDetection, []Role{{Key: "predictions"}}},
		FamilyDFL: {TaskDetection, []Role{
			{Key: "scores", Usual: "scores"}, {Key: "distances", Usual: "distances"},
		}},

		FamilyYOLOv5:  {TaskDetection, []Role{{Key: "predictions"}}},
		FamilyYOLOX:   {TaskDetection, []Role{{Key: "predictions"}}},
		FamilyEnd2End: {TaskDetection, []Role{{Key: "detections"}}},
		FamilyDETR: {TaskDetection, []Role{
			{Key: "logits", Usual: "logits"}, {Key: "boxes", Usual: "boxes"},
		}},
		FamilySSD: {TaskDetection, []Role{
			{Key: "boxes", Usual: "boxes"}, {Key: "scores", Usual: "scores"},
		}},
		FamilyLabelled: {TaskDetection, []Role{
			{Key: "labels", Usual: "labels"},
			{Key: "boxes", Usual: "boxes"},
			{Key: "scores", Usual: "scores"},
		}},

		FamilyYOLOv8OBB: {TaskOriented, []Role{{Key: "predictions"}}},
		FamilyYOLOv8Seg: {TaskSegmentation, []Role{
			{Key: "predictions", Usual: "output0"}, {Key: "prototypes", Usual: "output1"},
		}},
		FamilyYOLOv5Seg: {TaskSegmentation, []Role{
			{Key: "predictions", Usual: "output0"}, {Key: "prototypes", Usual: "output1"},
		}},
		FamilySemantic: {TaskSemantic, []Role{{Key: "mask"}}},

		FamilyClassifier: {TaskClassification, []Role{{Key: "scores"}}},
		FamilyAnomaly: {TaskAnomaly, []Role{
			{Key: "map", Usual: "anomaly_map"}, {Key: "score", Usual: "pred_score", Optional: true},
		}},

		FamilyMeasure: {"", []Role{{Key: "values"}}},
	}
}

// Families are all that see frames, sorted.
func Families() []string {
	all := families()
	maps.DeleteFunc(all, func(_ string, f family) bool { return f.task == "" })
	return slices.Sorted(maps.Keys(all))
}

// FamiliesOfCrops are those that a second model may have, sorted.
func FamiliesOfCrops() []string { return []string{FamilyClassifier, FamilyMeasure} }

// Tasks are what they are for, sorted.
func Tasks() []string {
	known := map[string]bool{}
	for _, name := range Families() {
		known[Task(name)] = true
	}
	return slices.Sorted(maps.Keys(known))
}

// Task is what a family is for, empty for one that is not known.
func Task(family string) string { return families()[family].task }

// Roles are the outputs that the decoder reads, in this order.
func (d *Decoder) Roles() []Role { return families()[d.Family].roles }

func (m *Manifest) checkFamily(doc *strictyaml.Document) {
	readers := Families()
	if m.ofCrops {
		readers = FamiliesOfCrops()
	}
	doc.OneOf("decoder.family", m.Decoder.Family, readers...)
	known, found := families()[m.Decoder.Family]
	if !found || !slices.Contains(readers, m.Decoder.Family) {
		return
	}
	if m.Task != known.task && !m.ofCrops {
		doc.Add("decoder.family", fmt.Sprintf("%s is for task %s", m.Decoder.Family, known.task),
			"correct task or family")
	}
	keys := make([]string, 0, len(known.roles))
	for _, role := range known.roles {
		keys = append(keys, role.Key)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Decoder.Outputs)) {
		if !slices.Contains(keys, key) {
			doc.Add("decoder.outputs."+key, fmt.Sprintf("%s reads no %q", m.Decoder.Family, key),
				"it reads "+strings.Join(keys, ", "))
		}
	}
	m.checkClassifier(doc)
	m.checkAnomaly(doc)
}
