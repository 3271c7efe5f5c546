// Package draft reads a bare ONNX model and writes the manifest that it may have, with what nobody can read
// from the file marked for its user to fill in.
package draft

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// ErrDraft is wrapped where no manifest can be drafted.
var ErrDraft = errors.New("no draft")

// maxClasses of a manifest.
const maxClasses = 1000

// maxConstant is how many numbers of an input a manifest may give.
const maxConstant = 64

// Draft is what a model says of itself, and the manifest that may fit it.
type Draft struct {
	Model     string         `json:"model"` // its file
	Producer  string         `json:"producer,omitempty"`
	Opset     int64          `json:"opset"`
	Precision string         `json:"precision"` // of most of its weights
	Inputs    []Port         `json:"inputs"`
	Outputs   []Port         `json:"outputs"`
	Nodes     map[string]int `json:"nodes"` // of each operator
	// Guesses are the families of decoders that may read it, the likeliest first; none: the manifest has
	// yolov8 for a placeholder.
	Guesses []Guess `json:"guesses"`
	// Fill is what the user has to fill in or confirm, in the order of the manifest.
	Fill     []string `json:"fill"`
	Manifest string   `json:"manifest"` // bundle.yaml

	text strings.Builder
}

// Port is an input or output. A size that is not fixed is ?.
type Port struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape string `json:"shape"`
}

// image is the input that takes the frame, as far as its shape tells.
type image struct {
	name                    string
	layout, kind            string
	channels, width, height int64
}

// New drafts a manifest for a model of this file name.
func New(file string, m *onnxfile.Model) (*Draft, error) {
	d := &Draft{
		Model: filepath.Base(file), Producer: m.Producer, Opset: m.Opset, Precision: precision(m),
		Inputs: ports(m.Inputs), Outputs: ports(m.Outputs), Nodes: m.Operators,
	}
	if !utf8.ValidString(d.Model) || strings.ContainsFunc(d.Model, unicode.IsControl) {
		return nil, fmt.Errorf("%w: no bundle holds a file named %q: rename it", ErrDraft, d.Model)
	}
	in, err := imageOf(m.Inputs)
	if err != nil {
		return nil, err
	}
	s := &seen{outputs: m.Outputs, width: in.width, height: in.height, task: m.Metadata["task"]}
	d.Guesses = s.guesses()
	d.write(in, m)
	d.Manifest = d.text.String()
	return d, nil
}

func ports(list []onnxfile.Port) []Port {
	all := make([]Port, 0, len(list))
	for _, p := range list {
		all = append(all, Port{p.Name, p.Elem.String(), onnxfile.Shape(p.Dims)})
	}
	return all
}

// precision is the type of most tensors of weights: of int8 a model has scales and biases in others, too.
func precision(m *onnxfile.Model) string {
	if m.Weights[onnxfile.Int8] > 0 {
		return onnxfile.Int8.String()
	}
	kinds := slices.Collect(maps.Keys(m.Weights))
	slices.SortFunc(kinds, func(a, b onnxfile.Elem) int {
		return cmp.Or(m.Weights[b]-m.Weights[a], cmp.Compare(a, b))
	})
	kinds = slices.DeleteFunc(kinds, func(e onnxfile.Elem) bool {
		return e == onnxfile.Int64 || e == onnxfile.Int32 // shapes and axes
	})
	if len(kinds) == 0 {
		return "no weights"
	}
	return kinds[0].String()
}

// imageOf finds the input that takes the frame: the only one of four dimensions, or, as torchvision's
// detectors are exported, of three without the number of images.
func imageOf(inputs []onnxfile.Port) (image, error) {
	images := slices.DeleteFunc(slices.Clone(inputs), func(p onnxfile.Port) bool { return len(p.Dims) != 4 })
	if len(images) == 0 && len(inputs) == 1 && len(inputs[0].Dims) == 3 {
		one := inputs[0]
		one.Dims = append([]int64{1}, one.Dims...)
		images = []onnxfile.Port{one}
	}
	if len(images) != 1 {
		return image{}, fmt.Errorf("%w: %d of its inputs have four dimensions: a bundle's model takes one "+
			"image, [1 channels height width] or [1 height width channels]", ErrDraft, len(images))
	}
	p := images[0]
	in := image{
		name: p.Name, layout: bundle.LayoutNCHW, kind: p.Elem.String(),
		channels: p.Dims[1], height: p.Dims[2], width: p.Dims[3],
	}
	if c := p.Dims[3]; c >= 1 && c <= 4 && (p.Dims[1] > 4 || p.Dims[1] == onnxfile.Dynamic) {
		in.layout, in.channels, in.height, in.width = bundle.LayoutNHWC, c, p.Dims[1], p.Dims[2]
	}
	return in, nil
}

// line writes a line of the manifest.
func (d *Draft) line(format string, values ...any) { fmt.Fprintf(&d.text, format+"\n", values...) }

// ask writes a line that the user has to look at, and notes why under its key.
func (d *Draft) ask(key, why, format string, values ...any) {
	d.line(format+"  # CHECK: "+why, values...)
	d.fill(key, why)
}

func (d *Draft) fill(key, why string) { d.Fill = append(d.Fill, key+": "+why) }

func (d *Draft) write(in image, m *onnxfile.Model) {
	d.line("# Drafted from %q: what stands behind CHECK cannot be read from a model.", d.Model)
	d.line("name: %q", name(d.Model))
	d.line("version: 1.0.0")
	d.line("serial: 1")
	g := Guess{Family: bundle.FamilyYOLOv8, Outputs: map[string]string{}}
	if len(d.Guesses) > 0 {
		g = d.Guesses[0]
	}
	d.line("task: %s", bundle.Task(g.Family))
	d.line("model: %q", d.Model)
	d.input(in, m.Inputs)
	d.preprocess(in, g, m)
	d.decoder(g)
	d.classes(g, names(m.Metadata["names"]))
	d.ask("golden", "add pictures and what must be found on them: each node then proves its provider by them",
		"golden: {samples: []}")
}

func (d *Draft) input(in image, all []onnxfile.Port) {
	for _, side := range []*int64{&in.width, &in.height} {
		if *side <= 0 {
			*side = 640
			d.fill("input", "the model takes images of any size: export it with the size that it runs with")
		}
	}
	if in.channels <= 0 {
		in.channels = 3
	}
	d.line("input: {name: %q, width: %d, height: %d, channels: %d, template: %t, layout: %s, type: %s%s}",
		in.name, in.width, in.height, in.channels, in.channels == 2, in.layout, in.kind, d.constants(in, all))
	if in.kind != bundle.TypeFloat32 && in.kind != bundle.TypeFloat16 && in.kind != bundle.TypeUint8 {
		d.fill("input", fmt.Sprintf("%q is %s: export it with float32, float16 or uint8", in.name, in.kind))
	}
}

// constants are numbers for the model's other inputs. Two of them are most often the size of the image.
func (d *Draft) constants(in image, all []onnxfile.Port) string {
	var given []string
	for _, p := range all {
		count := values(p.Dims)
		if p.Name == in.name || count > maxConstant {
			continue
		}
		numbers := slices.Repeat([]string{"0"}, count)
		if count == len([]int64{in.width, in.height}) {
			numbers = []string{strconv.FormatInt(in.width, 10), strconv.FormatInt(in.height, 10)}
		}
		given = append(given, fmt.Sprintf("%q: [%s]", p.Name, strings.Join(numbers, ", ")))
		d.fill("input.constants", fmt.Sprintf("%q takes %d numbers, the same in each run; the size that "+
			"labelled boxes are in is the input's width and height", p.Name, count))
	}
	if len(given) == 0 {
		return ""
	}
	return fmt.Sprintf(", constants: {%s}", strings.Join(given, ", "))
}

// values of an input of one image, more than maxConstant for any that has too many.
func values(dims []int64) int {
	count := int64(1)
	for _, d := range dims {
		if d = max(d, 1); d > maxConstant/count { // before the product, which may overflow
			return maxConstant + 1
		}
		count *= d
	}
	return int(count)
}

// preprocess is that of the family's usual training.
func (d *Draft) preprocess(in image, g Guess, m *onnxfile.Model) {
	ofImageNet := []string{bundle.FamilyClassifier, bundle.FamilyAnomaly, bundle.FamilySemantic}
	color := bundle.ColorRGB
	if in.channels == 1 {
		color = bundle.ColorGray
	}
	why := "must be that of the training; these are the family's usual values"
	ask := func(why, format string, values ...any) { d.ask("preprocess", why, format, values...) }
	switch {
	case in.channels == 2:
		ask("two channels are taken for a board beside its golden template, both in black and white",
			"preprocess: {resize: letterbox, color: gray, binarize: otsu}")
	case in.kind == bundle.TypeUint8:
		ask(why, "preprocess: {resize: letterbox, color: %s}", color)
	case g.Family == bundle.FamilyYOLOX:
		ask(why, "preprocess: {resize: letterbox, color: bgr, scale: 1, pad: 114}")
	case in.channels == 3 && slices.Contains(ofImageNet, g.Family):
		ask(why+", ImageNet's", "preprocess: {resize: stretch, color: rgb, scale: 0.00392156862745098, "+
			"mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}")
	case slices.Contains([]string{bundle.FamilyDETR, bundle.FamilyLabelled}, g.Family):
		ask(why, "preprocess: {resize: stretch, color: %s}", color)
	case m.Metadata["stride"] != "" && m.Metadata["imgsz"] != "":
		d.line("preprocess: {resize: letterbox, color: %s, pad: 114}  # as its exporter's own tools", color)
	default:
		ask(why, "preprocess: {resize: letterbox, color: %s, pad: 114}", color)
	}
}

func (d *Draft) decoder(g Guess) {
	outputs := make([]string, 0, len(g.Outputs))
	for _, role := range slices.Sorted(maps.Keys(g.Outputs)) {
		outputs = append(outputs, fmt.Sprintf("%s: %q", role, g.Outputs[role]))
	}
	more := ""
	switch g.Family {
	case bundle.FamilySSD:
		d.fill("decoder", "coordinates, corners, no_object and activation, unless boxes are x1 y1 x2 y2 in "+
			"input pixels, and scores probabilities of the classes alone")
	case bundle.FamilyClassifier:
		more = ", activation: softmax"
		d.fill("decoder", "activation: softmax or sigmoid, or none where the model ends in one of these")
		d.fill("classes", "good: true at those of good parts: a part passes by them only")
	case bundle.FamilySemantic:
		d.fill("decoder", "activation: softmax or sigmoid, or none where the model ends in one of these or "+
			"in labels; background: the number of the class that is no finding, or -1 where all are findings")
	case bundle.FamilyLabelled:
		more = d.labelled(g)
	case bundle.FamilyDETR:
		d.fill("decoder", "activation: sigmoid or softmax, where the last of its numbers is that of "+
			"no object")
	case bundle.FamilyAnomaly:
		more = d.anomaly()
	}
	text := fmt.Sprintf("decoder: {family: %s, outputs: {%s}%s}", g.Family, strings.Join(outputs, ", "), more)
	switch len(d.Guesses) {
	case 0:
		known := strings.Join(bundle.Families(), ", ")
		d.ask("decoder", "none fits these outputs; there are "+known, "%s", text)
	case 1:
		d.line("%s  # %s", text, g.Why)
	default:
		others := make([]string, 0, len(d.Guesses))
		for _, other := range d.Guesses[1:] {
			others = append(others, other.Family)
		}
		d.ask("decoder", fmt.Sprintf("%s; it may be %s", g.Why, strings.Join(others, " or ")), "%s", text)
	}
}

// labelled is what its labels count from: torchvision's detectors, which give as many rows as were found,
// have 0 for what is nothing.
func (d *Draft) labelled(g Guess) string {
	one := func(p Port) bool { return p.Name == g.Outputs["labels"] && !strings.Contains(p.Shape, " ") }
	if !slices.ContainsFunc(d.Outputs, one) {
		return ""
	}
	d.fill("decoder", "no_object: first where label 0 is the background, as torchvision's; none where it is "+
		"the first class")
	return ", no_object: first"
}

// anomaly is how its numbers become scores: models with labels, too, have their thresholds in the graph.
func (d *Draft) anomaly() string {
	labelled := func(p Port) bool { return p.Name == "pred_label" }
	if slices.ContainsFunc(d.Outputs, labelled) {
		d.fill("decoder", "anomaly: normalized: true if the model gives 0 to 1, as anomalib 2 exports it; "+
			"it then normalizes the frame, too: leave mean and std out")
		return ", anomaly: {normalized: true}"
	}
	d.fill("decoder", "anomaly: image_threshold, pixel_threshold, min and max as the training stored them, "+
		"or normalized: true where the model gives 0 to 1")
	return ""
}

func (d *Draft) classes(g Guess, named []string) {
	count := g.Classes
	if count <= 0 {
		count = max(len(named), 1)
	}
	count = min(count, maxClasses)
	d.line("classes:")
	for i := range count {
		class := fmt.Sprintf("class-%d", i)
		if i < len(named) {
			class = named[i]
		}
		d.line("  - {name: %q, threshold: 0.5}", class)
	}
	if len(named) < count {
		d.fill("classes", fmt.Sprintf("names of %d, in the order of the model's outputs", count-len(named)))
	}
	d.fill("classes", "the threshold of each: `sightline-agent eval` on labelled images shows what one costs")
}

// name is what a bundle of this file may be called.
func name(file string) string {
	plain := strings.TrimSuffix(file, filepath.Ext(file))
	plain = regexp.MustCompile(`[^A-Za-z0-9._-]+`).ReplaceAllString(plain, "-")
	plain = strings.TrimLeft(plain, "._-")
	return cmp.Or(plain[:min(len(plain), 64)], "model")
}

// names reads {0: 'open', 1: 'short'}, which is how Ultralytics' exporter writes them, up to the first that
// is missing.
func names(text string) []string {
	known := map[string]string{}
	entries := regexp.MustCompile(`(\d+): *(?:'([^']*)'|"([^"]*)")`)
	for _, m := range entries.FindAllStringSubmatch(text, maxClasses) {
		known[m[1]] = strings.TrimSpace(m[2] + m[3])
	}
	var all []string
	for i := range len(known) {
		class, found := known[strconv.Itoa(i)]
		if !found || class == "" || slices.Contains(all, class) {
			break
		}
		all = append(all, class)
	}
	return all
}
