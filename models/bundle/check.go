package bundle

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sightline-edge/sightline/models/strictyaml"
)

// Values that a manifest may name.
const (
	TaskDetection = "detection"

	TaskOriented     = "oriented"
	TaskSegmentation = "segmentation"
	TaskSemantic     = "semantic"

	TaskClassification = "classification"
	TaskAnomaly        = "anomaly"

	Otsu           = "otsu"
	LayoutNCHW     = "nchw"
	LayoutNHWC     = "nhwc"
	TypeFloat32    = "float32"
	TypeFloat16    = "float16"
	TypeUint8      = "uint8"
	Letterbox      = "letterbox"
	Stretch        = "stretch"
	ColorRGB       = "rgb"
	ColorBGR       = "bgr"
	ColorGray      = "gray"
	PolicyFallback = "fallback"
	PolicyRequire  = "require"
)

const (
	minSide     = 32
	maxSide     = 4096
	maxChannels = 3
	maxClasses  = 1000
	maxName     = 64 // characters of a class
	maxBatch    = 64
	maxValues   = 1 << 28 // of the input of one run: 1 GiB of float32
	grayPad     = 114     // the border that YOLO models are trained with
)

var (
	namePattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	versionPattern = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
)

func setDefault[T comparable](v *T, value T) {
	if *v == *new(T) {
		*v = value
	}
}

// setAbsent is for values of which zero is one.
func setAbsent[T any](v **T, value T) {
	if *v == nil {
		*v = &value
	}
}

// complete fills in what may be left out.
func (m *Manifest) complete() {
	setDefault(&m.Task, cmp.Or(Task(m.Decoder.Family), TaskDetection))
	setDefault(&m.Model, ModelFile)
	setDefault(&m.Input.Layout, LayoutNCHW)
	setDefault(&m.Input.Type, TypeFloat32)
	setDefault(&m.Input.Channels, 3)
	setDefault(&m.Preprocess.Resize, Letterbox)
	setDefault(&m.Decoder.ScoreFloor, 0.01)
	setDefault(&m.Decoder.NMSIoU, 0.6)
	setDefault(&m.Decoder.MaxDetections, 100)
	setDefault(&m.Providers.Policy, PolicyFallback)
	setAbsent(&m.Golden.BoxTolerance, 2)
	setAbsent(&m.Golden.ScoreTolerance, 0.05)
	setAbsent(&m.Golden.AreaTolerance, 0.05)
	if m.Preprocess.Color == "" {
		m.Preprocess.Color = ColorRGB
		if m.planes() == 1 {
			m.Preprocess.Color = ColorGray
		}
	}
	setAbsent(&m.Preprocess.Scale, 1.0/255)
	setAbsent(&m.Preprocess.Pad, grayPad)
	if m.Preprocess.Mean == nil {
		m.Preprocess.Mean = slices.Repeat([]float64{0}, m.bounded())
	}
	if m.Preprocess.Std == nil {
		m.Preprocess.Std = slices.Repeat([]float64{1}, m.bounded())
	}
	if m.Providers.Order == nil {
		m.Providers.Order = []Provider{{Name: ProviderTensorRT}, {Name: ProviderCUDA}, {Name: ProviderCPU}}
	}
	for i := range m.Providers.Order {
		setDefault(&m.Providers.Order[i].Model, m.Model)
		setDefault(&m.Providers.Order[i].Batch, 1)
	}
	m.completeSemantic()
	m.completeDetector()
	m.completeAnomaly()
	if m.Decoder.Outputs == nil {
		m.Decoder.Outputs = map[string]string{}
	}
	for _, role := range m.Decoder.Roles() {
		if m.Decoder.Outputs[role.Key] == "" && !role.Optional {
			m.Decoder.Outputs[role.Key] = role.Usual
		}
	}
	m.completeThen()
}

// bounded is the number of channels, before anybody checked it.
func (m *Manifest) bounded() int { return min(max(m.Input.Channels, 0), maxChannels) }

// planes is the number of channels that the frame fills.
func (m *Manifest) planes() int {
	if m.Input.Template {
		return m.Input.Channels - 1
	}
	return m.Input.Channels
}

// check reports everything that is wrong with the values.
func (m *Manifest) check(doc *strictyaml.Document) {
	if !namePattern.MatchString(m.Name) {
		doc.Add("name", fmt.Sprintf("%q is not a name", m.Name), "1 to 64 letters, digits, '.', '_', '-'")
	}
	if !versionPattern.MatchString(m.Version) {
		doc.Add("version", fmt.Sprintf("%q is not a semantic version", m.Version), "such as 1.2.0, in quotes")
	}
	doc.OneOf("task", m.Task, Tasks()...)
	m.checkInput(doc)
	m.checkPreprocess(doc)
	m.checkDecoder(doc)
	m.checkClasses(doc)
	m.checkProviders(doc)
	m.checkReference(doc)
	m.checkThen(doc)
	doc.Within("golden.box_tolerance", *m.Golden.BoxTolerance, 0, maxSide)
	doc.Within("golden.score_tolerance", *m.Golden.ScoreTolerance, 0, 1)
	doc.Within("golden.area_tolerance", *m.Golden.AreaTolerance, 0, 1)
}

func (m *Manifest) checkInput(doc *strictyaml.Document) {
	doc.Within("input.width", float64(m.Input.Width), minSide, maxSide)
	doc.Within("input.height", float64(m.Input.Height), minSide, maxSide)
	switch planes := m.planes(); {
	case m.Input.Template && planes != 1:
		doc.Add("input.channels", fmt.Sprintf("%d channels with a template", m.Input.Channels),
			"2: the frame's gray and the template's")
	case planes != 1 && planes != 3:
		doc.Add("input.channels", fmt.Sprintf("%d channels", m.Input.Channels), "1 (gray) or 3 (colour)")
	}
	doc.OneOf("input.layout", m.Input.Layout, LayoutNCHW, LayoutNHWC)
	doc.OneOf("input.type", m.Input.Type, TypeFloat32, TypeFloat16, TypeUint8)
	m.checkConstants(doc)
}

func (m *Manifest) checkDecoder(doc *strictyaml.Document) {
	m.checkFamily(doc)
	m.checkSemantic(doc)
	m.checkDetector(doc)
	m.Decoder.checkMeasures(doc)
	doc.Within("decoder.score_floor", m.Decoder.ScoreFloor, 0.0001, 0.99) // at 1 its logit is endless
	doc.Within("decoder.nms_iou", m.Decoder.NMSIoU, 0.01, 1)
	doc.Within("decoder.max_detections", float64(m.Decoder.MaxDetections), 1, 1000)
}

func (m *Manifest) checkClasses(doc *strictyaml.Document) {
	if len(m.Classes) == 0 || len(m.Classes) > maxClasses {
		doc.Add(
			"classes",
			fmt.Sprintf("%d classes", len(m.Classes)),
			"name each output of the model, in its order",
		)
	}
	m.checkGood(doc)
	seen := make(map[string]bool, len(m.Classes))
	for i, c := range m.Classes {
		at := fmt.Sprintf("classes[%d]", i)
		if !printable(c.Name) {
			doc.Add(at+".name", fmt.Sprintf("%q is not a name", c.Name),
				"1 to 64 characters that print, no blank at its ends")
		}
		if seen[c.Name] {
			doc.Add(at+".name", c.Name+" is there twice", "classes have different names")
		}
		seen[c.Name] = true
		doc.Within(at+".threshold", c.Threshold, m.Decoder.ScoreFloor, 1)
	}
}

// checkGood reports good classes by which every part would pass.
func (m *Manifest) checkGood(doc *strictyaml.Document) {
	if m.Task == TaskClassification || m.Task == TaskAnomaly { // these have their own
		return
	}
	good, defects := 0, 0
	for i, c := range m.Classes {
		switch background := m.Decoder.Background; {
		case c.Good:
			good++
		case background == nil || *background != i:
			defects++
		}
	}
	if good > 0 && defects == 0 {
		doc.Add("classes", "all of them are good: each part would pass",
			"leave good out at those that are defects")
	}
	if good > 0 && m.Decoder.ClassAgnostic {
		doc.Add("decoder.class_agnostic", "a box of a good class would suppress a defect below it",
			"leave it out, or good out of the classes")
	}
}

func (m *Manifest) checkProviders(doc *strictyaml.Document) {
	doc.OneOf("providers.policy", m.Providers.Policy, PolicyFallback, PolicyRequire)
	if len(m.Providers.Order) == 0 {
		doc.Add("providers.order", "no provider", "leave it out for tensorrt, cuda, cpu")
	}
	for i, p := range m.Providers.Order {
		at := fmt.Sprintf("providers.order[%d]", i)
		doc.OneOf(at+".name", p.Name, providers()...)
		doc.Within(at+".batch", float64(p.Batch), 1, maxBatch)
		p.checkOptions(doc, at)
		checkRun(doc, at+".batch", p.Batch, &m.Input)
	}
}

// checkRun bounds what the images of one run take.
func checkRun(doc *strictyaml.Document, path string, images int, in *Input) {
	if values := images * in.Width * in.Height * in.Channels; values > maxValues {
		doc.Add(path, fmt.Sprintf("%d images of %d×%d×%d are %d values", images, in.Width, in.Height,
			in.Channels, values), fmt.Sprintf("at most %d of one run", maxValues))
	}
}

// printable says whether a text may name a class: it stands in events, reports and pictures, in any script.
func printable(name string) bool {
	n := utf8.RuneCountInString(name)
	return n >= 1 && n <= maxName && utf8.ValidString(name) && strings.TrimSpace(name) == name &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}
