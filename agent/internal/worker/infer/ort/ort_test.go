//go:build cgo

package ort_test

import (
	"bytes"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/ort"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

const reference = "../../../../../models/pcb-defects"

func library(t *testing.T) *ort.Runtime {
	t.Helper()
	r, err := ort.Load("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func load(t *testing.T, dir, policy string) (*infer.Session, error) {
	t.Helper()
	return loadWith(t, library(t), dir, policy)
}

// loadWith is for several bundles: a process has one library at most.
func loadWith(t *testing.T, r *ort.Runtime, dir, policy string) (*infer.Session, error) {
	t.Helper()
	b, err := bundle.Load(dir)
	require.NoError(t, err)
	l := infer.Loader{Runtime: r, Threads: 1, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	s, err := l.Load(b, policy)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, s.Close()) })
	}
	return s, err
}

// compile makes a shared library from C source.
func compile(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "lib.c"), filepath.Join(dir, "lib.so")
	require.NoError(t, os.WriteFile(in, []byte(source), 0o600))
	message, err := exec.CommandContext(t.Context(), "cc", "-shared", "-fPIC", "-o", out, in).CombinedOutput()
	require.NoError(t, err, string(message))
	return out
}

// A wrong library is an error that tells which; a good one loads after it.
func TestWrongLibraries(t *testing.T) {
	text := filepath.Join(t.TempDir(), "libonnxruntime.so")
	require.NoError(t, os.WriteFile(text, []byte("not a library"), 0o600))
	old := compile(t, `typedef struct { const void *(*get)(unsigned); const char *(*version)(void); } base;
		static const void *get(unsigned v) { return v > 5 ? (void *)0 : (void *)"api"; }
		static const char *version(void) { return "1.5.0"; }
		static const base b = { get, version };
		const base *OrtGetApiBase(void) { return &b; }`)
	for name, c := range map[string]struct{ path, says string }{
		"absent": {
			"/nonexistent/libonnxruntime.so",
			"there is no file /nonexistent/libonnxruntime.so",
		},
		"folder": {t.TempDir(), "there is no file"},
		"text":   {text, "it cannot be loaded"},
		"another library": {
			compile(t, `int answer(void) { return 42; }`),
			"it is a library, but not ONNX Runtime",
		},
		"too old": {old, "it is older than " + ort.Needed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ort.Load(c.path)
			require.ErrorIs(t, err, ort.ErrLibrary)
			require.ErrorContains(t, err, c.says)
		})
	}
	require.NotEmpty(t, library(t).Version())
}

func TestReferenceBundleRunsOnTheCPUAndSaysSo(t *testing.T) {
	s, err := load(t, reference, "")
	require.NoError(t, err)
	require.Equal(t, "cpu", s.Provider)
	require.True(t, s.FellBack)
	require.Contains(t, s.FallbackReason, "tensorrt")
	require.Contains(t, s.FallbackReason, "cuda")
}

func TestRequiredProviderThatIsAbsentIsRefused(t *testing.T) {
	_, err := load(t, reference, bundle.PolicyRequire)
	require.ErrorIs(t, err, infer.ErrProvider)
	require.ErrorContains(t, err, "requires tensorrt")
}

func boards(t *testing.T, s *infer.Session) *tensor.Canvas {
	t.Helper()
	f, canvas := &frame.Frame{}, tensor.NewCanvas(s.Plan)
	require.NoError(t, f.Shape(640, 640, 1))
	require.NoError(t, canvas.Fit(f))
	t.Cleanup(func() { canvas.Close(); f.Release() })
	return canvas
}

func TestARunAllocatesNothing(t *testing.T) {
	s, err := load(t, reference, "")
	require.NoError(t, err)
	canvases := []*tensor.Canvas{boards(t, s)}
	require.Zero(t, alloctest.Least(10, func() {
		if _, err := inferred(s, canvases, monotime.Now()+int64(time.Minute)); err != nil {
			t.Error(err)
		}
	}))
}

func TestARunIsBrokenOffAtItsDeadline(t *testing.T) {
	s, err := load(t, reference, "")
	require.NoError(t, err)
	canvases := []*tensor.Canvas{boards(t, s)}
	for range 3 {
		_, err = inferred(s, canvases, monotime.Now()+int64(4*time.Millisecond))
		require.ErrorIs(t, err, infer.ErrCancelled)
		r, err := inferred(s, canvases, 0)
		require.NoError(t, err)
		require.Positive(t, r[0].InferenceNs)
	}
}

// A model that parses and keeps its manifest may still have an operator that ONNX Runtime does not know: then
// the CPU, the last provider, refuses it, too.
func TestModelThatONNXRuntimeRefuses(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(reference)))
	path := filepath.Join(dir, "model-int8.onnx") // the CPU's
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	known, unknown := []byte("\x22\x06Resize"), []byte("\x22\x06Resift") // field op_type of a node, 6 bytes
	require.True(t, bytes.Contains(raw, known), "the model has no such operator any more: take another")
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(raw, known, unknown), 0o600))
	_, err = load(t, dir, "")
	require.ErrorIs(t, err, infer.ErrProvider)
	require.ErrorContains(t, err, "; cpu: open model: load model: ")
	require.ErrorContains(t, err, "Resift")
	t.Log(err)
}

// An engine that was compiled elsewhere never reaches ONNX Runtime.
func TestACompiledEngineIsRefusedWhateverTheProvider(t *testing.T) {
	node := onnxtest.Bytes(onnxtest.Bytes(nil, 4, []byte("EPContext")), 7, []byte("com.microsoft"))
	graph := onnxtest.Graph(
		[]onnxtest.Port{{Name: "images", Elem: 1, Dims: []int64{1, 1, onnxtest.Side, onnxtest.Side}}},
		[]onnxtest.Port{{Name: "output0", Elem: 1, Dims: []int64{1, 10, onnxtest.Cells}}},
	)
	dir := onnxtest.Write(t, onnxtest.Model(onnxtest.Bytes(graph, 1, node)))
	_, err := load(t, dir, "")
	require.ErrorIs(t, err, onnxfile.ErrModel)
	require.ErrorContains(t, err, "model.onnx: model refused: it has a node EPContext")
}

// Fault 20: weights in another file, wherever that lies, never reach ONNX Runtime.
func TestWeightsInAnotherFileAreRefused(t *testing.T) {
	for _, place := range []string{"weights.bin", "../../etc/passwd", "/etc/passwd"} {
		entry := onnxtest.Bytes(onnxtest.Bytes(nil, 1, []byte("location")), 2, []byte(place))
		weights := onnxtest.Varint(onnxtest.Varint(nil, 1, 6), 2, uint64(onnxfile.Float32))
		weights = onnxtest.Bytes(onnxtest.Bytes(weights, 8, []byte("w")), 13, entry)
		weights = onnxtest.Varint(weights, 14, 1) // EXTERNAL
		graph := onnxtest.Graph(
			[]onnxtest.Port{{Name: "images", Elem: 1, Dims: []int64{1, 1, onnxtest.Side, onnxtest.Side}}},
			[]onnxtest.Port{{Name: "output0", Elem: 1, Dims: []int64{1, 10, onnxtest.Cells}}},
		)
		dir := onnxtest.Write(t, onnxtest.Model(onnxtest.Bytes(graph, 5, weights)))
		b, err := bundle.Load(dir)
		require.NoError(t, err)
		l := infer.Loader{Runtime: unopened{t}, Log: slog.New(slog.DiscardHandler)}
		_, err = l.Load(b, "")
		require.ErrorIs(t, err, onnxfile.ErrModel)
		require.ErrorContains(t, err, "weights are in another file")
	}
}

// unopened fails a test when a model reaches it.
type unopened struct{ t *testing.T }

func (u unopened) Open(infer.Spec) (infer.Runner, error) {
	u.t.Error("the model reached the runtime")
	return nil, infer.ErrRun
}

// ONNX Runtime takes bytes with ORTM in fifth place for its own format, which nobody has inspected.
func TestAModelIsReadAsTheONNXThatWasInspected(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(reference)))
	path := filepath.Join(dir, "model-int8.onnx")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	disguised := onnxtest.Bytes(nil, 2, []byte("--ORTM")) // the producer's name
	require.Equal(t, "ORTM", string(disguised[4:8]))
	require.NoError(t, os.WriteFile(path, append(disguised, raw...), 0o600))
	s, err := load(t, dir, "")
	require.NoError(t, err)
	require.Equal(t, "cpu", s.Provider)
}

// Each image of a run has the outputs that it has alone, in its own place, whatever the others are.
func TestImagesOfOneRunDoNotMix(t *testing.T) {
	const most = 4
	b, err := bundle.Load(reference)
	require.NoError(t, err)
	raw, err := b.Read("model-int8.onnx", bundle.MaxModelBytes)
	require.NoError(t, err)
	plan := tensor.NewPlan(b.Manifest.Input, b.Manifest.Preprocess)
	outputs := []infer.Output{
		{
			Name: "scores", Elem: onnxfile.Float32, Shape: []int64{1, 6, 80, 80},
			Values: make([]float32, most*6*80*80),
		},
		{
			Name: "distances", Elem: onnxfile.Float32, Shape: []int64{1, 48, 80, 80},
			Values: make([]float32, most*48*80*80),
		},
	}
	in := tensor.NewInput(plan, most)
	runner, err := library(t).Open(infer.Spec{
		Model: raw, Provider: bundle.Provider{Name: "cpu"}, Threads: 1, Images: most, InputName: "images",
		InputShape: plan.Shape(), Input: in, Outputs: outputs,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, runner.Close()) }()
	images := in.Images(plan)
	alone := make([][][]float32, most)
	for i := range images {
		lines(images[0].Bytes, 20+7*i)
		require.NoError(t, runner.Run(1))
		for _, out := range outputs {
			alone[i] = append(alone[i], slices.Clone(out.Values[:len(out.Values)/most]))
		}
	}
	require.NotEqual(t, alone[0], alone[1])
	for i := range images {
		lines(images[i].Bytes, 20+7*i)
	}
	for _, n := range []int{most, most - 1, 2} {
		for _, out := range outputs {
			clear(out.Values)
		}
		require.NoError(t, runner.Run(n))
		for i := range n {
			for k, out := range outputs {
				values := len(out.Values) / most
				require.Less(t, farthest(alone[i][k], out.Values[i*values:][:values]), 1e-4, "%d of %d", i, n)
			}
		}
	}
}

func farthest(a, b []float32) float64 {
	most := 0.0
	for i := range a {
		most = max(most, math.Abs(float64(a[i]-b[i])))
	}
	return most
}

// lines draws traces, so many pixels apart.
func lines(pixels []uint8, apart int) {
	for i := range pixels {
		pixels[i] = 255
		if i%640%apart < apart/3 && i/640%97 > 4 {
			pixels[i] = 0
		}
	}
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
