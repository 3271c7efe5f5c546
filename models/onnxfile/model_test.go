package onnxfile_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/onnxfile"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

// external is a tensor that says its data is elsewhere.
func external() []byte {
	entry := onnxtest.Bytes(onnxtest.Bytes(nil, 1, []byte("location")), 2, []byte("../../etc/passwd"))
	return onnxtest.Varint(onnxtest.Bytes(nil, 13, entry), 14, 1)
}

// nested wraps a graph into the branch of a node, so many times.
func nested(graph []byte, times int) []byte {
	for range times {
		graph = onnxtest.Bytes(nil, 1, onnxtest.Bytes(nil, 5, onnxtest.Bytes(nil, 6, graph)))
	}
	return graph
}

// engine is a graph whose one node runs a compiled engine of a file.
func engine(domain string) []byte {
	b := onnxtest.Bytes
	path := b(b(nil, 1, []byte("ep_cache_context")), 4, []byte("engine.bin"))
	node := b(b(b(nil, 4, []byte("EPContext")), 7, []byte(domain)), 5, path)
	return b(nil, 1, node)
}

func TestCompiledEnginesAreRefusedWhereverTheyStand(t *testing.T) {
	b := onnxtest.Bytes
	beside := b(nil, 1, b(nil, 4, []byte("Relu")))
	for name, model := range map[string][]byte{
		"in the graph":        onnxtest.Model(engine("com.microsoft")),
		"of another domain":   onnxtest.Model(engine("")),
		"behind another node": onnxtest.Model(append(beside, engine("com.microsoft")...)),
		"in a branch":         onnxtest.Model(nested(engine("com.microsoft"), 3)),
		"in a function":       b(onnxtest.Model(nil), 25, b(nil, 7, b(nil, 4, []byte("EPContext")))),
		"with its operator set twice": onnxtest.Model(b(nil, 1,
			b(b(nil, 4, []byte("Relu")), 4, []byte("EPContext")))),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := onnxfile.Parse(model)
			require.ErrorIs(t, err, onnxfile.ErrModel)
			require.ErrorContains(t, err, "EPContext")
			require.ErrorContains(t, err, "export the model as plain ONNX")
		})
	}
	_, err := onnxfile.Parse(onnxtest.Model(beside))
	require.NoError(t, err)
}

// Fault 20, the part that is caught before ONNX Runtime sees the file.
func TestHostileModelsAreRefused(t *testing.T) {
	b := onnxtest.Bytes
	initializer := b(nil, 5, external())
	attribute := b(nil, 1, b(nil, 5, b(nil, 5, external())))
	for name, model := range map[string][]byte{
		"empty":                         nil,
		"text":                          []byte("<html>404</html>"),
		"no graph":                      onnxtest.Varint(nil, 1, 8),
		"two graphs":                    append(onnxtest.Model(nil), onnxtest.Model(nil)...),
		"cut off":                       onnxtest.Model(make([]byte, 1000))[:500],
		"external initializer":          onnxtest.Model(initializer),
		"external location only":        onnxtest.Model(b(nil, 5, onnxtest.Varint(nil, 14, 1))),
		"external sparse initializer":   onnxtest.Model(b(nil, 15, b(nil, 1, external()))),
		"external indices":              onnxtest.Model(b(nil, 15, b(nil, 2, external()))),
		"external attribute":            onnxtest.Model(attribute),
		"external in a list of tensors": onnxtest.Model(b(nil, 1, b(nil, 5, b(nil, 10, external())))),
		"external in a sparse attribute": onnxtest.Model(b(nil, 1,
			b(nil, 5, b(nil, 22, b(nil, 1, external()))))),
		"external in a branch":         onnxtest.Model(nested(initializer, 3)),
		"external in a list of graphs": onnxtest.Model(b(nil, 1, b(nil, 5, b(nil, 11, initializer)))),
		"external in a function": b(onnxtest.Model(nil), 25,
			b(nil, 7, b(nil, 5, b(nil, 5, external())))),
		"external in a function's attribute":  b(onnxtest.Model(nil), 25, b(nil, 11, b(nil, 5, external()))),
		"external in training initialization": b(onnxtest.Model(nil), 20, b(nil, 1, initializer)),
		"external in training algorithm":      b(onnxtest.Model(nil), 20, b(nil, 2, initializer)),
		"deep graph":                          onnxtest.Model(nested(nil, 1000)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := onnxfile.Parse(model)
			require.ErrorIs(t, err, onnxfile.ErrModel)
		})
	}
}

// A file of some megabytes made memory of gigabytes of them.
func TestMorePortsAndNamesThanAnyModelHasAreRefused(t *testing.T) {
	b := onnxtest.Bytes
	weight := func(i int) []byte { return b(nil, 5, b(nil, 8, fmt.Appendf(nil, "w%d", i))) }
	var weights []byte
	for i := range 1<<16 + 1 {
		weights = append(weights, weight(i)...)
	}
	long := bytes.Repeat([]byte("x"), 1<<20-8)
	shape := func(dims int) []byte {
		port := onnxtest.Port{Name: "a", Elem: 1, Dims: make([]int64, dims)}
		return onnxtest.Ports([]onnxtest.Port{port}, nil)
	}
	for name, c := range map[string]struct {
		graph []byte
		says  string
	}{
		"inputs":         {bytes.Repeat(b(nil, 11, nil), 1025), "1024 inputs beside its weights"},
		"listed inputs":  {bytes.Repeat(b(nil, 11, nil), 1<<20), "inputs or outputs"},
		"outputs":        {bytes.Repeat(b(nil, 12, nil), 1025), "1024 inputs or outputs"},
		"dimensions":     {shape(17), "16 dimensions"},
		"weights":        {weights, "65536 tensors of weights"},
		"names of ports": {bytes.Repeat(b(nil, 12, b(nil, 1, long)), 9), "bytes of names"},
		"names of weights": {
			append(bytes.Repeat(b(nil, 12, b(nil, 1, long)), 8), weights...), "bytes of names",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := onnxfile.Parse(onnxtest.Model(c.graph))
			require.ErrorIs(t, err, onnxfile.ErrModel)
			require.ErrorContains(t, err, c.says)
		})
	}
	m, err := onnxfile.Parse(onnxtest.Model(slices.Concat(bytes.Repeat(b(nil, 12, nil), 1024), shape(16))))
	require.NoError(t, err)
	require.Len(t, m.Outputs, 1024)
	require.Len(t, m.Inputs[0].Dims, 16)
}

func TestAnOldModelsWeightsAreNoInputsOfARun(t *testing.T) {
	b := onnxtest.Bytes
	graph := onnxtest.Ports([]onnxtest.Port{{Name: "images", Elem: 1, Dims: []int64{1, 3}}}, nil)
	for i := range 1 << 16 {
		name := fmt.Appendf(nil, "layer.%d.weight", i)
		graph = b(b(graph, 5, b(nil, 8, name)), 11, b(nil, 1, name))
	}
	m, err := onnxfile.Parse(onnxtest.Model(graph))
	require.NoError(t, err)
	require.Len(t, m.Inputs, 1)
	require.Equal(t, "images", m.Inputs[0].Name)
}

func TestTypesThatONNXDoesNotHaveAreCountedAsOne(t *testing.T) {
	var graph []byte
	for i := range uint64(1000) {
		graph = onnxtest.Bytes(graph, 5, onnxtest.Varint(nil, 2, 1000+i))
	}
	m, err := onnxfile.Parse(onnxtest.Model(onnxtest.Bytes(graph, 5, onnxtest.Varint(nil, 2, 1))))
	require.NoError(t, err)
	require.Equal(t, map[onnxfile.Elem]int{0: 1000, onnxfile.Float32: 1}, m.Weights)
}

func TestTheReferenceModelIsRead(t *testing.T) {
	raw, err := os.ReadFile("../pcb-defects/model.onnx")
	require.NoError(t, err)
	s, err := onnxfile.Parse(raw)
	require.NoError(t, err)
	require.Equal(t, []onnxfile.Port{{
		Name: "images", Elem: onnxfile.Uint8, Dims: []int64{onnxfile.Dynamic, 1, 640, 640},
	}}, s.Inputs)
	require.Equal(t, []onnxfile.Port{
		{Name: "scores", Elem: onnxfile.Float32, Dims: []int64{onnxfile.Dynamic, 6, 80, 80}},
		{Name: "distances", Elem: onnxfile.Float32, Dims: []int64{onnxfile.Dynamic, 48, 80, 80}},
	}, s.Outputs)
	require.Contains(t, s.Producer, "pytorch")
	require.GreaterOrEqual(t, s.Opset, int64(17))
	require.Positive(t, s.Operators["Conv"])
	require.Positive(t, s.Weights[onnxfile.Float32])
}

func FuzzParse(f *testing.F) {
	f.Add(onnxtest.Model(onnxtest.Graph([]onnxtest.Port{{Name: "images", Elem: 1, Dims: []int64{1, 0}}},
		nil)))
	f.Add(onnxtest.Model(nested(onnxtest.Bytes(nil, 5, external()), 2)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := onnxfile.Parse(raw)
		if err != nil {
			require.ErrorIs(t, err, onnxfile.ErrModel)
			return
		}
		require.NotNil(t, s)
	})
}
