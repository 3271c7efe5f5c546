package infer_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/fake"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

const most = 4

// brightest finds in each image an open whose score is the image's first pixel.
func brightest(s infer.Spec) {
	for i := range s.Images {
		values := s.Outputs[0].Values[i*10*onnxtest.Cells:][:10*onnxtest.Cells]
		clear(values)
		for row, v := range []float32{32, 32, 20, 10, s.Input.Floats[i*onnxtest.Side*onnxtest.Side]} {
			values[row*onnxtest.Cells] = v
		}
	}
}

func shades(t *testing.T, s *infer.Session, shades ...byte) []*tensor.Canvas {
	t.Helper()
	var canvases []*tensor.Canvas
	for _, shade := range shades {
		f, canvas := &frame.Frame{}, tensor.NewCanvas(s.Plan)
		require.NoError(t, f.Shape(onnxtest.Side, onnxtest.Side, 1))
		for i := range f.Pix {
			f.Pix[i] = shade
		}
		require.NoError(t, canvas.Fit(f))
		t.Cleanup(func() { canvas.Close(); f.Release() })
		canvases = append(canvases, canvas)
	}
	return canvases
}

func TestABatchIsTakenWhereItIsFaster(t *testing.T) {
	for name, c := range map[string]struct {
		delay func(images int) time.Duration
		want  int
	}{
		"a run costs the same": {func(int) time.Duration { return 3 * time.Millisecond }, most},
		"a run costs more than its images": {
			func(images int) time.Duration { return time.Duration(images*images) * 3 * time.Millisecond }, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := load(t, &fake.Runtime{Script: func(s infer.Spec, stop <-chan struct{}) error {
				brightest(s)
				select {
				case <-stop:
					return fake.ErrTerminated
				case <-time.After(c.delay(s.Images)):
					return nil
				}
			}}, "", onnxtest.Batched(t, most))
			require.NoError(t, err)
			require.Equal(t, c.want, s.Images())
		})
	}
}

func TestEachImageOfABatchHasItsOwnResult(t *testing.T) {
	s, err := load(t, &fake.Runtime{Script: func(s infer.Spec, _ <-chan struct{}) error {
		brightest(s)
		<-time.After(time.Millisecond) // what a run costs, whatever it holds
		return nil
	}}, "", onnxtest.Batched(t, most))
	require.NoError(t, err)
	require.Equal(t, most, s.Images())
	for _, list := range [][]byte{{255, 204, 0, 153}, {0, 255}, {204}} {
		found, err := inferred(s, shades(t, s, list...), 0)
		require.NoError(t, err)
		require.Len(t, found, len(list))
		for i, shade := range list {
			require.Positive(t, found[i].InferenceNs)
			if shade == 0 {
				require.Empty(t, found[i].Detections)
				continue
			}
			require.Len(t, found[i].Detections, 1)
			require.InDelta(t, float64(shade)/255, found[i].Detections[0].Score, 1e-6)
		}
	}
}

func TestAModelOfOneImageTakesNoBatch(t *testing.T) {
	_, err := load(t, &fake.Runtime{}, "", onnxtest.Bundle(t, "providers: {order: [{name: cpu, batch: 8}]}"))
	require.ErrorIs(t, err, onnxfile.ErrModel)
	require.ErrorContains(t, err, "model.onnx on cpu: model refused: it takes one image a run")
	require.ErrorContains(t, err, "bundle.yaml says batch 8")
}

func TestTheOutputsOfABatchAreBounded(t *testing.T) {
	dir := onnxtest.Write(t, onnxtest.Model(onnxtest.Graph(
		[]onnxtest.Port{{Name: "images", Elem: 1, Dims: []int64{0, 1, onnxtest.Side, onnxtest.Side}}},
		[]onnxtest.Port{{Name: "output0", Elem: 1, Dims: []int64{0, 10, 1 << 20}}},
	)), "providers: {order: [{name: cpu, batch: 26}]}")
	_, err := load(t, &fake.Runtime{}, "", dir)
	require.ErrorContains(t, err, `output "output0" of 26 images has 272629760 values, over 268435456`)
}

// A graph may have one size inside, whatever its ports say, or a device no memory for so much.
func TestWhereABatchDoesNotRunOneImageDoes(t *testing.T) {
	runtime := &fake.Runtime{Script: func(s infer.Spec, _ <-chan struct{}) error {
		if s.Images > 1 {
			return errors.New("Reshape: the shapes differ")
		}
		brightest(s)
		return nil
	}}
	s, err := load(t, runtime, "", onnxtest.Batched(t, most))
	require.NoError(t, err)
	require.Equal(t, 1, s.Images())
	require.EqualValues(t, 2, runtime.Opened.Load(), "the second with memory for one image")
	require.False(t, s.FellBack)
}

func TestNoBatchIsTriedWhereNoneComes(t *testing.T) {
	b, err := bundle.Load(onnxtest.Batched(t, most))
	require.NoError(t, err)
	l := infer.Loader{Runtime: &fake.Runtime{Script: func(s infer.Spec, _ <-chan struct{}) error {
		require.Equal(t, 1, s.Images)
		brightest(s)
		return nil
	}}, Log: slog.New(slog.DiscardHandler)}
	s, err := l.Load(b, "")
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

// What is right alone may be wrong together.
func TestGoldenSamplesDecideOnBatches(t *testing.T) {
	dir := golden(t, `[{"class": "open", "score": 0.88, "box": [23, 26, 42, 38]}]`)
	other := onnxtest.Batched(t, most, "golden: {samples: [{image: g.png, expect: g.json}]}")
	for _, name := range []string{"g.png", "g.json"} {
		require.NoError(t, os.Rename(filepath.Join(dir, name), filepath.Join(other, name)))
	}
	_, err := load(t, &fake.Runtime{Script: func(s infer.Spec, stop <-chan struct{}) error {
		clear(s.Outputs[0].Values)
		for i := range s.Images {
			for row, v := range []float32{32 + 9*float32(i), 32, 20, 10, 0.9} {
				s.Outputs[0].Values[i*10*onnxtest.Cells+row*onnxtest.Cells+7] = v
			}
		}
		select {
		case <-stop:
		case <-time.After(time.Millisecond):
		}
		return nil
	}}, "", other)
	require.ErrorIs(t, err, infer.ErrGolden)
	require.ErrorContains(t, err, "image 2 of 4")
}
