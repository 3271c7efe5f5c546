package onnxfile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/onnxfile"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

// That a runtime understands what is appended is tested where one is: worker/infer/ort.
func TestRowsAreFixedBehindAModelThatStaysWhatItIs(t *testing.T) {
	raw := onnxtest.Model(onnxtest.Graph(nil, []onnxtest.Port{{Name: "boxes", Elem: 1, Dims: []int64{0, 4}}}))
	rows := onnxfile.Rows{
		Port: onnxfile.Port{Name: "boxes", Elem: onnxfile.Float32, Dims: []int64{5, 4}}, Name: "boxes/rows",
	}
	fixed, err := onnxfile.FixRows(raw, 17, []onnxfile.Rows{rows})
	require.NoError(t, err)
	require.Equal(t, raw, fixed[:len(raw)])
	alone, err := onnxfile.Parse(fixed[len(raw):])
	require.NoError(t, err)
	require.Equal(t, []onnxfile.Port{{Name: "boxes/rows", Elem: onnxfile.Float32, Dims: []int64{5, 4}}},
		alone.Outputs)
	require.Equal(t, map[string]int{"Constant": 4, "Concat": 1, "Slice": 1}, alone.Operators)
	same, err := onnxfile.FixRows(raw, 1, nil)
	require.NoError(t, err)
	require.Equal(t, raw, same)
}

func TestRowsThatCannotBeFixedAreRefused(t *testing.T) {
	port := onnxfile.Port{Name: "boxes", Elem: onnxfile.Float32, Dims: []int64{5, 4}}
	fix := func(opset int64, edit func(*onnxfile.Rows)) error {
		r := onnxfile.Rows{Port: port, Name: "r"}
		edit(&r)
		_, err := onnxfile.FixRows(nil, opset, []onnxfile.Rows{r})
		return err
	}
	require.ErrorContains(t, fix(9, func(*onnxfile.Rows) {}), "opset 9: export it with opset 10 or more")
	require.ErrorContains(t, fix(11, func(r *onnxfile.Rows) { r.Port.Elem = onnxfile.Uint8 }),
		`"boxes" of as many rows as are found is uint8: export it as float32 or int64`)
	for _, dims := range [][]int64{{5, onnxfile.Dynamic}, {0, 4}, {1 << 40, 1 << 40}} {
		require.ErrorIs(t, fix(11, func(r *onnxfile.Rows) { r.Port.Dims = dims }), onnxfile.ErrModel)
	}
}
