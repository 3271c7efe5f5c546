package decode_test

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
)

func classifierManifest(activation string, classes int) *bundle.Manifest {
	m := manifest()
	m.Task, m.Classes = bundle.TaskClassification, make([]bundle.Class, classes)
	m.Decoder.Family, m.Decoder.Activation = bundle.FamilyClassifier, activation
	return m
}

func classifier(tb testing.TB, activation string, classes int) *decode.Decoder {
	tb.Helper()
	d, err := decode.New(classifierManifest(activation, classes), []decode.Port{
		{Name: "logits", Dims: []int64{1, int64(classes)}},
	})
	require.NoError(tb, err)
	return d
}

// wide is a frame that is not of the input's shape.
func wide() tensor.Geometry {
	return tensor.Geometry{FrameWidth: 1920, FrameHeight: 1080, Top: 140, Width: 640, Height: 360}
}

func TestClassesThatScoreAreFindingsOfTheWholeFrame(t *testing.T) {
	half := float32(math.Log(2)) // weighs twice as much as a logit of 0
	for name, c := range map[string]struct {
		activation string
		output     []float32
		want       []detect.Detection
	}{
		"softmax": {
			bundle.ActivationSoftmax,
			[]float32{half, 0, 0},
			[]detect.Detection{
				at(0, 0.5, 0, 0, 1920, 1080), at(1, 0.25, 0, 0, 1920, 1080), at(2, 0.25, 0, 0, 1920, 1080),
			},
		},
		"softmax of huge logits": {
			bundle.ActivationSoftmax,
			[]float32{-3e38, 3e38, -3e38},
			[]detect.Detection{at(1, 1, 0, 0, 1920, 1080)},
		},
		"sigmoid": {
			bundle.ActivationSigmoid,
			[]float32{-half, -100, half},
			[]detect.Detection{at(2, 2.0/3, 0, 0, 1920, 1080), at(0, 1.0/3, 0, 0, 1920, 1080)},
		},
		"probabilities": {
			bundle.ActivationNone,
			[]float32{0.0999, 0.1, 1},
			[]detect.Detection{at(2, 1, 0, 0, 1920, 1080), at(1, 0.1, 0, 0, 1920, 1080)},
		},
		"rounded a little over one": {
			bundle.ActivationNone,
			[]float32{-0.0005, 1.0005, 0},
			[]detect.Detection{at(1, 1, 0, 0, 1920, 1080)},
		},
		"none above the floor": {bundle.ActivationNone, []float32{0.05, 0.01, 0}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := classifier(t, c.activation, 3).Decode(one(c.output), wide())
			require.NoError(t, err)
			require.Len(t, got, len(c.want))
			for i := range c.want {
				require.Equal(t, c.want[i].Class, got[i].Class)
				require.Equal(t, c.want[i].Box, got[i].Box)
				require.InDelta(t, c.want[i].Score, got[i].Score, 1e-6)
			}
		})
	}
}

func TestClassesBeyondTheLimitAreCounted(t *testing.T) {
	d := classifier(t, bundle.ActivationNone, 7)
	got, err := d.Decode(one([]float32{0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}), same())
	require.NoError(t, err)
	require.Len(t, got, 5)
	require.Equal(t, detect.Cut{Count: 2, Score: 0.3}, d.Cut())
}

func TestScoresThatNoClassifierGivesAreErrors(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]struct {
		activation string
		output     []float32
	}{
		"NaN":               {bundle.ActivationSoftmax, []float32{0, nan, 0}},
		"infinite":          {bundle.ActivationSoftmax, []float32{inf, 0, 0}},
		"minus infinite":    {bundle.ActivationSigmoid, []float32{0, 0, -inf}},
		"logits":            {bundle.ActivationNone, []float32{0, 4.5, 0}},
		"logits below zero": {bundle.ActivationNone, []float32{0.5, -4.5, 0.5}},
		"too few":           {bundle.ActivationSigmoid, []float32{0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := classifier(t, c.activation, 3).Decode(one(c.output), same())
			require.ErrorIs(t, err, decode.ErrOutput)
		})
	}
}

func TestAnOutputThatIsNoListOfClassesIsExplained(t *testing.T) {
	m := classifierManifest(bundle.ActivationSoftmax, 3)
	for _, dims := range [][]int64{{1, 3}, {1, 3, 1, 1}} {
		_, err := decode.New(m, []decode.Port{{Name: "logits", Dims: dims}})
		require.NoError(t, err)
	}
	for name, c := range map[string]struct {
		dims []int64
		says string
	}{
		"a map":         {[]int64{1, 3, 8, 8}, `is [1 3 8 8], the decoder classifier reads [1 3] or`},
		"a line":        {[]int64{3}, `output "logits" is [3], the decoder classifier reads [1 3]`},
		"four classes":  {[]int64{1, 4}, `is [1 4], which means 4 classes; bundle.yaml names 3`},
		"no fixed size": {[]int64{1, onnxfile.Dynamic}, "export the model with fixed sizes"},
		"two images":    {[]int64{2, 3}, `output "logits" is [2 3], the decoder`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode.New(m, []decode.Port{{Name: "logits", Dims: c.dims}})
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestAClassifierAllocatesNothing(t *testing.T) {
	d, outputs := classifier(t, bundle.ActivationSoftmax, 1000), one(make([]float32, 1000))
	outputs[0][7], outputs[0][9] = 20, 19
	require.Zero(t, alloctest.Least(100, func() {
		if got, err := d.Decode(outputs, wide()); err != nil || len(got) != 2 {
			t.Error(got, err)
		}
	}))
}

func BenchmarkClassifier(b *testing.B) {
	d, outputs := classifier(b, bundle.ActivationSoftmax, 1000), one(make([]float32, 1000))
	outputs[0][7], outputs[0][9] = 20, 19
	for b.Loop() {
		if got, err := d.Decode(outputs, wide()); err != nil || len(got) != 2 {
			b.Fatal(got, err)
		}
	}
}

// Whatever the bytes: an error, or each class at most once, all of the whole frame, in descending order.
func FuzzClassifier(f *testing.F) {
	for i, values := range [][]float32{{0.5, 0.2, 0.3}, {-4, 9, 3e38}, {1e-9, 1, -1e-9}} {
		var raw []byte
		for _, v := range values {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		f.Add(uint8(i), raw)
	}
	f.Fuzz(func(t *testing.T, how uint8, raw []byte) {
		if len(raw) < 4 {
			return
		}
		values := make([]float32, min(len(raw)/4, 1000))
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		activation := []string{
			bundle.ActivationSoftmax, bundle.ActivationSigmoid, bundle.ActivationNone,
		}[how%3]
		got, err := classifier(t, activation, len(values)).Decode(one(values), wide())
		if err != nil {
			require.ErrorIs(t, err, decode.ErrOutput)
			return
		}
		last, seen := float32(1), map[int]bool{}
		for _, d := range got {
			require.True(t, d.Score >= 0.1 && d.Score <= last)
			require.False(t, seen[d.Class])
			require.Equal(t, [4]float32{0, 0, 1920, 1080}, d.Box)
			last, seen[d.Class] = d.Score, true
		}
	})
}
