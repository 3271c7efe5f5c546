package infer_test

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/fake"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

func load(t *testing.T, r *fake.Runtime, policy, dir string) (*infer.Session, error) {
	t.Helper()
	b, err := bundle.Load(dir)
	require.NoError(t, err)
	l := infer.Loader{Runtime: r, Batches: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	s, err := l.Load(b, policy)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, s.Close()) })
	}
	return s, err
}

var errNoLibrary = errors.New("libcuda.so.1 is missing")

// Fault 16: a provider that fails to load or to run.
func TestProviderPolicyIsObeyedAndNeverSilent(t *testing.T) {
	noGPU := map[string]error{"tensorrt": errNoLibrary, "cuda": errNoLibrary}
	none := map[string]error{"tensorrt": errNoLibrary, "cuda": errNoLibrary, "cpu": errNoLibrary}
	failsToRun := func(s infer.Spec, _ <-chan struct{}) error {
		if s.Provider.Name == "tensorrt" {
			return errors.New("engine build failed")
		}
		clear(s.Outputs[0].Values)
		return nil
	}
	for name, c := range map[string]struct {
		runtime  *fake.Runtime
		policy   string
		provider string
		says     string
	}{
		"first is there": {runtime: &fake.Runtime{}, provider: "tensorrt"},
		"falls back and says why": {
			runtime: &fake.Runtime{Absent: noGPU}, provider: "cpu",
			says: "tensorrt: open model: libcuda.so.1 is missing; cuda: open",
		},
		"fails at its first run": {
			runtime: &fake.Runtime{Script: failsToRun}, provider: "cuda",
			says: "engine build failed",
		},
		"required and absent": {
			runtime: &fake.Runtime{Absent: noGPU}, policy: bundle.PolicyRequire,
			says: "requires tensorrt",
		},
		"required and failing": {
			runtime: &fake.Runtime{Script: failsToRun}, policy: bundle.PolicyRequire,
			says: "engine build failed",
		},
		"nothing is there": {runtime: &fake.Runtime{Absent: none}, says: "no execution provider"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := load(t, c.runtime, c.policy, onnxtest.Bundle(t))
			if c.provider == "" {
				require.ErrorIs(t, err, infer.ErrProvider)
				require.ErrorContains(t, err, c.says)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.provider, s.Provider)
			require.Equal(t, c.says != "", s.FellBack)
			require.Contains(t, s.FallbackReason, c.says)
		})
	}
}

// golden writes a bundle whose sample expects what findsOne finds: an open of 0.9 at 22,27 to 42,37.
func golden(t *testing.T, expect string) string {
	t.Helper()
	return goldenWithin(t, "2", "0.05", expect)
}

func goldenWithin(t *testing.T, pixels, score, expect string) string {
	t.Helper()
	dir := onnxtest.Bundle(t, fmt.Sprintf(
		`golden: {box_tolerance: %s, score_tolerance: %s, samples: [{image: g.png, expect: g.json}]}`,
		pixels, score))
	picture := image.NewGray(image.Rect(0, 0, onnxtest.Side, onnxtest.Side))
	picture.SetGray(5, 6, color.Gray{Y: 200})
	f, err := os.Create(filepath.Join(dir, "g.png"))
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, picture))
	require.NoError(t, f.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "g.json"), []byte(expect), 0o600))
	return dir
}

// findsOne works only when the sample's pixel stands in its place of the input.
func findsOne(s infer.Spec, _ <-chan struct{}) error {
	clear(s.Outputs[0].Values)
	if s.Input.Floats[6*onnxtest.Side+5] < 0.7 {
		return errors.New("the golden sample did not reach the input")
	}
	for row, v := range []float32{32, 32, 20, 10, 0.9, 0, 0, 0.52} {
		s.Outputs[0].Values[row*onnxtest.Cells+7] = v
	}
	return nil
}

func TestGoldenSamplesDecide(t *testing.T) {
	const there = `{"class": "open", "score": 0.88, "box": [23, 26, 42, 38]}`
	copper := func(score string) string {
		return `[` + there + `, {"class": "copper", "score": ` + score + `, "box": [1, 1, 9, 9]}]`
	}
	for name, c := range map[string]struct {
		expect string
		says   string
		script func(infer.Spec, <-chan struct{}) error
	}{
		"within tolerance":   {expect: `[` + there + `]`},
		"near the threshold": {expect: copper("0.53")},
		"not found":          {expect: copper("0.7"), says: "copper 0.70 at [1 1 9 9] is not found"},
		"not expected":       {expect: `[]`, says: "open 0.90 at [22 27 42 37] is found and not expected"},
		"moved": {
			expect: `[{"class": "open", "score": 0.88, "box": [26, 26, 42, 38]}]`,
			says:   "is found at",
		},
		"other score": {
			expect: `[{"class": "open", "score": 0.8, "box": [23, 26, 42, 38]}]`,
			says:   "scores 0.900 instead of 0.800",
		},
		"broken list": {expect: `{`, says: "read expected detections"},
		"null":        {expect: `null`, says: "null is no list"},
		"an empty detection": {
			expect: `[` + there + `, {}]`, says: "class, score or box is missing",
		},
		"NaN": {expect: `[]`, says: "bad model output", script: func(s infer.Spec, _ <-chan struct{}) error {
			zero := float32(0)
			s.Outputs[0].Values[0] = zero / zero
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.script == nil {
				c.script = findsOne
			}
			_, err := load(t, &fake.Runtime{Script: c.script}, "", golden(t, c.expect))
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, infer.ErrGolden)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestAToleranceOfZeroAllowsNothing(t *testing.T) {
	sample := func(score, left string) string {
		return `[{"class": "open", "score": ` + score + `, "box": [` + left + `, 27, 42, 37]}]`
	}
	for name, c := range map[string]struct{ pixels, score, expect, says string }{
		"equal":              {"0", "0", sample("0.9", "22"), ""},
		"a hair to the left": {"0", "0.05", sample("0.9", "21.99"), "is found at"},
		"a hair less":        {"2", "0", sample("0.899", "22"), "scores 0.900 instead of 0.899"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := goldenWithin(t, c.pixels, c.score, c.expect)
			_, err := load(t, &fake.Runtime{Script: findsExactlyOne}, "", dir)
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, infer.ErrGolden)
			require.ErrorContains(t, err, c.says)
		})
	}
}

// findsExactlyOne finds nothing but the open of findsOne.
func findsExactlyOne(s infer.Spec, stop <-chan struct{}) error {
	err := findsOne(s, stop)
	s.Outputs[0].Values[7*onnxtest.Cells+7] = 0
	return err
}

// Results are stamped with the digest: what runs must be what it was made of.
func TestABundleThatChangedSinceItsDigestIsRefused(t *testing.T) {
	for _, name := range []string{"model.onnx", "g.png", "g.json"} {
		t.Run(name, func(t *testing.T) {
			dir := golden(t, `[{"class": "open", "score": 0.88, "box": [23, 26, 42, 38]}]`)
			b, err := bundle.Load(dir)
			require.NoError(t, err)
			file := filepath.Join(dir, name)
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(file, append(raw, ' '), 0o600))
			l := infer.Loader{
				Runtime: &fake.Runtime{Script: findsOne}, Log: slog.New(slog.DiscardHandler),
			}
			_, err = l.Load(b, "")
			require.ErrorIs(t, err, bundle.ErrChanged)
			require.ErrorContains(t, err, name+" changed while the bundle was read")
		})
	}
}

// Nobody vouches for what a model says of a blank frame; of a part it is a fault.
func TestAnAbsurdOutputWithoutGoldenSamplesRefusesNoBundle(t *testing.T) {
	s, err := load(t, &fake.Runtime{Script: func(s infer.Spec, _ <-chan struct{}) error {
		zero := float32(0)
		s.Outputs[0].Values[0] = zero / zero
		return nil
	}}, "", onnxtest.Bundle(t))
	require.NoError(t, err)
	_, err = inferred(s, one(blank(t, s)), 0)
	require.ErrorIs(t, err, decode.ErrOutput)
}

func TestARunEndsAtItsDeadlineAndTheNextIsGood(t *testing.T) {
	slow := false
	s, err := load(t, &fake.Runtime{Script: func(s infer.Spec, stop <-chan struct{}) error {
		clear(s.Outputs[0].Values)
		if !slow {
			return nil
		}
		select {
		case <-stop:
			return fake.ErrTerminated
		case <-time.After(10 * time.Second):
			return errors.New("never stopped")
		}
	}}, "", onnxtest.Bundle(t))
	require.NoError(t, err)
	canvas := blank(t, s)
	for range 3 {
		slow = true
		_, err = inferred(s, one(canvas), monotime.Now()+int64(5*time.Millisecond))
		require.ErrorIs(t, err, infer.ErrCancelled)
		slow = false
		_, err = inferred(s, one(canvas), monotime.Now()+int64(time.Minute))
		require.NoError(t, err)
	}
	_, err = inferred(s, one(canvas), monotime.Now()-1)
	require.ErrorIs(t, err, infer.ErrCancelled, "a deadline that has passed needs no run")
}

func TestFailuresAreTold(t *testing.T) {
	var failure error
	var score float32
	s, err := load(t, &fake.Runtime{Script: func(s infer.Spec, _ <-chan struct{}) error {
		clear(s.Outputs[0].Values)
		s.Outputs[0].Values[5*onnxtest.Cells] = score
		return failure
	}}, "", onnxtest.Bundle(t))
	require.NoError(t, err)
	canvas := blank(t, s)
	failure = errors.New("CUDA error 700")
	_, err = inferred(s, one(canvas), 0)
	require.ErrorIs(t, err, infer.ErrRun)
	require.ErrorContains(t, err, "tensorrt: CUDA error 700")
	failure, score = nil, 7
	_, err = inferred(s, one(canvas), 0)
	require.ErrorIs(t, err, decode.ErrOutput)
}

func one(c *tensor.Canvas) []*tensor.Canvas { return []*tensor.Canvas{c} }

func blank(t *testing.T, s *infer.Session) *tensor.Canvas {
	t.Helper()
	f, canvas := &frame.Frame{}, tensor.NewCanvas(s.Plan)
	require.NoError(t, f.Shape(onnxtest.Side, onnxtest.Side, 1))
	require.NoError(t, canvas.Fit(f))
	t.Cleanup(func() { canvas.Close(); f.Release() })
	return canvas
}

// inferred tells the first error of a run apart.
func inferred(s *infer.Session, canvases []*tensor.Canvas, deadlineNs int64) ([]infer.Result, error) {
	results := s.Infer(canvases, deadlineNs)
	for _, r := range results {
		if r.Err != nil {
			return results, r.Err
		}
	}
	return results, nil
}
