package strictyaml

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// visit is a node that was compared with a type: once is enough, however many aliases lead to it.
type visit struct {
	node *yaml.Node
	as   reflect.Type
}

// fit compares what stands in the slot with the type that it will be decoded into, and reports what does not
// fit. Such a node is replaced by the type's zero value, so that decoding fails nowhere and no item of a list
// changes its index.
func (d *Document) fit(slot **yaml.Node, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	node := target(*slot)
	list := node.Kind == yaml.SequenceNode
	keys := node.Kind == yaml.MappingNode
	switch kind := t.Kind(); {
	case list && (kind == reflect.Slice || kind == reflect.Array && len(node.Content) == t.Len()):
		d.fitItems(node, t, path)
	case list && kind == reflect.Array:
		d.faults = append(d.faults, Fault{
			Line: (*slot).Line, Path: path,
			Problem: fmt.Sprintf("%d values do not fit here", len(node.Content)),
			Remedy:  fmt.Sprintf("write %d", t.Len()),
		})
		d.replace(slot, t)
	case keys && (kind == reflect.Map || kind == reflect.Struct):
		d.fitKeys(node, t, path)
	default:
		if err := node.Decode(reflect.New(t).Interface()); err != nil {
			d.addDecodeError(err, path, (*slot).Line)
			d.replace(slot, t)
		}
	}
}

func target(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// replace puts a zero value into the slot, which is in doubt from then on.
func (d *Document) replace(slot **yaml.Node, t reflect.Type) {
	zero := &yaml.Node{}
	if err := zero.Encode(reflect.Zero(t).Interface()); err != nil { // a type that cannot be written
		zero = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	}
	zero.Line = (*slot).Line
	*slot = zero
	d.doubts[doubt{node: zero}] = true
}

func (d *Document) first(node *yaml.Node, t reflect.Type) bool {
	v := visit{node, t}
	seen := d.walked[v]
	d.walked[v] = true
	return !seen
}

func (d *Document) fitItems(node *yaml.Node, t reflect.Type, path string) {
	if !d.first(node, t) {
		return
	}
	for i, item := range node.Content {
		if item.ShortTag() == "!!null" && t.Elem().Kind() == reflect.Struct {
			// An empty item has no keys; the decoder would drop it.
			node.Content[i] = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: item.Line}
		}
		d.fit(&node.Content[i], t.Elem(), fmt.Sprintf("%s[%d]", path, i))
	}
}

func (d *Document) fitKeys(node *yaml.Node, t reflect.Type, path string) {
	if !d.first(node, t) {
		return
	}
	d.dropRepeated(node, path)
	if t.Kind() == reflect.Map {
		for i := 0; i+1 < len(node.Content); i += 2 {
			d.fit(&node.Content[i+1], t.Elem(), join(path, node.Content[i].Value))
		}
		return
	}
	known := fields(t)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if field, ok := known[key.Value]; ok {
			d.fit(&node.Content[i+1], field, join(path, key.Value))
			continue
		}
		near, remedy := suggest(key.Value, known)
		for _, name := range near {
			d.doubts[doubt{node, name}] = true
		}
		d.faults = append(d.faults, Fault{
			Line: key.Line, Path: join(path, key.Value), Problem: "unknown key", Remedy: remedy,
		})
	}
}

// dropRepeated reports keys that are there more than once, and keeps the first of each.
func (d *Document) dropRepeated(node *yaml.Node, path string) {
	type name struct {
		kind  yaml.Kind
		value string
	}
	lines := make(map[name]int, len(node.Content)/2)
	kept := node.Content[:0]
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		line, repeated := lines[name{key.Kind, key.Value}]
		if repeated {
			d.faults = append(d.faults, Fault{
				Line: key.Line, Path: join(path, key.Value),
				Problem: fmt.Sprintf("the key is there already, on line %d", line),
				Remedy:  "keep one of them",
			})
			continue
		}
		lines[name{key.Kind, key.Value}] = key.Line
		kept = append(kept, key, node.Content[i+1])
	}
	node.Content = kept
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

// farthest is how many letters a misspelt key may have wrong.
const farthest = 2

// suggest returns the known keys that are nearest to the key, if any is near, and a remedy.
func suggest(key string, known map[string]reflect.Type) (near []string, remedy string) {
	names := slices.Sorted(maps.Keys(known))
	least := farthest
	for _, name := range names {
		far := distance(key, name)
		if far < least {
			near, least = nil, far
		}
		if far == least {
			near = append(near, name)
		}
	}
	if len(near) > 0 {
		return near, "did you mean " + strings.Join(near, " or ") + "?"
	}
	return nil, "known here: " + strings.Join(names, ", ")
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
