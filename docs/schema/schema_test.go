// Package schema_test keeps the JSON Schemas of this folder true: they name each field of the Go types and no
// other, what the code encodes is valid by them, and what the code refuses is not.
package schema_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	inspectionFile = "inspection.schema.json"
	stateFile      = "state.schema.json"
	triggerFile    = "trigger.schema.json"
	bundleFile     = "bundle.schema.json"
	reference      = "../../models/pcb-defects/"
	pairs          = "../../models/pcb-defects-pair/"
)

// object is a schema of a JSON object as far as it is compared with a Go type.
type object struct {
	Properties map[string]json.RawMessage `json:"properties"`
	Required   []string                   `json:"required"`
	Defs       map[string]object          `json:"$defs"`
}

func TestSchemasNameTheFieldsOfTheGoTypesAndNoOthers(t *testing.T) {
	for _, c := range []struct {
		file, def string // def empty: the root
		tag       string
		value     any
	}{
		{inspectionFile, "", "json", event.Event{}},
		{inspectionFile, "inspection", "json", event.Inspection{}},
		{inspectionFile, "processingTimes", "json", event.ProcessingTimes{}},
		{inspectionFile, "defect", "json", event.Defect{}},
		{inspectionFile, "measure", "json", event.Measure{}},
		{inspectionFile, "frame", "json", event.Frame{}},
		{inspectionFile, "model", "json", event.Model{}},
		{inspectionFile, "timesMs", "json", event.TimesMs{}},
		{stateFile, "", "json", event.Event{}},
		{stateFile, "state", "json", event.StateData{}},
		{stateFile, "model", "json", event.Model{}},
		{stateFile, "candidate", "json", event.Candidate{}},
		{triggerFile, "", "json", event.TriggerMessage{}},
		{triggerFile, "triggerAck", "json", event.TriggerAckMessage{}},
		{triggerFile, "acquisition", "json", event.AcquisitionMessage{}},
		{triggerFile, "resultAck", "json", event.ResultAckMessage{}},
		{triggerFile, "command", "json", event.CommandMessage{}},
		{bundleFile, "", "yaml", bundle.Manifest{}},
		{bundleFile, "input", "yaml", bundle.Input{}},
		{bundleFile, "preprocess", "yaml", bundle.Preprocess{}},
		{bundleFile, "decoder", "yaml", bundle.Decoder{}},
		{bundleFile, "anomaly", "yaml", bundle.Anomaly{}},
		{bundleFile, "class", "yaml", bundle.Class{}},
		{bundleFile, "then", "yaml", bundle.Then{}},
		{bundleFile, "measure", "yaml", bundle.Measure{}},
		{bundleFile, "providers", "yaml", bundle.Providers{}},
		{bundleFile, "provider", "yaml", bundle.Provider{}},
		{bundleFile, "golden", "yaml", bundle.Golden{}},
		{bundleFile, "sample", "yaml", bundle.GoldenSample{}},
		{bundleFile, "detection", "json", bundle.Detection{}},
	} {
		typed := reflect.TypeOf(c.value)
		t.Run(c.file+"/"+typed.Name(), func(t *testing.T) {
			schema := read(t, c.file)
			if c.def != "" {
				require.Contains(t, schema.Defs, c.def)
				schema = schema.Defs[c.def]
			}
			all, always := fields(typed, c.tag)
			require.ElementsMatch(t, all, names(schema))
			if written(c.value) {
				require.ElementsMatch(t, always, schema.Required, "a field without omitempty is always there")
			}
		})
	}
}

// written says whether the agent encodes the type; in what it only reads, fields may be left out.
func written(value any) bool {
	switch value.(type) {
	case event.Event, event.Inspection, event.ProcessingTimes, event.Defect, event.Measure, event.Frame,
		event.TimesMs, event.StateData, event.Candidate, event.TriggerAckMessage, event.AcquisitionMessage:
		return true
	}
	return false
}

func TestEncodedEventsAreValid(t *testing.T) {
	result := inspection()
	require.NoError(t, validate(t, inspectionFile, "", encoded(t, event.TypeInspection, "PCB-1", result)))
	result.Model.Template = "sha256:" + strings.Repeat("c", 64)
	require.NoError(t, validate(t, inspectionFile, "", encoded(t, event.TypeInspection, "PCB-1", result)))
	historical, err := event.MarkHistorical(encoded(t, event.TypeInspection, "PCB-1", result))
	require.NoError(t, err)
	require.NoError(t, validate(t, inspectionFile, "", historical))

	unknown := inspection()
	unknown.Verdict, unknown.Accept, unknown.Reason = event.Unknown, false, "deadline"
	require.NoError(t, validate(t, inspectionFile, "", encoded(t, event.TypeInspection, "PCB-1", unknown)))
	unknown.Reason = "unsure"
	require.NoError(t, validate(t, inspectionFile, "", encoded(t, event.TypeInspection, "PCB-1", unknown)))
	unknown.Reason = "template_unaligned"
	unknown.Model, unknown.Frame, unknown.Defects = event.Model{}, event.Frame{}, []event.Defect{}
	require.NoError(t, validate(t, inspectionFile, "", encoded(t, event.TypeInspection, "PCB-1", unknown)))

	will := event.StateData{State: event.Error, Reason: "agent offline"}
	require.NoError(t, validate(t, stateFile, "", encoded(t, event.TypeState, "", will)))
	ready := event.StateData{State: event.Ready, TriggerReady: true, Model: result.Model, Heartbeat: 7}
	require.NoError(t, validate(t, stateFile, "", encoded(t, event.TypeState, "", ready)))
	ready.FellBack, ready.FallbackReason = true, strings.Repeat("x", 512)
	require.NoError(t, validate(t, stateFile, "", encoded(t, event.TypeState, "", ready)))
	ready.Candidate = &event.Candidate{
		RecipeID: "boards", Model: result.Model, Phase: event.CandidateRefused,
		Reason: strings.Repeat("x", 512),
	}
	require.NoError(t, validate(t, stateFile, "", encoded(t, event.TypeState, "", ready)))
	ready.FallbackReason += "x"
	require.Error(t, validate(t, stateFile, "", encoded(t, event.TypeState, "", ready)))
}

func TestContradictionsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*event.Inspection){
		"accepted though it failed":  func(in *event.Inspection) { in.Accept = true },
		"unknown without a reason":   func(in *event.Inspection) { in.Verdict = event.Unknown },
		"failed with a reason":       func(in *event.Inspection) { in.Reason = "deadline" },
		"a verdict that nobody has":  func(in *event.Inspection) { in.Verdict = "MAYBE" },
		"a reason that nobody has":   func(in *event.Inspection) { in.Verdict, in.Reason = "UNKNOWN", "?" },
		"a score over one":           func(in *event.Inspection) { in.Defects[0].Score = 1.5 },
		"no part":                    func(in *event.Inspection) { in.PartID = "" },
		"a state of another machine": func(in *event.Inspection) { in.ResultState = 9 },
	} {
		t.Run(name, func(t *testing.T) {
			in := inspection()
			change(&in)
			require.Error(t, validate(t, inspectionFile, "", encoded(t, event.TypeInspection, "PCB-1", in)))
		})
	}
	require.Error(t, validate(t, stateFile, "", encoded(t, event.TypeInspection, "PCB-1", inspection())))
}

func TestHandshakeMessagesAreValid(t *testing.T) {
	for _, c := range []struct {
		def   string
		value any
		valid bool
	}{
		{"", event.TriggerMessage{}, true},
		{"", event.TriggerMessage{PartID: "P-1", ProductID: "MB-7", Encoder: json.RawMessage("-3")}, true},
		{"", map[string]any{"partId": "P-1", "shift": "night"}, true},
		{"", map[string]any{"partId": strings.Repeat("x", 129)}, false},
		{"", []int{1}, false},
		{"triggerAck", event.TriggerAckMessage{Accepted: true, JobID: "b-1", AcquisitionID: 1}, true},
		{"triggerAck", event.TriggerAckMessage{Reason: "retained", Detail: "must not be retained"}, true},
		{"triggerAck", event.TriggerAckMessage{PartID: "P-1", Reason: "bored"}, false},
		{
			"acquisition",
			event.AcquisitionMessage{PartID: "P", JobID: "b", AcquisitionID: 1, Done: true},
			true,
		},
		{"acquisition", event.AcquisitionMessage{PartID: "P-1", JobID: "b-1", AcquisitionID: 1}, false},
		{"resultAck", event.ResultAckMessage{ResultID: "r"}, true},
		{"resultAck", event.ResultAckMessage{}, false},
		{"command", event.CommandMessage{Command: "reset"}, true},
		{"command", event.CommandMessage{Command: "explode"}, false},
	} {
		raw, err := json.Marshal(c.value)
		require.NoError(t, err)
		fault := validate(t, triggerFile, c.def, raw)
		require.Equal(t, c.valid, fault == nil, "%s %s: %v", c.def, raw, fault)
	}
}

func TestManifestsAreValidExactlyWhenTheyLoad(t *testing.T) {
	const least = "name: a\nversion: 1.0.0\ninput: {width: 64, height: 64}\ndecoder: {family: yolov8}\n" +
		"classes: [{name: open, threshold: 0.5}]\n"
	const kinds = "name: a\nversion: 1.0.0\ntask: classification\ninput: {width: 64, height: 64}\n" +
		"decoder: {family: classifier, activation: softmax}\n" +
		"classes: [{name: ok, threshold: 0.5, good: true}, {name: scratch, threshold: 0.5}]\n"
	const numbers = "{image_threshold: 2.5, pixel_threshold: 3, min: 0, max: 9}"
	const unusual = "name: a\nversion: 1.0.0\ninput: {width: 64, height: 64}\n" +
		"decoder: {family: anomaly, anomaly: " + numbers + "}\nclasses: [{name: dent}]\n"
	const judge = "then: {model: small.onnx, input: {width: 64, height: 64}, " +
		"decoder: {family: classifier, activation: softmax}, classes: " +
		"[{name: ok, threshold: 0.5, good: true}, {name: scratch, threshold: 0.5}]}\n"
	judged := func(from, to string) string { return least + strings.Replace(judge, from, to, 1) }
	measured := func(keys string) string {
		return least + "then:\n  model: small.onnx\n  input: {width: 64, height: 64}\n" +
			"  decoder: {family: measure, measures: [{name: width" + keys + "}]}\n"
	}
	more := func(keys string) string { return judged("then: {", "then: {"+keys+", ") }
	gray := strings.Replace(least, "height: 64", "height: 64, channels: 1", 1)
	pixels := strings.Replace(least, "height: 64", "height: 64, type: uint8", 1)
	semantic := strings.Replace(least, "{family: yolov8}",
		"{family: semantic, activation: softmax, background: 0, min_area: 20}", 1)
	semantic = strings.Replace(semantic, "[{", "[{name: good, threshold: 1}, {", 1)
	for _, c := range []struct {
		name, manifest string
		valid          bool
	}{
		{"the reference bundle", text(t, reference+"bundle.yaml"), true},
		{"the reference bundle of pairs", text(t, pairs+"bundle.yaml"), true},
		{"the least", least, true},
		{"every key", least + everyKey, true},
		{"an unknown key", least + "author: me\n", false},
		{"a wrong provider", least + "providers: {order: [{name: npu}]}\n", false},
		{"an engine from a folder", least + "providers: {order: [{name: tensorrt, options: " +
			"{trt_engine_cache_path: /tmp}}]}\n", false},
		{"an option of another provider", least + "providers: {order: [{name: cuda, options: " +
			"{trt_fp16_enable: '1'}}]}\n", false},
		{
			"an option of the CPU", least + "providers: {order: [{name: cpu, options: {device_id: '0'}}]}\n",
			false,
		},
		{
			"memory of the CPU", least + "providers: {order: [{name: cpu, options: " +
				"{enable_cpu_mem_arena: '0', enable_mem_pattern: '1'}}]}\n", true,
		},
		{"a switch of words", least + "providers: {order: [{name: cpu, options: " +
			"{enable_cpu_mem_arena: 'no'}}]}\n", false},
		{"memory of a GPU", least + "providers: {order: [{name: cuda, options: " +
			"{gpu_mem_limit: '2147483648'}}]}\n", true},
		{"memory in words", least + "providers: {order: [{name: cuda, options: " +
			"{gpu_mem_limit: 2GB}}]}\n", false},
		{"OpenVINO on an NPU", least + "providers: {order: [{name: openvino, options: " +
			"{device_type: NPU}}]}\n", true},
		{"OpenVINO wherever it likes", least + "providers: {order: [{name: openvino, options: " +
			"{device_type: AUTO}}]}\n", false},
		{"no option of the CPU", least + "providers: {order: [{name: cpu, options: {}}]}\n", true},
		{"a wrong policy", least + "providers: {policy: perhaps}\n", false},
		{"a tolerance below zero", least + "golden: {box_tolerance: -1}\n", false},
		{"a class without threshold", strings.Replace(least, ", threshold: 0.5", "", 1), false},
		{"a class of two words", strings.Replace(least, "name: open", "name: 虚焊 (cold joint)", 1), true},
		{"a class of one blank", strings.Replace(least, "name: open", "name: ' '", 1), false},
		{"a class with a blank behind", strings.Replace(least, "name: open", "name: 'a '", 1), false},
		{
			"a class too long",
			strings.Replace(least, "name: open", "name: "+strings.Repeat("é", 65), 1), false,
		},
		{"no class", strings.Replace(least, "[{name: open, threshold: 0.5}]", "[]", 1), false},
		{"an input too wide", strings.Replace(least, "width: 64", "width: 9999", 1), false},
		{"a version of one number", strings.Replace(least, "1.0.0", `"1"`, 1), false},
		{"an anomaly", unusual, true},
		{"its own threshold", strings.Replace(unusual, "name: dent", "name: dent, threshold: 0.7", 1), true},
		{"no threshold of pixels", strings.Replace(unusual, "pixel_threshold: 3, ", "", 1), false},
		{"a range below zero", strings.Replace(unusual, "min: 0", "min: -9", 1), true},
		{"normalized twice", strings.Replace(unusual, "{image", "{normalized: true, image", 1), false},
		{"normalized", strings.Replace(unusual, numbers, "{normalized: true}", 1), true},
		{"an anomaly by nothing", strings.Replace(unusual, ", anomaly: "+numbers, "", 1), false},
		{"a good anomaly", strings.Replace(unusual, "dent", "dent, good: true", 1), false},
		{"two anomalies", strings.Replace(unusual, "{name: dent}", "{name: dent}, {name: nick}", 1), false},
		{"an anomaly of boxes", strings.Replace(least, "yolov8", "yolov8, anomaly: "+numbers, 1), false},
		{"an anomaly that classifies", unusual + "task: classification\n", false},
		{"a classification", kinds, true},
		{"a classification by no activation", strings.Replace(kinds, ", activation: softmax", "", 1), false},
		{"an unknown activation", strings.Replace(kinds, "softmax", "relu", 1), false},
		{"a classification of nothing good", strings.Replace(kinds, ", good: true", "", 1), false},
		{
			"a good thing of a detection",
			strings.Replace(least, "0.5}", "0.5, good: true}, {name: b, threshold: 1}", 1), true,
		},
		{"softmax of one class", strings.Replace(kinds, ", {name: scratch, threshold: 0.5}", "", 1), false},
		{"a classifier that detects", strings.Replace(kinds, "classification", "detection", 1), false},
		{"boxes that classify", least + "task: classification\n", false},
		{"another decoder", strings.Replace(least, "yolov8", "yolov4", 1), false},
		{"gray in black and white", gray + "preprocess: {binarize: 128}\n", true},
		{"a threshold in quotes", gray + "preprocess: {binarize: '7'}\n", true},
		{"a threshold by Otsu", gray + "preprocess: {binarize: otsu}\n", true},
		{"a threshold of nothing", gray + "preprocess: {binarize: 0}\n", false},
		{"a threshold over all grays", gray + "preprocess: {binarize: 256}\n", false},
		{"a threshold by nobody", gray + "preprocess: {binarize: niblack}\n", false},
		{"two channels without a template", strings.Replace(gray, "channels: 1", "channels: 2", 1), false},
		{"a template in gray", strings.Replace(gray, "channels: 1", "channels: 2, template: true", 1), false},
		{"division by zero", least + "preprocess: {std: [1, 0, 1]}\n", false},
		{"the least and the most of a normalization", least + "preprocess: " +
			"{scale: 0.000001, mean: [-1000000, 0, 1000000], std: [-1000000, 0.000001, -0.000001]}\n", true},
		{"a scale of zero", least + "preprocess: {scale: 0}\n", false},
		{"a scale too large", least + "preprocess: {scale: 1000001}\n", false},
		{"a mean too large", least + "preprocess: {mean: [0, -1000001, 0]}\n", false},
		{"nearly a division by zero", least + "preprocess: {std: [1, -0.0000001, 1]}\n", false},
		{"bytes", pixels + "preprocess: {pad: 0}\n", true},
		{
			"halves",
			strings.Replace(pixels, "uint8", "float16", 1) + "preprocess: {std: [0.5, 0.5, 0.5]}\n", true,
		},
		{"halves of another kind", strings.Replace(pixels, "uint8", "bfloat16", 1), false},
		{"bytes and a scale", pixels + "preprocess: {scale: 1}\n", false},
		{"bytes and a mean", pixels + "preprocess: {mean: [0, 0, 0]}\n", false},
		{"bytes and a std", pixels + "preprocess: {std: [1, 1, 1]}\n", false},
		{"no area at all", least + "golden: {area_tolerance: 1.1}\n", false},
		{"a semantic mask", semantic, true},
		{
			"a mask without a background",
			strings.Replace(semantic, "background: 0", "background: -1", 1), true,
		},
		{
			"a background that is no class",
			strings.Replace(semantic, "background: 0", "background: -2", 1), false,
		},
		{"a mask that says no background", strings.Replace(semantic, "background: 0, ", "", 1), false},
		{"a mask that says no activation", strings.Replace(semantic, "activation: softmax, ", "", 1), false},
		{"good alone", strings.Replace(least, "0.5}", "0.5, good: true}", 1), false},
		{
			"good beside a defect, across classes",
			strings.Replace(strings.Replace(least, "0.5}", "0.5, good: true}, {name: b, threshold: 1}", 1),
				"yolov8", "yolov8, class_agnostic: true", 1), false,
		},
		{"a floor of one", strings.Replace(least, "yolov8", "yolov8, score_floor: 1", 1), false},
		{"a mask of one class", strings.Replace(least, "yolov8", "semantic", 1), true},
		{"no such activation", strings.Replace(semantic, "softmax", "tanh", 1), false},
		{"an activation of boxes", strings.Replace(least, "{family", "{activation: none, family", 1), false},
		{"the task of another family", semantic + "task: oriented\n", false},
		{
			"turned boxes that are upright",
			strings.Replace(least, "yolov8", "yolov8-obb", 1) + "task: detection\n", false,
		},
		{"turned boxes", strings.Replace(least, "yolov8", "yolov8-obb", 1) + "task: oriented\n", true},
		{"masks of prototypes", strings.Replace(least, "yolov8", "yolov8-seg", 1), true},
		{"objectness", strings.Replace(least, "yolov8", "yolov5", 1), true},
		{"cells", strings.Replace(least, "yolov8", "yolox", 1), true},
		{"detections of a model that suppresses", strings.Replace(least, "yolov8", "end2end", 1), true},
		{"queries", strings.Replace(least, "yolov8", "detr", 1), true},
		{"exclusive queries", strings.Replace(least, "yolov8", "detr, activation: softmax", 1), true},
		{"queries without activation", strings.Replace(least, "yolov8", "detr, activation: none", 1), false},
		{"queries of corners", strings.Replace(least, "yolov8", "detr, corners: yxyx", 1), false},
		{
			"boxes and scores", strings.Replace(least, "yolov8",
				"ssd, activation: softmax, coordinates: unit, corners: yxyx, no_object: first", 1), true,
		},
		{"boxes of no unit", strings.Replace(least, "yolov8", "ssd, coordinates: mm", 1), false},
		{"corners of nothing", strings.Replace(least, "yolov8", "ssd, corners: xywh", 1), false},
		{"no object anywhere", strings.Replace(least, "yolov8", "ssd, no_object: 0", 1), false},
		{"labels", strings.Replace(least, "yolov8", "labelled, no_object: first", 1), true},
		{
			"labels of which the last is none",
			strings.Replace(least, "yolov8", "labelled, no_object: last", 1), false,
		},
		{"no object of cells", strings.Replace(least, "yolov8", "yolox, no_object: last", 1), false},
		{
			"a constant",
			strings.Replace(least, "height: 64", "height: 64, constants: {size: [64, 64]}", 1), true,
		},
		{
			"a constant of nothing",
			strings.Replace(least, "height: 64", "height: 64, constants: {size: []}", 1), false,
		},
		{
			"too large a constant",
			strings.Replace(least, "height: 64", "height: 64, constants: {size: [1000000001]}", 1), false,
		},
		{
			"too many numbers", strings.Replace(least, "height: 64",
				"height: 64, constants: {size: [0"+strings.Repeat(", 0", 64)+"]}", 1), false,
		},
		{
			"too many constants", strings.Replace(least, "height: 64", "height: 64, constants: {a: [0], "+
				"b: [0], c: [0], d: [0], e: [0], f: [0], g: [0], h: [0], i: [0]}", 1), false,
		},
		{"two models", least + judge, true},
		{
			"two models and all keys",
			more("of: [open], margin: 0.1, most: 8, batch: 4, preprocess: {pad: 0}"), true,
		},
		{"a second model of nothing good", judged(", good: true", ""), true},
		{"a second model of one class", judged(", {name: scratch, threshold: 0.5}", ""), false},
		{"a second model without threshold", judged(", threshold: 0.5}]", "}]"), false},
		{"a second model without a name", judged("model: small.onnx, ", ""), false},
		{"a second model that finds", judged("classifier, activation: softmax", "yolov8"), false},
		{
			"a second model of a template", judged("height: 64", "height: 64, channels: 2, template: true"),
			false,
		},
		{
			"a second model that normalizes",
			judged("height: 64}", "height: 64, type: uint8}, preprocess: {scale: 1}"), false,
		},
		{"a second model of no class", more("of: []"), false},
		{"a second model of a class twice", more("of: [open, open]"), false},
		{"a margin too wide", more("margin: 2.1"), false},
		{"no crop", more("most: -1"), false},
		{"too many crops", more("most: 257"), false},
		{"too many crops at once", more("batch: 65"), false},
		{
			"a second model of a whole frame", kinds + strings.Replace(judge, "name: ok", "name: fine", 1),
			false,
		},
		{"a second model of an anomaly", unusual + judge, false},
		{
			"a variant of the second model",
			least + judge + "providers: {order: [{name: cpu, then: model.onnx}]}\n", true,
		},
		{"measures", measured(""), true},
		{
			"a measure with all keys",
			measured(", unit: mm, relative: width, scale: -0.01, min: -1, max: 2, tolerance: 0"), true,
		},
		{"a measure with a unit too long", measured(", unit: " + strings.Repeat("m", 17)), false},
		{"a measure of an area", measured(", relative: area"), false},
		{"a measure that is endless", measured(", max: 10000000000"), false},
		{"a measure of a tolerance below zero", measured(", tolerance: -1"), false},
		{"a measure with classes", measured("") + "  classes: [{name: a, threshold: 0.5}]\n", false},
		{"no measures", strings.Replace(measured(""), "measures: [{name: width}]", "measures: []", 1), false},
		{"measures of nothing", strings.Replace(measured(""), ", measures: [{name: width}]", "", 1), false},
		{"measures of a classifier", judged("activation", "measures: [{name: width}], activation"), false},
		{
			"measures of a frame", strings.Replace(least, "yolov8", "measure, measures: [{name: width}]", 1),
			false,
		},
		{"a variant of none", least + "providers: {order: [{name: cpu, then: small.onnx}]}\n", false},
		{"tolerances of zero", least + "golden: {box_tolerance: 0, score_tolerance: 0}\n", true},
		{"a tolerance of more than any input", least + "golden: {box_tolerance: 4097}\n", false},
		{"a tolerance of all scores and more", least + "golden: {score_tolerance: 1.5}\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var document any
			require.NoError(t, yaml.Unmarshal([]byte(c.manifest), &document))
			raw, err := json.Marshal(document)
			require.NoError(t, err)
			fault := validate(t, bundleFile, "", raw)
			require.Equal(t, c.valid, fault == nil, "schema: %v", fault)
			fault = load(t, c.manifest)
			require.Equal(t, c.valid, fault == nil, "bundle.Load: %v", fault)
		})
	}
}

func TestTheSchemaAndTheGuideNameTheOptionsThatLoad(t *testing.T) {
	var schema struct {
		Defs struct {
			Provider struct {
				AllOf []struct {
					If struct {
						Properties struct{ Name struct{ Const string } }
					}
					Then struct {
						Properties struct {
							Options struct{ PropertyNames struct{ Enum []string } }
						}
					}
				}
			}
		} `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal([]byte(text(t, bundleFile)), &schema))
	rules := schema.Defs.Provider.AllOf
	require.Len(t, rules, 4, "tensorrt, cuda, openvino, cpu")
	guide := text(t, "../bundle.md")
	for _, rule := range rules {
		options := bundle.ProviderOptions(rule.If.Properties.Name.Const)
		require.Equal(t, options, rule.Then.Properties.Options.PropertyNames.Enum)
		for _, key := range options {
			require.Contains(t, guide, "`"+key+"`")
		}
	}
}

func TestExpectedDetectionsOfBundlesAreValid(t *testing.T) {
	dirs, err := filepath.Glob("../../agent/internal/worker/infer/ort/testdata/families/*")
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	for _, dir := range append(dirs, reference, pairs) {
		b, err := bundle.Load(dir)
		require.NoError(t, err)
		require.NotEmpty(t, b.Manifest.Golden.Samples)
		for _, sample := range b.Manifest.Golden.Samples {
			expected := []byte(text(t, b.Dir+"/"+sample.Expect))
			require.NoError(t, validate(t, bundleFile, "expected", expected))
			_, err = b.Expected(sample)
			require.NoError(t, err)
		}
	}
}

// The guide says which keys its full example leaves out.
func TestTheGuidesExampleOfAManifestIsValidAndFull(t *testing.T) {
	_, example, found := strings.Cut(text(t, "../bundle.md"), "## A full example")
	require.True(t, found)
	block := yamlBlock.FindStringSubmatch(example)
	require.NotNil(t, block)
	require.NoError(t, load(t, block[1]))
	given := map[string]bool{}
	var document any
	require.NoError(t, yaml.Unmarshal([]byte(block[1]), &document))
	collect(document, given)
	var left []string
	for _, value := range []any{
		bundle.Manifest{},
		bundle.Input{},
		bundle.Preprocess{},
		bundle.Decoder{},
		bundle.Anomaly{},
		bundle.Class{},
		bundle.Then{},
		bundle.Measure{},
		bundle.Providers{},
		bundle.Provider{},
		bundle.Golden{},
		bundle.GoldenSample{},
	} {
		all, _ := fields(reflect.TypeOf(value), "yaml")
		left = append(left, slices.DeleteFunc(all, func(key string) bool { return given[key] })...)
	}
	require.ElementsMatch(t, []string{
		"scale", "mean", "std", "activation", "background", "min_area", "good",
		"constants", "coordinates", "corners", "no_object",
		"anomaly", "image_threshold", "pixel_threshold", "min", "max", "normalized",
		"then", "of", "margin", "most", "then", "reference",
		"measures", "unit", "relative", "scale", "min", "max", "tolerance",
	}, left)
}

// collect notes the keys of all maps in a document.
func collect(document any, keys map[string]bool) {
	switch d := document.(type) {
	case map[string]any:
		for key, value := range d {
			keys[key] = true
			collect(value, keys)
		}
	case []any:
		for _, value := range d {
			collect(value, keys)
		}
	}
}

// A page that shows what an older model printed misleads: the examples are of the bundle that is here.
func TestExamplesOnThePagesAreValidAndOfTheReferenceBundle(t *testing.T) {
	reference, err := bundle.Load(reference)
	require.NoError(t, err)
	examples := jsonBlock.FindAllStringSubmatch(text(t, "../events.md"), -1)
	require.Len(t, examples, 2, "an inspection event, and the data of a state")
	require.NoError(t, validate(t, inspectionFile, "", []byte(examples[0][1])))
	require.NoError(t, validate(t, stateFile, "state", []byte(examples[1][1])))
	pages, err := filepath.Glob("../*.md")
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	for _, page := range pages {
		for _, m := range bundleVersion.FindAllStringSubmatch(text(t, page), -1) {
			require.Equal(t, reference.Manifest.Version, m[1], "%s: %s", page, m[0])
		}
	}
}

var (
	jsonBlock     = regexp.MustCompile("(?s)```json\n(.*?)```")
	yamlBlock     = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	bundleVersion = regexp.MustCompile(`pcb-defects(?:"?,"version":"|\nversion: | )(\d+\.\d+\.\d+)`)
)

const everyKey = `serial: 3
task: detection
model: model.onnx
preprocess: {resize: stretch, color: bgr, scale: 1, mean: [1, 2, 3], std: [1, 1, 2], pad: 0}
providers: {order: [{name: cuda, options: {device_id: "0"}}, {name: cpu, model: small.onnx}], policy: require}
golden: {box_tolerance: 1, score_tolerance: 0.1, samples: [{image: golden/a.png, expect: golden/a.json}]}
`

// load reads a manifest beside stand-ins of all files that it may name.
func load(t *testing.T, manifest string) error {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(dir+"/golden", 0o750))
	for _, name := range []string{
		"model.onnx", "small.onnx", "model-int8.onnx", "golden/a.png", "golden/a.json",
	} {
		require.NoError(t, os.WriteFile(dir+"/"+name, []byte("[]"), 0o600))
	}
	for i := range 4 {
		for _, extension := range []string{".png", ".json", "-template.png"} {
			name := dir + "/golden/board-" + string(rune('1'+i)) + extension
			require.NoError(t, os.WriteFile(name, []byte("[]"), 0o600))
		}
	}
	require.NoError(t, os.WriteFile(dir+"/bundle.yaml", []byte(manifest), 0o600))
	_, err := bundle.Load(dir)
	return err
}

func inspection() event.Inspection {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	return event.Inspection{
		ResultID: "r-1", JobID: "boot-1", AcquisitionID: 1, PartID: "PCB-1", RecipeID: "top",
		ProductID:       "MB-7",
		ConfigurationID: "sha256:" + strings.Repeat("a", 64), CreationTime: at,
		ProcessingTimes: event.ProcessingTimes{StartTime: at, EndTime: at}, IsSimulated: true,
		ResultState: event.ResultCompleted, Verdict: event.Fail, Overrun: true,
		Defects: []event.Defect{{
			Class: "open", Score: 0.5, Box: [4]float32{1, 2, 3, 4}, Crop: 1, Zone: "edge",
			Measures: []event.Measure{{Name: "width", Value: 0.25, Unit: "mm"}, {Name: "offset"}},
		}},
		Frame: event.Frame{Number: 1, Width: 640, Height: 640, Source: "0"},
		Model: event.Model{
			Name: "pcb-defects", Version: "1.0.0", Provider: "cpu",
			Digest: "sha256:" + strings.Repeat("b", 64),
		},
		Truth: []event.Defect{{Class: "open", Score: 1, Box: [4]float32{1, 2, 3, 4}}},
	}
}

func encoded(t *testing.T, kind, subject string, data any) []byte {
	t.Helper()
	station, err := topic.ParseStation("acme/dongguan/smt/line3/aoi-1")
	require.NoError(t, err)
	raw, err := event.Encode("r-1", kind, station, subject, time.Now(), data)
	require.NoError(t, err)
	return raw
}

func validate(t *testing.T, file, def string, document []byte) error {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if def != "" {
		file += "#/$defs/" + def
	}
	schema, err := compiler.Compile(file)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(document)))
	require.NoError(t, err)
	return schema.Validate(value)
}

func read(t *testing.T, file string) object {
	t.Helper()
	var schema object
	require.NoError(t, json.Unmarshal([]byte(text(t, file)), &schema))
	return schema
}

func text(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(raw)
}

func names(o object) []string {
	list := make([]string, 0, len(o.Properties))
	for name := range o.Properties {
		list = append(list, name)
	}
	return list
}

// fields returns a struct's names by tag, and those of them that are encoded whatever their value.
func fields(typed reflect.Type, tag string) (all, always []string) {
	for field := range typed.Fields() {
		if !field.IsExported() {
			continue
		}
		parts := strings.Split(field.Tag.Get(tag), ",")
		all = append(all, parts[0])
		if !slices.Contains(parts[1:], "omitempty") {
			always = append(always, parts[0])
		}
	}
	return all, always
}
