// Package bundle is the public contract of a model that explains itself: a folder with bundle.yaml,
// model.onnx and golden samples, and one digest over all of it.
package bundle

// Names of the files of a bundle.
const (
	ManifestFile = "bundle.yaml"
	ModelFile    = "model.onnx"
)

// Manifest is bundle.yaml.
type Manifest struct {
	Name    string `yaml:"name"`    // letters, digits, . _ -
	Version string `yaml:"version"` // semantic version
	Serial  uint64 `yaml:"serial"`  // grows with each release of this name
	Task    string `yaml:"task"`    // that of the decoder's family, which is the default

	Model      string     `yaml:"model"` // default model.onnx; one file, no external data
	Input      Input      `yaml:"input"`
	Preprocess Preprocess `yaml:"preprocess"`
	Decoder    Decoder    `yaml:"decoder"`
	// Classes are in the order of the model's outputs. In a bundle that was loaded, those of the second model
	// stand behind them.
	Classes   []Class   `yaml:"classes"`
	Then      *Then     `yaml:"then"` // nil: one model does it all
	Providers Providers `yaml:"providers"`
	Golden    Golden    `yaml:"golden"`
	Reference Reference `yaml:"reference"` // what images of good parts were like

	ofCrops bool // the model sees what another one found
}

// Input is the model's image input.
type Input struct {
	Name     string `yaml:"name"`     // of the ONNX input; empty: the only one
	Width    int    `yaml:"width"`    // pixels, 32 to 4096
	Height   int    `yaml:"height"`   // pixels, 32 to 4096
	Channels int    `yaml:"channels"` // 1 or 3; with a template 2: the frame's gray and the template's
	Template bool   `yaml:"template"` // the last channel is the golden template, moved onto the frame
	Layout   string `yaml:"layout"`   // nchw (default) or nhwc
	Type     string `yaml:"type"`     // float32 (default), float16 or uint8
	// Constants are the model's other inputs by name, the same numbers in each run: at most 8 of 64.
	Constants map[string][]float64 `yaml:"constants"`
}

// Preprocess says how a frame becomes the input: value = (pixel × scale − mean) / std. Of a uint8 input it is
// the pixel: scale, mean and std are left out.
type Preprocess struct {
	Resize string    `yaml:"resize"` // letterbox (default) or stretch
	Color  string    `yaml:"color"`  // rgb (default for 3 channels), bgr, gray (default for 1)
	Scale  *float64  `yaml:"scale"`  // default 1/255
	Mean   []float64 `yaml:"mean"`   // per channel, default 0
	Std    []float64 `yaml:"std"`    // per channel, default 1
	Pad    *uint8    `yaml:"pad"`    // letterbox border as a pixel value, default 114
	// Binarize makes 0 or 255 of gray: otsu (a threshold for each frame), or the least gray that becomes
	// 255, 1 to 255. Empty: gray stays gray.
	Binarize string `yaml:"binarize"`
}

// Decoder says how outputs become detections.
type Decoder struct {
	// Family is yolov8: one output [1, 4+classes, N], cx cy w h in input pixels, then scores; or dfl:
	// logits of the classes [1, classes, h, w] and, for the left, top, right and bottom side in turn, of
	// its distance from the cell's centre in 0, 1, 2 … cells [1, 4×bins, h, w] (Li et al., Generalized
	// Focal Loss, 2020).
	Family        string            `yaml:"family"`
	Outputs       map[string]string `yaml:"outputs"`        // names of the ONNX outputs by the family's roles
	ScoreFloor    float64           `yaml:"score_floor"`    // candidates below are passed over, default 0.01
	NMSIoU        float64           `yaml:"nms_iou"`        // default 0.6
	ClassAgnostic bool              `yaml:"class_agnostic"` // suppress across classes; default class by class
	MaxDetections int               `yaml:"max_detections"` // default 100
	// Of families semantic and classifier: softmax, sigmoid or none, needed but for a semantic mask of one
	// class: sigmoid. Of detr: sigmoid (default) or softmax, where the last number is that of no object. Of
	// ssd: none (default), softmax or sigmoid.
	Activation string `yaml:"activation"`
	// Of family ssd: where the corners of a box are, and in which order.
	Coordinates string `yaml:"coordinates"` // pixels (default) or unit, of the input
	Corners     string `yaml:"corners"`     // xyxy (default), yxyx or cxcywh
	// NoObject is which of the numbers of a box stands for no object, of family ssd and of the labels of
	// labelled: none (default), first or, of ssd, last.
	NoObject string `yaml:"no_object"`
	// Of family semantic. Background is the class that is no finding, -1: none; needed but for one class: -1.
	Background *int      `yaml:"background"`
	MinArea    float64   `yaml:"min_area"` // pixels of the frame that a finding has at least, default 1
	Anomaly    Anomaly   `yaml:"anomaly"`  // of family anomaly
	Measures   []Measure `yaml:"measures"` // of family measure, in the order of its numbers
}

// Anomaly says how the numbers of an anomaly map and of its image become scores: a number x becomes
// (x − threshold) / (max − min) + 0.5, clipped to 0 to 1, the min-max normalization of anomalib, with the
// thresholds and the range that it stores after training. All four are needed, or else Normalized.
type Anomaly struct {
	ImageThreshold *float64 `yaml:"image_threshold"`
	PixelThreshold *float64 `yaml:"pixel_threshold"`
	Min            *float64 `yaml:"min"`
	Max            *float64 `yaml:"max"`
	Normalized     bool     `yaml:"normalized"` // the graph does that
}

// Class is one kind of defect, or of a good part.
type Class struct {
	Name      string  `yaml:"name"`
	Threshold float64 `yaml:"threshold"` // a detection counts from this score up
	Good      bool    `yaml:"good"`      // no defect: what is found of it never counts as one
}

// Providers is the order in which execution providers are tried.
type Providers struct {
	Order  []Provider `yaml:"order"`  // default tensorrt, cuda, cpu
	Policy string     `yaml:"policy"` // fallback (default: the next, and say so) or require (the first)
}

// Provider is one execution provider.
type Provider struct {
	Name  string `yaml:"name"`  // tensorrt, cuda, openvino, cpu
	Model string `yaml:"model"` // a variant, such as int8; default the bundle's
	// Batch is the most images of one run, 1 (default) to 64, as tiles of a sheet: more than one where the
	// model's first dimension is not fixed. It is used only where it turns out to be faster.
	Batch   int               `yaml:"batch"`
	Then    string            `yaml:"then"`    // a variant of the second model; default then.model
	Options map[string]string `yaml:"options"` // of ONNX Runtime, those of ProviderOptions
}

// Golden are samples with the detections that any provider must reproduce within the tolerance.
type Golden struct {
	BoxTolerance   *float64       `yaml:"box_tolerance"`   // pixels, 0 to 4096, default 2
	ScoreTolerance *float64       `yaml:"score_tolerance"` // 0 to 1, default 0.05
	AreaTolerance  *float64       `yaml:"area_tolerance"`  // part of the area, 0 to 1, default 0.05
	Samples        []GoldenSample `yaml:"samples"`
}

// GoldenSample is an image (PNG) beside the detections expected of it (JSON: a list of Detection; all that
// reach their class's threshold).
type GoldenSample struct {
	Image    string `yaml:"image"`    // golden/…png
	Template string `yaml:"template"` // golden/…png, for models that take one
	Expect   string `yaml:"expect"`   // golden/…json
}

// Detection is one expected detection of a golden sample. Box is x1, y1, x2, y2 in image pixels, exclusive at
// right and bottom. Area is that of an outline's inside in image pixels; 0: it is not compared. Measures are
// what the second model measures, each of them; nil: they are not compared.
type Detection struct {
	Class    string     `json:"class"`
	Score    float32    `json:"score"`
	Box      [4]float32 `json:"box"`
	Area     float32    `json:"area,omitempty"`
	Measures []float32  `json:"measures,omitempty"`
}

// Comparison is the manifest of an inspection without a model, which finds where a board differs from its
// golden template, whatever the difference is.
func Comparison() Manifest {
	return Manifest{
		Name: "compare", Task: TaskDetection,
		Decoder: Decoder{MaxDetections: 100},
		Classes: []Class{{Name: "difference", Threshold: 0.2}},
	}
}
