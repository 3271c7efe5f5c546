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
)

// Role is an output that a family reads.
type Role struct {
	Key   string // in decoder.outputs
	Usual string // the output's name if the manifest gives none; empty: the model's only output
}

type family struct {
	task  string
	roles []Role
}

func families() map[string]family {
	return map[string]family{
		FamilyYOLOv8: {TaskDetection, []Role{{"predictions", ""}}},
		FamilyDFL:    {TaskDetection, []Role{{"scores", "scores"}, {"distances", "distances"}}},

		FamilyYOLOv5:  {TaskDetection, []Role{{"predictions", ""}}},
		FamilyYOLOX:   {TaskDetection, []Role{{"predictions", ""}}},
		FamilyEnd2End: {TaskDetection, []Role{{"detections", ""}}},
		FamilyDETR:    {TaskDetection, []Role{{"logits", "logits"}, {"boxes", "boxes"}}},
		FamilySSD:     {TaskDetection, []Role{{"boxes", "boxes"}, {"scores", "scores"}}},
		FamilyLabelled: {
			TaskDetection, []Role{{"labels", "labels"}, {"boxes", "boxes"}, {"scores", "scores"}},
		},

		FamilyYOLOv8OBB: {TaskOriented, []Role{{"predictions", ""}}},
		FamilyYOLOv8Seg: {TaskSegmentation, []Role{{"predictions", "output0"}, {"prototypes", "output1"}}},
		FamilyYOLOv5Seg: {TaskSegmentation, []Role{{"predictions", "output0"}, {"prototypes", "output1"}}},
		FamilySemantic:  {TaskSemantic, []Role{{"mask", ""}}},

		FamilyClassifier: {TaskClassification, []Role{{"scores", ""}}},
	}
}

// Families are all of them, sorted.
func Families() []string { return slices.Sorted(maps.Keys(families())) }

// Tasks are what they are for, sorted.
func Tasks() []string {
	known := map[string]bool{}
	for _, f := range families() {
		known[f.task] = true
	}
	return slices.Sorted(maps.Keys(known))
}

// Task is what a family is for, empty for one that is not known.
func Task(family string) string { return families()[family].task }

// Roles are the outputs that the decoder reads, in this order.
func (d *Decoder) Roles() []Role { return families()[d.Family].roles }

func (m *Manifest) checkFamily(doc *strictyaml.Document) {
	doc.OneOf("decoder.family", m.Decoder.Family, Families()...)
	known, found := families()[m.Decoder.Family]
	if !found {
		return
	}
	if m.Task != known.task {
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
}
