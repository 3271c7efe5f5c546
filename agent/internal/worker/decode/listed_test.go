package decode_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

// queries are so many of each family that suppresses nothing.
const queries = 3

func listed(tb testing.TB, family string, edit ...func(*bundle.Decoder)) *decode.Decoder {
	tb.Helper()
	m := ofFamily(family)
	for _, e := range edit {
		e(&m.Decoder)
	}
	switch {
	case family == bundle.FamilyEnd2End:
		return newDecoder(tb, m, []int64{1, queries, 6})
	case family == bundle.FamilyLabelled:
		return newDecoder(tb, m, []int64{1, queries}, []int64{1, queries, 4}, []int64{1, queries})
	case m.Decoder.Activation == bundle.ActivationSoftmax:
		return newDecoder(tb, m, []int64{1, queries, classes + 1}, []int64{1, queries, 4})
	default:
		return newDecoder(tb, m, []int64{1, queries, classes}, []int64{1, queries, 4})
	}
}

func softmax(d *bundle.Decoder)       { d.Activation = bundle.ActivationSoftmax }
func noObjectFirst(d *bundle.Decoder) { d.NoObject = bundle.NoObjectFirst }

func logit(p float64) float32 { return float32(math.Log(p / (1 - p))) }

func TestWhatAModelHasSuppressedItselfIsTakenAsItIs(t *testing.T) {
	got, err := listed(t, bundle.FamilyEnd2End).Decode(one([]float32{
		10, 20, 110, 120, 0.4, 0,
		10, 20, 110, 121, 0.9, 0, // overlaps it, and comes behind it
		0, 0, 0, 0, 0, -1, // padding
	}), same())
	require.NoError(t, err)
	near(t, []detect.Detection{at(0, 0.9, 10, 20, 110, 121), at(0, 0.4, 10, 20, 110, 120)}, got)

	boxes := []float32{10, 20, 110, 120, 10, 20, 110, 121, 0, 0, 0, 0}
	got, err = listed(t, bundle.FamilyLabelled).
		Decode([][]float32{{1, 0, 7}, boxes, {0.4, 0.9, 0.01}}, same())
	require.NoError(t, err)
	near(t, []detect.Detection{at(0, 0.9, 10, 20, 110, 121), at(1, 0.4, 10, 20, 110, 120)}, got)

	got, err = listed(t, bundle.FamilyLabelled, noObjectFirst).
		Decode([][]float32{{2, 1, 0}, boxes, {0.4, 0.9, 0}}, same())
	require.NoError(t, err)
	near(t, []detect.Detection{at(0, 0.9, 10, 20, 110, 121), at(1, 0.4, 10, 20, 110, 120)}, got)
}

func TestQueriesAreInPartsOfTheInput(t *testing.T) {
	boxes := []float32{0.5, 0.25, 0.1, 0.2, 0.5, 0.25, 0.1, 0.2, 1, 1, 0.5, 0.5}
	got, err := listed(t, bundle.FamilyDETR).Decode([][]float32{
		{logit(0.3), logit(0.8), logit(0.05), logit(0.02), logit(0.6), -200},
		boxes,
	}, same())
	require.NoError(t, err)
	near(t, []detect.Detection{
		at(1, 0.8, 288, 96, 352, 224), at(0, 0.6, 480, 480, 640, 640), at(0, 0.3, 288, 96, 352, 224),
	}, got)

	p := func(v float64) float32 { return float32(math.Log(v)) + 5 }
	got, err = listed(t, bundle.FamilyDETR, softmax).Decode([][]float32{
		{
			p(0.3), p(0.4), p(0.3), // the second class
			p(0.01), p(0.04), p(0.95), // nothing
			p(0.49), p(0.01), p(0.5), // less than nothing, over the floor
		},
		boxes,
	}, same())
	require.NoError(t, err)
	near(t, []detect.Detection{at(0, 0.49, 480, 480, 640, 640), at(1, 0.4, 288, 96, 352, 224)}, got)
}

func TestShapesThatListsDoNotHave(t *testing.T) {
	for name, c := range map[string]struct {
		family, says string
		dims         [][]int64
	}{
		"masks, too":  {bundle.FamilyEnd2End, "x1 y1 x2 y2 score class", [][]int64{{1, 300, 38}}},
		"rows at run": {bundle.FamilyEnd2End, "fixed sizes", [][]int64{{1, -1, 6}}},
		"other queries": {
			bundle.FamilyDETR, "must be [1 Q classes] and [1 Q 4]", [][]int64{{1, 300, 2}, {1, 200, 4}},
		},
		"no object, too": {bundle.FamilyDETR, "which means 3 classes", [][]int64{{1, 300, 3}, {1, 300, 4}}},
		"labels of boxes": {
			bundle.FamilyLabelled, "labels [1 Q]", [][]int64{{1, 300, 1}, {1, 300, 4}, {1, 300}},
		},
		"other boxes": {
			bundle.FamilyLabelled, "must be [1 Q], [1 Q 4]", [][]int64{{1, 300}, {1, 300, 5}, {1, 300}},
		},
		"other anchors": {
			bundle.FamilySSD, "must be [1 N 4] and [1 N 2]", [][]int64{{1, 300, 4}, {1, 299, 2}},
		},
		"background": {
			bundle.FamilySSD, "with decoder.no_object none", [][]int64{{1, 300, 4}, {1, 300, 3}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := ofFamily(c.family)
			m.Decoder.NoObject = bundle.NoObjectNone
			_, err := decode.New(m, ports(c.dims...))
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestListsThatNoModelGives(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	end2end := func(values ...float32) [][]float32 { return one(append(values, make([]float32, 12)...)) }
	list := func(label, x1, score float32) [][]float32 {
		boxes := append([]float32{x1, 20, 110, 120}, make([]float32, 8)...)
		return [][]float32{{label, 0, 0}, boxes, {score, 0, 0}}
	}
	query := func(logit, x float32) [][]float32 {
		return [][]float32{{0, 0, 0, 0, logit, 0}, append([]float32{x, 0.5, 0.1, 0.1}, make([]float32, 8)...)}
	}
	exclusive := func(logit float32) [][]float32 {
		return [][]float32{{0, 0, 0, 0, 0, logit, 0, 0, 0}, make([]float32, 12)}
	}
	for name, c := range map[string]struct {
		family  string
		outputs [][]float32
		edit    func(*bundle.Decoder)
	}{
		"end2end: NaN score":          {bundle.FamilyEnd2End, end2end(10, 20, 110, 120, nan, 0), nil},
		"end2end: score over one":     {bundle.FamilyEnd2End, end2end(10, 20, 110, 120, 90, 0), nil},
		"end2end: logit":              {bundle.FamilyEnd2End, end2end(10, 20, 110, 120, -2, 0), nil},
		"end2end: NaN box":            {bundle.FamilyEnd2End, end2end(nan, 20, 110, 120, 0, 0), nil},
		"end2end: infinite class":     {bundle.FamilyEnd2End, end2end(10, 20, 110, 120, 0.9, inf), nil},
		"end2end: half a class":       {bundle.FamilyEnd2End, end2end(10, 20, 110, 120, 0.9, 0.5), nil},
		"end2end: negative class":     {bundle.FamilyEnd2End, end2end(10, 20, 110, 120, 0.9, -1), nil},
		"end2end: a class too many":   {bundle.FamilyEnd2End, end2end(10, 20, 110, 120, 0.9, classes), nil},
		"end2end: a huge class":       {bundle.FamilyEnd2End, end2end(10, 20, 110, 120, 0.9, 3e38), nil},
		"end2end: corners turned":     {bundle.FamilyEnd2End, end2end(110, 20, 10, 120, 0.9, 0), nil},
		"end2end: too few":            {bundle.FamilyEnd2End, one(make([]float32, 17)), nil},
		"labelled: NaN score":         {bundle.FamilyLabelled, list(0, 10, nan), nil},
		"labelled: score over one":    {bundle.FamilyLabelled, list(0, 10, 2), nil},
		"labelled: NaN label":         {bundle.FamilyLabelled, list(nan, 10, 0), nil},
		"labelled: a class too many":  {bundle.FamilyLabelled, list(classes, 10, 0.9), nil},
		"labelled: negative":          {bundle.FamilyLabelled, list(-1, 10, 0.9), nil},
		"labelled: infinite box":      {bundle.FamilyLabelled, list(0, -inf, 0.9), nil},
		"labelled: label 0 of none":   {bundle.FamilyLabelled, list(0, 10, 0.9), noObjectFirst},
		"labelled: too few":           {bundle.FamilyLabelled, [][]float32{{0}, {1}, {2}}, nil},
		"detr: NaN logit":             {bundle.FamilyDETR, query(nan, 0.5), nil},
		"detr: infinite logit":        {bundle.FamilyDETR, query(inf, 0.5), nil},
		"detr: minus infinite logit":  {bundle.FamilyDETR, query(-inf, 0.5), nil},
		"detr: NaN box":               {bundle.FamilyDETR, query(5, nan), nil},
		"detr: pixels":                {bundle.FamilyDETR, query(5, 320), nil},
		"detr: too few":               {bundle.FamilyDETR, [][]float32{{0}, {1}}, nil},
		"detr: NaN logit, softmax":    {bundle.FamilyDETR, exclusive(nan), softmax},
		"detr: infinite, softmax":     {bundle.FamilyDETR, exclusive(inf), softmax},
		"detr: minus infinite, softm": {bundle.FamilyDETR, exclusive(-inf), softmax},
	} {
		t.Run(name, func(t *testing.T) {
			edit := c.edit
			if edit == nil {
				edit = func(*bundle.Decoder) {}
			}
			_, err := listed(t, c.family, edit).Decode(c.outputs, same())
			require.ErrorIs(t, err, decode.ErrOutput)
		})
	}
}

// openList is a decoder of as many rows as are found, without the number of images, as torchvision's are.
func openList(tb testing.TB, edit ...func(*bundle.Decoder)) (d *decode.Decoder, rows int) {
	tb.Helper()
	m := ofFamily(bundle.FamilyLabelled)
	for _, e := range edit {
		e(&m.Decoder)
	}
	var ports []decode.Port
	for role, dims := range map[string][]int64{
		"labels": {onnxfile.Dynamic}, "boxes": {onnxfile.Dynamic, 4}, "scores": {onnxfile.Dynamic},
	} {
		axis, count, fill, open := decode.OpenRows(m, role, dims)
		require.True(tb, open)
		require.Zero(tb, axis)
		require.Equal(tb, role == "labels", fill == -1)
		rows = int(count)
	}
	n := int64(rows)
	for _, dims := range [][]int64{{n}, {n, 4}, {n}} {
		ports = append(ports, decode.Port{Dims: dims, Open: true})
	}
	d, err := decode.New(m, ports)
	require.NoError(tb, err)
	return d, rows
}

func TestRowsThatAreNotThereAreNoFindings(t *testing.T) {
	d, rows := openList(t, noObjectFirst)
	outputs := [][]float32{slices.Repeat([]float32{-1}, rows), make([]float32, 4*rows), make([]float32, rows)}
	got, err := d.Decode(outputs, same())
	require.NoError(t, err)
	require.Empty(t, got)
	outputs[0][0], outputs[2][0] = 2, 0.9
	copy(outputs[1], []float32{10, 20, 110, 121})
	got, err = d.Decode(outputs, same())
	require.NoError(t, err)
	near(t, []detect.Detection{at(1, 0.9, 10, 20, 110, 121)}, got)
	require.Zero(t, alloctest.Least(20, func() { _, _ = d.Decode(outputs, same()) }))
}

// What lies beyond the rows that are read may be anything: no part passes by it.
func TestMoreRowsThanAreReadAreRefused(t *testing.T) {
	d, rows := openList(t, noObjectFirst)
	outputs := [][]float32{slices.Repeat([]float32{1}, rows), make([]float32, 4*rows), make([]float32, rows)}
	_, err := d.Decode(outputs, same())
	require.ErrorIs(t, err, decode.ErrOutput)
	require.ErrorContains(t, err, "over 1000 detections")
	outputs[0][rows-1] = -1
	_, err = d.Decode(outputs, same())
	require.NoError(t, err)
}

func TestRowsAreOpenOnlyWhereAFamilyReadsThem(t *testing.T) {
	open := func(family, role string, dims ...int64) bool {
		_, _, _, open := decode.OpenRows(ofFamily(family), role, dims)
		return open
	}
	const some = onnxfile.Dynamic
	require.True(t, open(bundle.FamilyLabelled, "boxes", 1, some, 4))
	require.True(t, open(bundle.FamilyLabelled, "labels", some, some))
	require.False(t, open(bundle.FamilyLabelled, "labels", some, 300), "only the number of images")
	require.False(t, open(bundle.FamilyLabelled, "boxes", some, 300, 4))
	require.False(t, open(bundle.FamilyLabelled, "boxes", some))
	require.False(t, open(bundle.FamilyLabelled, "scores", 1, 1, some))
	require.False(t, open(bundle.FamilyLabelled, "scores"))
	require.False(t, open(bundle.FamilyEnd2End, "detections", 1, some, 6))
}

func TestListsAllocateNothing(t *testing.T) {
	boxes := []float32{0, 0, 64, 64, 100, 100, 164, 164, 200, 200, 264, 264}
	unit := []float32{0.1, 0.1, 0.1, 0.1, 0.3, 0.3, 0.1, 0.1, 0.5, 0.5, 0.1, 0.1}
	for name, c := range map[string]struct {
		d       *decode.Decoder
		outputs [][]float32
	}{
		"end2end": {listed(t, bundle.FamilyEnd2End), one([]float32{
			0, 0, 64, 64, 0.9, 0, 100, 100, 164, 164, 0.8, 1, 200, 200, 264, 264, 0.5, 1,
		})},
		"labelled": {listed(t, bundle.FamilyLabelled), [][]float32{{0, 1, 0}, boxes, {0.9, 0.8, 0.7}}},
		"sigmoid":  {listed(t, bundle.FamilyDETR), [][]float32{{3, -9, 2, -9, 1, -9}, unit}},
		"softmax":  {listed(t, bundle.FamilyDETR, softmax), [][]float32{{3, 1, 0, 3, 0, 0, 3, 0, 0}, unit}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Zero(t, alloctest.Least(50, func() {
				if got, err := c.d.Decode(c.outputs, same()); err != nil || len(got) != 3 {
					t.Error(got, err)
				}
			}))
		})
	}
}
