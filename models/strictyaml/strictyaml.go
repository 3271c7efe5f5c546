// Package strictyaml reads YAML that people write by hand: unknown keys are faults, and all faults of a file
// are reported at once, each with its line and what would mend it.
package strictyaml

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxBytes bounds a file.
const MaxBytes = 1 << 20

// Fault is one thing wrong in a file. Line counts from 1; 0 means the file as a whole.
type Fault struct {
	Line    int    `json:"line"`
	Path    string `json:"path,omitempty"` // such as stations[0].trigger.mode
	Problem string `json:"problem"`
	Remedy  string `json:"remedy,omitempty"`
}

func (f Fault) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	if f.Path != "" {
		fmt.Fprintf(&b, "%s: ", f.Path)
	}
	b.WriteString(f.Problem)
	if f.Remedy != "" {
		fmt.Fprintf(&b, " (%s)", f.Remedy)
	}
	return b.String()
}

// Faults is an error that lists everything wrong in a file.
//
//nolint:errname // a list that is read as one, too
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// Document is a parsed file that remembers its lines and collects faults.
type Document struct {
	root   *yaml.Node // nil when the file could not be read at all
	faults Faults
	doubts map[doubt]bool
	walked map[visit]bool

	whole *Document // of one made by Below, the file; nil: this is it
	base  string    // what paths are below of
}

// doubt is what the file may have meant to say: a node that does not fit its place, or a key that is missing
// in a node and may be misspelt there. Faults that may only follow from it are not reported.
type doubt struct {
	node *yaml.Node
	key  string // empty: the node itself
}

// Parse decodes raw into the struct that into points to. Faults of syntax, unknown and repeated keys and
// wrong types are collected in the document; what they stand at is left zero, all else is decoded. The caller
// adds faults of its own and ends with Err.
func Parse(raw []byte, into any) *Document {
	d := &Document{doubts: map[doubt]bool{}, walked: map[visit]bool{}}
	if len(raw) > MaxBytes {
		d.faults = append(d.faults, Fault{Problem: fmt.Sprintf("%d bytes are over %d", len(raw), MaxBytes)})
		return d
	}
	var file yaml.Node
	if err := yaml.Unmarshal(raw, &file); err != nil {
		d.addDecodeError(err, "", 0)
		return d
	}
	if len(file.Content) == 0 {
		d.faults = append(d.faults, Fault{Problem: "the file is empty"})
		return d
	}
	d.fit(&file.Content[0], reflect.TypeOf(into).Elem(), "")
	if err := file.Content[0].Decode(into); err != nil {
		d.addDecodeError(err, "", 0)
		return d
	}
	d.root = file.Content[0]
	return d
}

// Readable says whether there are values to check: false for a file that is no YAML at all.
func (d *Document) Readable() bool { return d.root != nil }

// Below is the part of the file under a path: paths are from there on, and faults are the file's.
func (d *Document) Below(path string) *Document {
	part := *d
	part.faults, part.whole, part.base = nil, d.file(), join(d.base, path)
	return &part
}

func (d *Document) file() *Document {
	if d.whole != nil {
		return d.whole
	}
	return d
}

// Add reports a fault at a path such as "stations[0].trigger.mode"; where the path is not in the file, the
// line is that of its nearest parent. It keeps a fault of what is in doubt to itself.
func (d *Document) Add(path, problem, remedy string) {
	if at := d.find(path); !at.doubtful {
		file := d.file()
		file.faults = append(file.faults, Fault{
			Line: at.line, Path: join(d.base, path), Problem: problem, Remedy: remedy,
		})
	}
}

// Line is where a path stands in the file, or its nearest parent.
func (d *Document) Line(path string) int { return d.find(path).line }

// Doubtful says whether what the file means at the path is not known: it, or what it stands in, does not fit
// there, or it is missing beside a key that may be it, misspelt.
func (d *Document) Doubtful(path string) bool { return d.find(path).doubtful }

// Faulty says whether the path is in doubt, or has a fault that was reported.
func (d *Document) Faulty(path string) bool {
	full := join(d.base, path)
	return d.Doubtful(path) ||
		slices.ContainsFunc(d.file().faults, func(f Fault) bool { return f.Path == full })
}

// OneOf reports a value that is none of the known ones.
func (d *Document) OneOf(path, value string, known ...string) {
	if !slices.Contains(known, value) {
		d.Add(path, fmt.Sprintf("%q is not known", value), "one of "+strings.Join(known, ", "))
	}
}

// Within reports a number outside low to high. NaN is outside, too.
func (d *Document) Within(path string, value, low, high float64) {
	if !(value >= low && value <= high) {
		d.Add(path, number(value)+" is out of range", number(low)+" to "+number(high))
	}
}

// number writes numbers of a usual size as people do, and what stands for "no bound" as such.
func number(v float64) string {
	switch size := math.Abs(v); {
	case v == math.MaxInt64:
		return "any"
	case size > math.MaxInt64, size > 0 && size < 1e-6:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// Err returns all faults in the order of their lines, or nil.
func (d *Document) Err() error {
	if len(d.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(d.faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return d.faults
}

var decodeLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

// addDecodeError reports what the decoder says. The line is used where it says none.
func (d *Document) addDecodeError(err error, path string, line int) {
	messages := []string{err.Error()}
	if typed := new(yaml.TypeError); errors.As(err, &typed) {
		messages = typed.Errors
	}
	for _, message := range messages {
		fault := Fault{Line: line, Path: path, Problem: strings.TrimPrefix(message, "yaml: ")}
		if m := decodeLine.FindStringSubmatch(message); m != nil {
			fault.Line, _ = strconv.Atoi(m[1]) // digits by the expression
			fault.Problem = m[2]
		}
		fault.Problem, fault.Remedy = explain(fault.Problem)
		d.faults = append(d.faults, fault)
	}
}

var mismatch = regexp.MustCompile("^cannot unmarshal !!(\\w+)(?: `(.*)`)? into (.+)$")

func explain(problem string) (text, remedy string) {
	m := mismatch.FindStringSubmatch(problem)
	if m == nil {
		return problem, ""
	}
	want := map[string]string{
		"int": "a whole number", "int64": "a whole number", "uint64": "a whole number from 0 up",
		"uint8": "a whole number from 0 to 255", "float64": "a number",
		"bool": "true or false", "string": "text",
		"time.Duration": "a duration such as 40ms or 2s",
	}[m[3]]
	switch {
	case want != "":
	case strings.HasPrefix(m[3], "[]"), strings.HasPrefix(m[3], "["):
		want = "a list, each entry on its own line after a dash"
	default:
		want = "keys with values below it"
	}
	switch m[1] {
	case "seq":
		return "a list does not fit here", "write " + want
	case "map":
		return "keys do not fit here", "write " + want
	}
	return fmt.Sprintf("%q does not fit here", m[2]), "write " + want
}

var step = regexp.MustCompile(`[^.\[\]]+`)

// place is where a path leads.
type place struct {
	line     int // of the nearest parent where the path is not in the file
	doubtful bool
}

// find follows the path as far as it goes.
func (d *Document) find(path string) place {
	if d.root == nil {
		return place{doubtful: true}
	}
	node := d.root
	at := place{doubtful: d.doubts[doubt{node: node}]}
	for _, name := range step.FindAllString(join(d.base, path), -1) {
		next, line := child(node, name)
		if next == nil {
			at.doubtful = at.doubtful || d.doubts[doubt{node, name}]
			return at
		}
		if line > 0 {
			at.line = line
		}
		at.doubtful = at.doubtful || d.doubts[doubt{node: next}]
		node = target(next)
	}
	if node.Kind == yaml.SequenceNode { // a list is in doubt with each of its items
		at.doubtful = at.doubtful || slices.ContainsFunc(node.Content, func(item *yaml.Node) bool {
			return d.doubts[doubt{node: item}]
		})
	}
	return at
}

func child(node *yaml.Node, name string) (next *yaml.Node, line int) {
	if node.Kind == yaml.SequenceNode {
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(node.Content) {
			return nil, 0
		}
		return node.Content[i], node.Content[i].Line
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1], node.Content[i].Line
		}
	}
	return nil, 0
}
