// Package strictyaml reads YAML that people write by hand: unknown keys are faults, and all faults of a file
// are reported at once, each with its line and what would mend it.
package strictyaml

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
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
	doubts bool // keys or values were not understood
}

// Parse decodes raw into the struct that into points to. Faults of syntax, unknown keys and wrong types are
// collected in the document; the caller adds its own and ends with Err.
func Parse(raw []byte, into any) *Document {
	d := &Document{}
	if len(raw) > MaxBytes {
		d.faults = append(d.faults, Fault{Problem: fmt.Sprintf("%d bytes are over %d", len(raw), MaxBytes)})
		return d
	}
	var file yaml.Node
	if err := yaml.Unmarshal(raw, &file); err != nil {
		d.addDecodeError(err)
		return d
	}
	if len(file.Content) == 0 {
		d.faults = append(d.faults, Fault{Problem: "the file is empty"})
		return d
	}
	d.root = file.Content[0]
	d.unknownKeys(d.root, reflect.TypeOf(into).Elem(), "", 0)
	if err := d.root.Decode(into); err != nil {
		d.addDecodeError(err)
	}
	d.doubts = len(d.faults) > 0
	return d
}

// Readable says whether there are values to check: false for a file that is no YAML at all.
func (d *Document) Readable() bool { return d.root != nil }

// Add reports a fault at a path such as "stations[0].trigger.mode"; where the path is not in the file, the
// line is that of its nearest parent. It keeps what may only follow from a misspelt key or a value of the
// wrong type to itself: what is missing then, and what stands on a line that has such a fault.
func (d *Document) Add(path, problem, remedy string) {
	line, value := d.find(path)
	if d.doubts && (value == nil || d.doubtful(line) || d.doubtful(value.Line)) {
		return
	}
	d.faults = append(d.faults, Fault{Line: line, Path: path, Problem: problem, Remedy: remedy})
}

// Line is where a path stands in the file, or its nearest parent.
func (d *Document) Line(path string) int {
	line, _ := d.find(path)
	return line
}

// doubtful says whether a value that begins on the line could not be read.
func (d *Document) doubtful(line int) bool {
	return slices.ContainsFunc(d.faults, func(f Fault) bool { return f.Line == line && f.Path == "" })
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

// number writes whole numbers as people do, and what stands for "no bound" as such.
func number(v float64) string {
	if v >= math.MaxInt64 {
		return "any"
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

func (d *Document) addDecodeError(err error) {
	messages := []string{err.Error()}
	if typed := new(yaml.TypeError); errors.As(err, &typed) {
		messages = typed.Errors
	}
	for _, message := range messages {
		fault := Fault{Problem: strings.TrimPrefix(message, "yaml: ")}
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
	return fmt.Sprintf("%q does not fit here", m[2]), "write " + want
}

const maxDepth = 32

func (d *Document) unknownKeys(node *yaml.Node, t reflect.Type, path string, depth int) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if depth > maxDepth {
		return
	}
	switch {
	case node.Kind == yaml.SequenceNode && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
		for i, item := range node.Content {
			d.unknownKeys(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i), depth+1)
		}
	case node.Kind == yaml.MappingNode && t.Kind() == reflect.Map:
		for i := 0; i+1 < len(node.Content); i += 2 {
			d.unknownKeys(node.Content[i+1], t.Elem(), join(path, node.Content[i].Value), depth+1)
		}
	case node.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		d.structKeys(node, t, path, depth)
	}
}

func (d *Document) structKeys(node *yaml.Node, t reflect.Type, path string, depth int) {
	known := fields(t)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if field, ok := known[key.Value]; ok {
			d.unknownKeys(node.Content[i+1], field, join(path, key.Value), depth+1)
			continue
		}
		d.faults = append(d.faults, Fault{
			Line:    key.Line,
			Path:    join(path, key.Value),
			Problem: "unknown key",
			Remedy:  suggest(key.Value, known),
		})
	}
}

func fields(t reflect.Type) map[string]reflect.Type {
	known := make(map[string]reflect.Type, t.NumField())
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			maps.Copy(known, fields(field.Type))
		case name != "":
			known[name] = field.Type
		}
	}
	return known
}

func suggest(key string, known map[string]reflect.Type) string {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if distance(key, name) <= 2 {
			return "did you mean " + name + "?"
		}
	}
	return "known here: " + strings.Join(names, ", ")
}

// distance is Levenshtein's, over bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

var step = regexp.MustCompile(`[^.\[\]]+`)

// find follows the path as far as it goes. Value is nil when that is not to its end.
func (d *Document) find(path string) (line int, value *yaml.Node) {
	if d.root == nil {
		return 0, nil
	}
	value = d.root
	for _, name := range step.FindAllString(path, -1) {
		next, at := child(value, name)
		if next == nil {
			return line, nil
		}
		value, line = next, at
	}
	return line, value
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
