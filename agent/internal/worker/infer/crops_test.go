package infer_test

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/alloctest"
	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer/fake"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/onnxfile"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

const (
	cropSide  = 32
	wide      = 4 * onnxtest.Side // of a frame
	ownKinds  = 6                 // of the first model
	kindsFile = "kinds.onnx"
)

// Shades of what the second model sees, and what it says of them: fine, scratch, stain.
const (
	fine, scratched, stained, doubtful, both, broken, twice = 10, 20, 30, 40, 50, 60, 70
)

func opinions() map[int][3]float32 {
	return map[int][3]float32{
		fine: {0.9, 0.05, 0.05}, scratched: {0.1, 0.8, 0.1}, stained: {0, 0.02, 0.98},
		doubtful: {0.55, 0.35, 0.1}, both: {0.95, 0.1, 0.75}, broken: {float32(math.NaN()), 0, 0},
		twice: {0.9, 0.8, 0.85},
	}
}

// kinds is the second model: any number of crops a run.
func kinds(outputs int64) []byte {
	return onnxtest.Model(onnxtest.Graph(
		[]onnxtest.Port{{Name: "crops", Elem: 1, Dims: []int64{0, 1, cropSide, cropSide}}},
		[]onnxtest.Port{{Name: "kinds", Elem: 1, Dims: []int64{0, outputs}}},
	))
}

// pipelined is what a manifest says of the second model. Keys are added to it.
func pipelined(keys string) string {
	return fmt.Sprintf(`then:
  model: %s
  input: {width: %d, height: %d, channels: 1}
  decoder: {family: classifier, activation: none}
  classes:
    - {name: fine, threshold: 0.6, good: true}
    - {name: scratch, threshold: 0.5}
    - {name: stain, threshold: 0.7}
%s`, kindsFile, cropSide, cropSide, keys)
}

// put writes the second model into a bundle.
func put(t *testing.T, dir string, model []byte) string {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, kindsFile), model, 0o600))
	return dir
}

// thing is what the first model finds: a square in frame pixels.
type thing struct {
	class, x, y, side int
	score             float32
}

// finder is the first model, which finds the same in each image, and the second, which says what it thinks of
// the shade in the middle of a crop.
type finder struct {
	things []thing
	crops  [][]float32 // that the second model saw
	runs   []int       // crops of each of its runs
	fails  error       // of the second model
	hangs  bool        // the second model
}

func (m *finder) run(s infer.Spec, stop <-chan struct{}) error {
	if s.InputName == "crops" {
		return m.judge(s, stop)
	}
	for i := range s.Images {
		values := s.Outputs[0].Values[i*10*onnxtest.Cells:][:10*onnxtest.Cells]
		clear(values)
		for cell, one := range m.things {
			half := float32(one.side) / 8
			values[cell], values[onnxtest.Cells+cell] = float32(one.x)/4+half, float32(one.y)/4+half
			values[2*onnxtest.Cells+cell], values[3*onnxtest.Cells+cell] = 2*half, 2*half
			values[(4+one.class)*onnxtest.Cells+cell] = one.score
		}
	}
	return nil
}

func (m *finder) judge(s infer.Spec, stop <-chan struct{}) error {
	if m.hangs {
		<-stop
		return fake.ErrTerminated
	}
	m.runs = append(m.runs, s.Images)
	for i := range s.Images {
		crop := s.Input.Floats[i*cropSide*cropSide:][:cropSide*cropSide]
		m.crops = append(m.crops, append([]float32(nil), crop...))
		shade := int(math.Round(255 * float64(crop[cropSide*cropSide/2+cropSide/2])))
		said := opinions()[shade]
		copy(s.Outputs[0].Values[3*i:], said[:])
	}
	return m.fails
}

// painted is a frame with a square of a shade for each thing.
func painted(t *testing.T, s *infer.Session, things []thing, shades ...int) *tensor.Canvas {
	t.Helper()
	f, canvas := &frame.Frame{}, tensor.NewCanvas(s.Plan)
	require.NoError(t, f.Shape(wide, wide, 1))
	t.Cleanup(func() { canvas.Close(); f.Release() })
	for i, one := range things {
		for y := one.y; y < one.y+one.side; y++ {
			for x := one.x; x < one.x+one.side; x++ {
				f.Pix[y*f.Stride+x] = byte(shades[i])
			}
		}
	}
	require.NoError(t, canvas.Fit(f))
	return canvas
}

// row are things beside each other, of class open.
func row(n int) []thing {
	var all []thing
	for i := range n {
		all = append(all, thing{0, 48 * (i % 5), 48 * (i / 5), cropSide, 0.9 - 0.01*float32(i)})
	}
	return all
}

func opened(t *testing.T, m *finder, keys string) *infer.Session {
	t.Helper()
	s, err := load(t, &fake.Runtime{Script: m.run}, "", put(t, onnxtest.Bundle(t, pipelined(keys)), kinds(3)))
	require.NoError(t, err)
	m.crops, m.runs = nil, nil
	return s
}

func classes(found []detect.Detection) []int {
	var all []int
	for _, d := range found {
		all = append(all, d.Class)
	}
	return all
}

func TestTheSecondModelSeesTheFramesOwnPixels(t *testing.T) {
	inside := thing{0, 100, 60, cropSide, 0.9}
	small := thing{0, 100, 60, cropSide / 2, 0.9}
	edge := thing{0, 0, 100, cropSide / 2, 0.9}
	uneven := thing{0, 100, 60, cropSide - 2, 0.9}
	for name, c := range map[string]struct {
		found        thing
		keys         string
		x, y, border int // of the crop in the frame; left and right of it in the input
	}{
		"a box":                      {inside, "", 100, 60, 0},
		"and its margin":             {small, "  margin: 0.5", 92, 52, 0},
		"out to whole pixels":        {uneven, "  margin: 0.01", 99, 59, 0},
		"as far as the frame has it": {edge, "  margin: 0.5", 0, 92, 4},
	} {
		t.Run(name, func(t *testing.T) {
			m := &finder{things: []thing{c.found}}
			s := opened(t, m, c.keys)
			canvas := painted(t, s, nil)
			f := canvas.Frame()
			for y := range f.Height {
				for x := range f.Width {
					f.Pix[y*f.Stride+x] = byte(7*x + 13*y) // every pixel counts
				}
			}
			require.NoError(t, s.Infer([]*tensor.Canvas{canvas}, 0)[0].Err)
			require.Len(t, m.crops, 1)
			for y := range cropSide {
				for x := range cropSide {
					want := float32(114) / 255
					if x >= c.border && x < cropSide-c.border {
						want = float32(f.Pix[(c.y+y)*f.Stride+c.x+x-c.border]) / 255
					}
					require.InDelta(t, want, m.crops[0][y*cropSide+x], 1e-6, "%d, %d", x, y)
				}
			}
		})
	}
}

func TestTheSecondModelChangesWhatWasFound(t *testing.T) {
	for name, c := range map[string]struct {
		shade int
		class int
		score float32
	}{
		"a defect it is sure of":              {scratched, ownKinds + 1, 0.8},
		"another one":                         {stained, ownKinds + 2, 0.98},
		"good: a false alarm, and a trace":    {fine, ownKinds, 0.9},
		"not sure: as the first one said":     {doubtful, 0, 0.9},
		"nothing at all":                      {99, 0, 0.9},
		"a defect that scores less than good": {both, ownKinds + 2, 0.75},
	} {
		t.Run(name, func(t *testing.T) {
			m := &finder{things: row(1)}
			s := opened(t, m, "")
			r := s.Infer([]*tensor.Canvas{painted(t, s, m.things, c.shade)}, 0)[0]
			require.NoError(t, r.Err)
			require.Zero(t, r.Cut)
			require.Len(t, r.Detections, 1)
			require.Equal(t, c.class, r.Detections[0].Class)
			require.InDelta(t, c.score, r.Detections[0].Score, 1e-6)
			require.Equal(t, [4]float32{0, 0, cropSide, cropSide}, r.Detections[0].Box)
		})
	}
}

// A station may ignore the one, and must know of the other.
func TestEachDefectTheSecondModelIsSureOfIsFound(t *testing.T) {
	things := row(3)
	things[1].class, things[1].score = 3, 0.81 // a spur, which it is not asked about
	m := &finder{things: things}
	s := opened(t, m, "  of: [open]")
	canvas := []*tensor.Canvas{painted(t, s, things, twice, twice, stained)}
	for range 2 { // the same memory once more
		r := s.Infer(canvas, 0)[0]
		require.NoError(t, r.Err)
		require.Equal(t, []int{ownKinds + 2, ownKinds + 2, 3, ownKinds + 1}, classes(r.Detections))
		require.Equal(t, r.Detections[1].Box, r.Detections[3].Box)
		require.InDelta(t, 0.85, r.Detections[1].Score, 1e-6)
		require.InDelta(t, 0.8, r.Detections[3].Score, 1e-6)
	}
}

func TestDefectsOfOneFindingBeyondTheMostAreCounted(t *testing.T) {
	const kindsMany = 18
	var names strings.Builder
	for i := range kindsMany {
		fmt.Fprintf(&names, "    - {name: k%d, threshold: 0.5}\n", i)
	}
	before, _, _ := strings.Cut(pipelined(""), "    - {name: fine")
	dir := put(t, onnxtest.Bundle(t, before+names.String()), kinds(kindsMany))
	m := &finder{things: row(1)}
	s, err := load(t, &fake.Runtime{Script: func(spec infer.Spec, stop <-chan struct{}) error {
		if spec.InputName != "crops" {
			return m.run(spec, stop)
		}
		for i := range kindsMany {
			spec.Outputs[0].Values[i] = 0.99 - float32(i)/100
		}
		return nil
	}}, "", dir)
	require.NoError(t, err)
	r := s.Infer([]*tensor.Canvas{painted(t, s, m.things, 0)}, 0)[0]
	require.NoError(t, r.Err)
	require.Len(t, r.Detections, 16)
	require.Equal(t, 2, r.Cut.Count)
	require.InDelta(t, 0.83, r.Cut.Score, 1e-6)
}

// What is cut off by the decoder could be a defect.
func TestNoClassOfTheSecondModelIsCutOff(t *testing.T) {
	m := &finder{things: row(1)}
	one := strings.Replace(pipelined(""), "activation: none", "activation: none, max_detections: 1", 1)
	s, err := load(t, &fake.Runtime{Script: m.run}, "", put(t, onnxtest.Bundle(t, one), kinds(3)))
	require.NoError(t, err)
	r := s.Infer([]*tensor.Canvas{painted(t, s, m.things, both)}, 0)[0]
	require.NoError(t, r.Err)
	require.Equal(t, []int{ownKinds + 2}, classes(r.Detections))
}

func TestEachRunOfBothModelsIsWatched(t *testing.T) {
	m := &finder{things: row(3)}
	s := opened(t, m, "")
	began := 0
	s.Watch(func() { began++ })
	canvas := []*tensor.Canvas{painted(t, s, m.things, fine, fine, stained)}
	require.NoError(t, s.Infer(canvas, 0)[0].Err)
	require.Equal(t, 1+3, began)
}

func TestOnlyWhatIsAskedForAndCountsIsCropped(t *testing.T) {
	things := row(4)
	things[1].class, things[2].score = 3, 0.45 // a spur; below its threshold
	m := &finder{things: things}
	s := opened(t, m, "  of: [open]")
	r := s.Infer([]*tensor.Canvas{painted(t, s, things, fine, fine, fine, stained)}, 0)[0]
	require.NoError(t, r.Err)
	require.Len(t, m.crops, 2)
	require.Equal(t, []int{ownKinds + 2, ownKinds, 3, 0}, classes(r.Detections), "in order of their scores")
}

// Nobody knows what the others are: a part with them must not pass.
func TestFindingsBeyondTheMostAreCounted(t *testing.T) {
	m := &finder{things: row(7)}
	s := opened(t, m, "  most: 5")
	shades := []int{fine, stained, fine, fine, fine, fine, fine}
	r := s.Infer([]*tensor.Canvas{painted(t, s, m.things, shades...)}, 0)[0]
	require.NoError(t, r.Err)
	require.Len(t, m.crops, 5)
	require.Equal(t, []int{ownKinds + 2, ownKinds, ownKinds, ownKinds, ownKinds, 0, 0}, classes(r.Detections))
	require.Equal(t, detect.Cut{Count: 2, Score: 1}, r.Cut)
	r = s.Infer([]*tensor.Canvas{painted(t, s, m.things, shades...)}, 0)[0]
	require.Equal(t, 2, r.Cut.Count, "of each frame anew")
}

func TestABatchHoldsCropsOfAllFrames(t *testing.T) {
	m := &finder{things: row(3)}
	slow := func(s infer.Spec, stop <-chan struct{}) error {
		err := m.run(s, stop)
		<-time.After(time.Millisecond) // what a run costs, whatever it holds
		return err
	}
	dir := put(t, onnxtest.Batched(t, 2, pipelined("  batch: 4")), kinds(3))
	s, err := load(t, &fake.Runtime{Script: slow}, "", dir)
	require.NoError(t, err)
	require.Equal(t, 2, s.Images())
	m.crops, m.runs = nil, nil
	results := s.Infer([]*tensor.Canvas{
		painted(t, s, m.things, fine, stained, scratched), painted(t, s, m.things, doubtful, broken, fine),
	}, 0)
	require.Equal(t, []int{4, 2}, m.runs)
	require.NoError(t, results[0].Err)
	require.Equal(t, []int{ownKinds + 2, ownKinds, ownKinds + 1}, classes(results[0].Detections))
	require.ErrorIs(t, results[1].Err, decode.ErrOutput, "a crop fails its own frame only")
	require.ErrorContains(t, results[1].Err, "second model: ")
	require.Empty(t, results[1].Detections)
}

func TestASecondModelThatFailsFailsTheFrame(t *testing.T) {
	m := &finder{things: row(3)}
	s := opened(t, m, "")
	canvas := []*tensor.Canvas{painted(t, s, m.things, fine, broken, stained)}
	r := s.Infer(canvas, 0)[0]
	require.ErrorIs(t, r.Err, decode.ErrOutput)
	require.Empty(t, r.Detections)
	m.fails = errors.New("out of memory")
	r = s.Infer(canvas, 0)[0]
	require.ErrorIs(t, r.Err, infer.ErrRun)
	require.ErrorContains(t, r.Err, "second model: inference failed on tensorrt: out of memory")
	m.fails, m.things = nil, nil
	require.NoError(t, s.Infer(canvas, 0)[0].Err, "nothing found, nothing asked")
}

func TestTheDeadlineIsThatOfBothModels(t *testing.T) {
	m := &finder{things: row(2)}
	s := opened(t, m, "")
	canvas := []*tensor.Canvas{painted(t, s, m.things, stained, stained)}
	m.hangs = true
	r := s.Infer(canvas, monotime.Now()+int64(50*time.Millisecond))[0]
	require.ErrorIs(t, r.Err, infer.ErrCancelled)
	require.Empty(t, r.Detections)
	m.hangs = false
	r = s.Infer(canvas, monotime.Now()+int64(time.Hour))[0]
	require.NoError(t, r.Err, "the next one runs")
	require.Len(t, r.Detections, 2)
}

func TestCropsOfAllSizesAllocateNothing(t *testing.T) {
	m := &finder{things: row(3)}
	script := func(s infer.Spec, stop <-chan struct{}) error {
		if s.InputName != "crops" {
			return m.run(s, stop)
		}
		s.Outputs[0].Values[1], s.Outputs[0].Values[2] = 0.9, 0.8
		return nil
	}
	dir := put(t, onnxtest.Bundle(t, pipelined("  margin: 0.1")), kinds(3))
	s, err := load(t, &fake.Runtime{Script: script}, "", dir)
	require.NoError(t, err)
	canvas := []*tensor.Canvas{painted(t, s, nil)}
	require.Zero(t, alloctest.Least(10, func() {
		for side := 20; side < 48; side += 9 {
			m.things[1].side = side
			if r := s.Infer(canvas, 0); r[0].Err != nil || len(r[0].Detections) != 6 {
				t.Error(r)
			}
		}
	}))
}

// shown writes a golden sample of a stain.
func shown(t *testing.T, dir, expect string) {
	t.Helper()
	picture := image.NewGray(image.Rect(0, 0, wide, wide))
	for at := range cropSide * cropSide {
		picture.SetGray(at%cropSide, at/cropSide, color.Gray{Y: stained})
	}
	f, err := os.Create(filepath.Join(dir, "g.png"))
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, picture))
	require.NoError(t, f.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "g.json"), []byte(expect), 0o600))
}

func TestGoldenSamplesAreOfBothModels(t *testing.T) {
	const stain = `[{"class": "stain", "score": 0.98, "box": [0, 0, 32, 32]}]`
	for name, c := range map[string]struct{ expect, says string }{
		"as it is":                {stain, ""},
		"what the first one says": {strings.Replace(stain, "stain", "open", 1), "is not found"},
		"another score":           {strings.Replace(stain, "98", "8", 1), "scores 0.980 instead of 0.800"},
		"a false alarm":           {`[]`, "stain 0.98 at [0 0 32 32] is found and not expected"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &finder{things: row(1)}
			dir := put(t, onnxtest.Bundle(t, pipelined(""),
				"golden: {samples: [{image: g.png, expect: g.json}]}"), kinds(3))
			shown(t, dir, c.expect)
			_, err := load(t, &fake.Runtime{Script: m.run}, "", dir)
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, infer.ErrGolden)
			require.ErrorContains(t, err, c.says)
		})
	}
}

// One crop of a sample fills one place of a batch: another place may be wrong.
func TestGoldenSamplesFillTheBatchOfTheSecondModel(t *testing.T) {
	const stain = `[{"class": "stain", "score": 0.98, "box": [0, 0, 32, 32]}]`
	for name, c := range map[string]struct {
		add  float32 // to scores in the third place
		says string
	}{
		"the same":            {0, ""},
		"within tolerance":    {-0.04, ""},
		"another score":       {-0.4, "crop 3 of 4: golden sample differs: stain scores 0.580, alone 0.980"},
		"what is no score":    {float32(math.NaN()), "second model, crop 3 of 4: bad model output"},
		"a defect disappears": {-0.98, "stain scores 0.010, alone 0.980"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &finder{things: row(1)}
			dir := put(t, onnxtest.Batched(t, 1, pipelined("  batch: 4"),
				"golden: {samples: [{image: g.png, expect: g.json}]}"), kinds(3))
			shown(t, dir, stain)
			_, err := load(t, &fake.Runtime{Script: func(s infer.Spec, stop <-chan struct{}) error {
				err := m.run(s, stop)
				if s.InputName == "crops" {
					if s.Images > 2 {
						s.Outputs[0].Values[3*2+2] += c.add
					}
					<-time.After(time.Millisecond) // so that the batch is taken
				}
				return err
			}}, "", dir)
			if c.says == "" {
				require.NoError(t, err)
				require.Contains(t, m.runs, 4)
				return
			}
			require.ErrorIs(t, err, infer.ErrGolden)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestASecondModelThatContradictsItsManifestIsRefused(t *testing.T) {
	_, err := load(t, &fake.Runtime{}, "", put(t, onnxtest.Bundle(t, pipelined("")), kinds(4)))
	require.ErrorIs(t, err, onnxfile.ErrModel)
	require.ErrorContains(t, err, kindsFile)
	require.ErrorContains(t, err, "which means 4 classes; bundle.yaml names 3")
	_, err = load(t, &fake.Runtime{}, "", put(t, onnxtest.Bundle(t, pipelined("")), []byte("not a model")))
	require.ErrorContains(t, err, kindsFile)
}

// The result of a part names one provider: both models run there.
func TestBothModelsRunOnOneProvider(t *testing.T) {
	only := func(s infer.Spec, _ <-chan struct{}) error {
		if s.InputName == "crops" && s.Provider.Name == "tensorrt" {
			return errors.New("no engine for crops")
		}
		clear(s.Outputs[0].Values)
		return nil
	}
	s, err := load(t, &fake.Runtime{Script: only}, "", put(t, onnxtest.Bundle(t, pipelined("")), kinds(3)))
	require.NoError(t, err)
	require.Equal(t, "cuda", s.Provider)
	require.Contains(t, s.FallbackReason, "tensorrt: second model: ")
	require.Contains(t, s.FallbackReason, "no engine for crops")
}

// gauged is what a manifest says of a second model that measures the crop: the shade in its middle, and its
// width.
func gauged(limits string) string {
	return fmt.Sprintf(`then:
  model: %s
  margin: 0.25
  input: {width: %d, height: %d, channels: 1}
  decoder:
    family: measure
    measures:
      - {name: wide, unit: mm, relative: width, scale: 0.5}
      - {name: bright, scale: 100%s}
      - {name: dark%s}
golden: {samples: [{image: g.png, expect: g.json}]}`, kindsFile, cropSide, cropSide, limits, limits)
}

// measuring is the second model of gauged.
func (m *finder) measuring(s infer.Spec, stop <-chan struct{}) error {
	if s.InputName != "crops" {
		return m.run(s, stop)
	}
	for i := range s.Images {
		shade := s.Input.Floats[i*cropSide*cropSide+cropSide*cropSide/2+cropSide/2]
		copy(s.Outputs[0].Values[3*i:], []float32{1, shade, 1 - shade})
	}
	return m.fails
}

func TestWhatIsMeasuredIsComparedWithItsLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limits  string
		shade   int
		class   int // the first one; -1: none is found
		expect  string
		refused string
	}{
		"no limits": {
			shade: 51, class: 0, expect: `[{"class": "open", "score": 0.9, "box": [100, 60, 132, 92], ` +
				`"measures": [24, 20, 0.8]}]`,
		},
		"within all": {limits: ", min: 0.5, max: 60", shade: 51, class: -1, expect: `[]`},
		"below": {
			limits: ", min: 0.5, max: 60", shade: 0, class: ownKinds, expect: `[{"class": "bright", ` +
				`"score": 0.9, "box": [100, 60, 132, 92], "measures": [24, 0, 1]}]`,
		},
		"above": {
			limits: ", min: 0.5, max: 60", shade: 204, class: ownKinds, expect: `[{"class": "bright", ` +
				`"score": 0.9, "box": [100, 60, 132, 92]}, {"class": "dark", "score": 0.9, "box": ` +
				`[100, 60, 132, 92], "measures": [24, 80, 0.2]}]`,
		},
		"the second one": {
			limits: ", max: 0.7", shade: 0, class: ownKinds + 1, expect: `[{"class": "dark", "score": 0.9, ` +
				`"box": [100, 60, 132, 92], "measures": [24, 0, 1]}]`,
		},
		"another value than the sample's": {
			shade: 51, refused: "open at [100 60 132 92] has a bright of 20 instead of 30",
			expect: `[{"class": "open", "score": 0.9, "box": [100, 60, 132, 92], "measures": [24, 30, 0.8]}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &finder{things: []thing{{0, 100, 60, cropSide, 0.9}}}
			dir := put(t, onnxtest.Bundle(t, gauged(c.limits)), kinds(3))
			picture := image.NewGray(image.Rect(0, 0, wide, wide))
			for i := range picture.Pix {
				picture.Pix[i] = byte(c.shade)
			}
			f, err := os.Create(filepath.Join(dir, "g.png"))
			require.NoError(t, err)
			require.NoError(t, png.Encode(f, picture))
			require.NoError(t, f.Close())
			require.NoError(t, os.WriteFile(filepath.Join(dir, "g.json"), []byte(c.expect), 0o600))
			s, err := load(t, &fake.Runtime{Script: m.measuring}, "", dir)
			if c.refused != "" {
				require.ErrorIs(t, err, infer.ErrGolden)
				require.ErrorContains(t, err, c.refused)
				return
			}
			require.NoError(t, err)
			r := s.Infer([]*tensor.Canvas{painted(t, s, m.things, c.shade)}, 0)[0]
			require.NoError(t, r.Err)
			if c.class < 0 {
				require.Empty(t, r.Detections)
				return
			}
			wanted := []int{c.class}
			for range strings.Count(c.expect, "class") - 1 {
				wanted = append(wanted, wanted[len(wanted)-1]+1)
			}
			require.Equal(t, wanted, classes(r.Detections), "each measure beyond its limits is a defect")
			shade := float32(c.shade) / 255
			for _, d := range r.Detections {
				require.InDelta(t, 0.9, d.Score, 1e-6, "that of the first model")
				require.InDeltaSlice(t, []float32{24, 100 * shade, 1 - shade}, d.Measures, 1e-4,
					"the crop is 48 pixels wide, with its margin")
			}
		})
	}
}

func TestEachFindingHasItsOwnMeasures(t *testing.T) {
	m := &finder{things: row(5)}
	keys := strings.Replace(gauged(""), "golden: {samples: [{image: g.png, expect: g.json}]}", "", 1)
	dir := put(t, onnxtest.Bundle(t, strings.Replace(keys, "margin: 0.25", "batch: 2", 1)), kinds(3))
	s, err := load(t, &fake.Runtime{Script: m.measuring}, "", dir)
	require.NoError(t, err)
	canvas := []*tensor.Canvas{painted(t, s, m.things, 0, 51, 102, 153, 204)}
	for range 2 { // the same memory once more
		r := s.Infer(canvas, 0)[0]
		require.NoError(t, r.Err)
		require.Len(t, r.Detections, 5)
		for i, d := range r.Detections {
			require.InDelta(t, 20*i, d.Measures[1], 1e-3)
		}
	}
	m.things[3].score = 0.1 // is not measured
	r := s.Infer(canvas, 0)[0]
	require.Empty(t, r.Detections[4].Measures)
}

func TestAProviderMayHaveItsVariantOfTheSecondModel(t *testing.T) {
	inputs := map[string]int{}
	dir := put(t, onnxtest.Bundle(t, pipelined(""),
		"providers: {order: [{name: cpu, then: small.onnx}]}"), kinds(3))
	small := onnxtest.Model(onnxtest.Graph(
		[]onnxtest.Port{{Name: "small", Elem: 1, Dims: []int64{1, 1, cropSide, cropSide}}},
		[]onnxtest.Port{{Name: "kinds", Elem: 1, Dims: []int64{1, 3}}},
	))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "small.onnx"), small, 0o600))
	_, err := load(t, &fake.Runtime{Script: func(s infer.Spec, _ <-chan struct{}) error {
		inputs[s.InputName]++
		return nil
	}}, "", dir)
	require.NoError(t, err)
	require.Positive(t, inputs["small"])
	require.Zero(t, inputs["crops"])
}
