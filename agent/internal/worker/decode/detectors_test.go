package decode_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/models/bundle"
)

// COCO's classes on 640×640: what most published models have.
const (
	manyCells   = 8400
	manyClasses = 80
	bigFloor    = 0.01
)

// twenty are the outputs of a frame with twenty objects, each seen by five cells; other scores are near to
// 0.0001.
func twenty() (boxes, scores []float32) {
	r := rand.New(rand.NewPCG(3, 4))
	boxes, scores = make([]float32, manyCells*4), make([]float32, manyCells*manyClasses)
	for i := range scores {
		scores[i] = float32(min(math.Pow(10, -4+0.4*r.NormFloat64()), bigFloor/2))
	}
	for i := range boxes {
		boxes[i] = r.Float32() * 300
	}
	for n := range 20 {
		for k := range 5 {
			cell, class := (n*397+k*1500)%manyCells, n*3
			copy(boxes[cell*4:], []float32{float32(50 + n%5*120 + k), float32(50 + n/5*120), 80, 80})
			scores[cell*manyClasses+class] = 0.9 - 0.1*float32(k)
		}
	}
	return boxes, scores
}

// cellsLast has the cells last, as yolov8 has them.
func cellsLast(boxes, scores []float32) []float32 {
	out := make([]float32, 0, len(boxes)+len(scores))
	for k := range 4 {
		for cell := range manyCells {
			out = append(out, boxes[cell*4+k])
		}
	}
	for class := range manyClasses {
		for cell := range manyCells {
			out = append(out, scores[cell*manyClasses+class])
		}
	}
	return out
}

// cellsFirst has an objectness for each cell: that of its best class.
func cellsFirst(boxes, scores []float32) []float32 {
	var out []float32
	for cell := range manyCells {
		row := scores[cell*manyClasses:][:manyClasses]
		object := float32(0)
		for _, v := range row {
			object = max(object, v)
		}
		out = append(append(append(out, boxes[cell*4:][:4]...), object), row...)
		for i := range row {
			out[len(out)-manyClasses+i] = row[i] / object
		}
	}
	return out
}

func busyDecoder(tb testing.TB, family string) (*decode.Decoder, [][]float32) {
	tb.Helper()
	m := ofFamily(family)
	m.Classes = make([]bundle.Class, manyClasses)
	m.Decoder.ScoreFloor, m.Decoder.MaxDetections = bigFloor, 100
	boxes, scores := twenty()
	switch family {
	case bundle.FamilyYOLOv8:
		return newDecoder(tb, m, []int64{1, 4 + manyClasses, manyCells}), one(cellsLast(boxes, scores))
	case bundle.FamilySSD:
		m.Decoder.Activation, m.Decoder.Corners = bundle.ActivationNone, bundle.CornersCentre
		return newDecoder(tb, m, []int64{1, manyCells, 4}, []int64{1, manyCells, manyClasses}),
			[][]float32{boxes, scores}
	default:
		return newDecoder(tb, m, []int64{1, manyCells, 5 + manyClasses}), one(cellsFirst(boxes, scores))
	}
}

func TestABusyFrameOfManyClassesAllocatesNothing(t *testing.T) {
	for _, family := range []string{bundle.FamilyYOLOv8, bundle.FamilyYOLOv5, bundle.FamilySSD} {
		d, outputs := busyDecoder(t, family)
		require.Zero(t, alloctest.Least(10, func() {
			if got, err := d.Decode(outputs, same()); err != nil || len(got) != 20 {
				t.Error(len(got), err)
			}
		}), family)
	}
}

// 8400 cells of 80 classes: at most half a millisecond.
func BenchmarkManyClasses(b *testing.B) {
	for _, family := range []string{bundle.FamilyYOLOv8, bundle.FamilyYOLOv5, bundle.FamilySSD} {
		b.Run(family, func(b *testing.B) {
			d, outputs := busyDecoder(b, family)
			b.ReportAllocs()
			for b.Loop() {
				if got, err := d.Decode(outputs, same()); err != nil || len(got) != 20 {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

func BenchmarkQueries(b *testing.B) {
	for _, name := range []string{bundle.ActivationSigmoid, bundle.ActivationSoftmax} {
		b.Run(name, func(b *testing.B) {
			m := ofFamily(bundle.FamilyDETR)
			m.Decoder.Activation = name
			m.Classes, m.Decoder.MaxDetections = make([]bundle.Class, manyClasses), 300
			wide := manyClasses
			if name == bundle.ActivationSoftmax {
				wide++
			}
			r := rand.New(rand.NewPCG(5, 6))
			logits, boxes := make([]float32, 300*wide), make([]float32, 300*4)
			for i := range logits {
				logits[i] = float32(-7 + r.Float64())
			}
			for q := range 300 {
				copy(boxes[q*4:], []float32{0.5, 0.5, 0.1, 0.1})
				if q%15 == 0 {
					logits[q*wide+q%manyClasses] = 2
				} else {
					logits[q*wide+wide-1] = 3 - float32(8*(manyClasses+1-wide))
				}
			}
			d := newDecoder(b, m, []int64{1, 300, int64(wide)}, []int64{1, 300, 4})
			outputs := [][]float32{logits, boxes}
			b.ReportAllocs()
			for b.Loop() {
				if got, err := d.Decode(outputs, same()); err != nil || len(got) != 20 {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

// kinds are decoders of a few numbers, of each family and setting.
func kinds(tb testing.TB) (decoders []*decode.Decoder, sizes [][]int) {
	tb.Helper()
	add := func(m *bundle.Manifest, dims ...[]int64) {
		var size []int
		for _, d := range dims {
			n := 1
			for _, v := range d {
				n *= int(v)
			}
			size = append(size, n)
		}
		decoders, sizes = append(decoders, newDecoder(tb, m, dims...)), append(sizes, size)
	}
	add(ofFamily(bundle.FamilyYOLOv5), []int64{1, 3, 5 + classes})
	x := ofFamily(bundle.FamilyYOLOX)
	x.Input.Width, x.Input.Height = 32, 32
	add(x, []int64{1, 21, 5 + classes})
	add(ofFamily(bundle.FamilyEnd2End), []int64{1, 3, 6})
	for _, activation := range []string{bundle.ActivationSigmoid, bundle.ActivationSoftmax} {
		m := ofFamily(bundle.FamilyDETR)
		m.Decoder.Activation = activation
		wide := int64(classes)
		if activation == bundle.ActivationSoftmax {
			wide++
		}
		add(m, []int64{1, 3, wide}, []int64{1, 3, 4})
	}
	for i, activation := range []string{
		bundle.ActivationNone, bundle.ActivationSigmoid, bundle.ActivationSoftmax,
	} {
		m := ofFamily(bundle.FamilySSD)
		m.Decoder.Activation = activation
		m.Decoder.Corners = []string{bundle.CornersXYXY, bundle.CornersYXYX, bundle.CornersCentre}[i]
		m.Decoder.Coordinates = []string{bundle.CoordinatesPixels, bundle.CoordinatesUnit}[i%2]
		m.Decoder.NoObject = []string{bundle.NoObjectNone, bundle.NoObjectFirst, bundle.NoObjectLast}[i]
		add(m, []int64{1, 3, 4}, []int64{1, 3, int64(classes + min(i, 1))})
	}
	add(ofFamily(bundle.FamilyLabelled), []int64{1, 3}, []int64{1, 3, 4}, []int64{1, 3})
	return decoders, sizes
}

// Whatever the bytes: an error, or finite boxes inside the frame in descending order. The first byte chooses
// the family; missing values are 0.
func FuzzDetectors(f *testing.F) {
	decoders, sizes := kinds(f)
	for kind := range decoders {
		for _, values := range [][]float32{
			{100, 200, 20, 40, 0.9, 1, 0.5},
			{10, 20, 110, 120, 0.9, 1},
			{3, -2, 1, -1, 0.5, 2, 0.5, 0.5, 0.1, 0.1},
			{1, 0, 1, 10, 20, 110, 120, 0, 0, 50, 50, 7, 7, 8, 8, 0.9, 0.8, 0.7},
			{1e30, -1e30},
		} {
			raw := []byte{byte(kind)}
			for _, v := range values {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
			}
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) == 0 {
			return
		}
		kind := int(raw[0]) % len(decoders)
		raw = raw[1:]
		var outputs [][]float32
		for _, n := range sizes[kind] {
			values := make([]float32, n)
			for i := range values {
				if len(raw) < 4 {
					break
				}
				values[i], raw = math.Float32frombits(binary.LittleEndian.Uint32(raw)), raw[4:]
			}
			outputs = append(outputs, values)
		}
		got, err := decoders[kind].Decode(outputs, same())
		if err != nil {
			require.ErrorIs(t, err, decode.ErrOutput)
			return
		}
		last := float32(1)
		for _, d := range got {
			require.True(t, d.Class >= 0 && d.Class < classes)
			require.True(t, d.Score >= 0.1 && d.Score <= last, d.Score)
			require.True(t, d.Box[0] >= 0 && d.Box[0] < d.Box[2] && d.Box[2] <= 640, d.Box)
			require.True(t, d.Box[1] >= 0 && d.Box[1] < d.Box[3] && d.Box[3] <= 640, d.Box)
			last = d.Score
		}
	})
}
