package engines

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// format changes when what a key or an entry means does.
const format = 2

// Key is all that an engine depends on: two keys that differ never share one.
type Key struct {
	Format  int      `json:"format"`
	Node    Node     `json:"node"`
	Model   string   `json:"model"`   // sha256 of the ONNX file
	Options []string `json:"options"` // of the provider, precision among them, sorted
	Shapes  []string `json:"shapes"`  // of what a run takes, by input
}

// NewKey makes the key of a model on a node, with the provider's options and the shapes of its inputs.
func NewKey(n Node, model []byte, options map[string]string, shapes map[string][]int64) Key {
	sum := sha256.Sum256(model)
	k := Key{Format: format, Node: n, Model: hex.EncodeToString(sum[:])}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		k.Options = append(k.Options, fmt.Sprintf("%q=%q", name, options[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		k.Shapes = append(k.Shapes, fmt.Sprintf("%q=%d", name, shapes[name]))
	}
	return k
}

// ID is the key's name: 32 hexadecimal digits.
func (k Key) ID() string {
	raw, err := json.Marshal(k)
	if err != nil { // strings and numbers: there is no way for it to fail
		return ""
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:idBytes])
}
