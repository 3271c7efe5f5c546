package worker

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/onnxfile/onnxtest"
)

const overlap = 32

// darkBlocks is a model that finds dark rectangles, whole or cut off by its tile, in each image.
func darkBlocks(s infer.Spec, _ <-chan struct{}) error {
	const pixels, values = onnxtest.Side * onnxtest.Side, 10 * onnxtest.Cells
	for i := range s.Images {
		blocksOf(s.Input.Floats[i*pixels:][:pixels], s.Outputs[0].Values[i*values:][:values])
	}
	return nil
}

func blocksOf(tile, out []float32) {
	clear(out)
	dark := func(x, y int) bool {
		return x >= 0 && y >= 0 && x < onnxtest.Side && y < onnxtest.Side && tile[y*onnxtest.Side+x] < 0.25
	}
	cell := 0
	for y := range onnxtest.Side {
		for x := range onnxtest.Side {
			if !dark(x, y) || dark(x-1, y) || dark(x, y-1) {
				continue
			}
			w, h := 1, 1
			for dark(x+w, y) {
				w++
			}
			for dark(x, y+h) {
				h++
			}
			for row, v := range []float32{
				float32(x) + float32(w)/2, float32(y) + float32(h)/2, float32(w), float32(h), 0.9,
			} {
				out[row*onnxtest.Cells+cell] = v
			}
			cell++
		}
	}
}

// drawn writes a light sheet with dark blocks.
func drawn(t *testing.T, width, height int, blocks ...image.Rectangle) string {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Rect, image.NewUniform(color.Gray{200}), image.Point{}, draw.Src)
	for _, b := range blocks {
		draw.Draw(img, b, image.NewUniform(color.Gray{20}), image.Point{}, draw.Src)
	}
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "sheet.png"))
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, img))
	require.NoError(t, f.Close())
	return dir
}

func sheetStation(t *testing.T, dir string) *wire.StationConfig {
	t.Helper()
	station := simStation(t)
	station.Camera, station.TileOverlap = "dir:"+dir, overlap
	return station
}

// The overlap is 32 px, so that blocks of up to 30 px are whole in one tile, wherever they lie.
func TestEachBlockOfASheetIsFoundOnceWhereItIs(t *testing.T) {
	const width, height = 333, 207
	want := map[[4]float32]bool{}
	var blocks []image.Rectangle
	for y := 2; y+20 < height; y += 37 {
		for x := 3; x+28 < width; x += 41 {
			b := image.Rect(x, y, x+12+(x+y)%16, y+8+(x*y)%12)
			blocks = append(blocks, b)
			want[[4]float32{float32(b.Min.X), float32(b.Min.Y), float32(b.Max.X), float32(b.Max.Y)}] = true
		}
	}
	var runs atomic.Int64
	counted := func(s infer.Spec, stop <-chan struct{}) error {
		runs.Add(1)
		<-time.After(time.Millisecond) // whatever it holds, so that a batch is taken
		return darkBlocks(s, stop)
	}
	for name, c := range map[string]struct {
		edit func(*wire.StationConfig)
		runs int64
	}{
		"gray":            {func(*wire.StationConfig) {}, 10 * 6},
		"black and white": {func(c *wire.StationConfig) { c.Binarize = "otsu" }, 10 * 6},
		"in batches":      {func(c *wire.StationConfig) { c.BundleDir = onnxtest.Batched(t, 8) }, 8},
	} {
		t.Run(name, func(t *testing.T) {
			station := sheetStation(t, drawn(t, width, height, blocks...))
			c.edit(station)
			s := start(t, scripted(counted), station)
			s.ready()
			runs.Store(0)
			s.inspect(1, 0)
			s.exposed()
			first := expect(s, wire.KindProgress, &wire.Progress{})
			require.EqualValues(t, 1, first.GetJob())
			require.Zero(t, first.GetDone())
			got := s.answered()
			require.Equal(t, wire.Fault_FAULT_NONE, got.GetFault(), got.GetFaultText())
			require.EqualValues(t, first.GetTotal(), got.GetTiles())
			require.EqualValues(t, 10*6, got.GetTiles()) // ⌈(333 − 64) / 32⌉ + 1, ⌈(207 − 64) / 32⌉ + 1
			require.Zero(t, got.GetDropped())
			found := map[[4]float32]bool{}
			for _, d := range got.GetDetections() {
				found[[4]float32{d.GetX1(), d.GetY1(), d.GetX2(), d.GetY2()}] = true
			}
			require.Equal(t, want, found)
			require.Len(t, got.GetDetections(), len(want), "none of them twice")
			require.Equal(t, c.runs, runs.Load())
		})
	}
}

// A sheet that is smaller than a tile is not enlarged.
func TestASmallSheetKeepsItsPixels(t *testing.T) {
	s := start(t, scripted(darkBlocks), sheetStation(t, drawn(t, 40, 30, image.Rect(5, 6, 17, 15))))
	s.ready()
	s.inspect(1, 0)
	s.exposed()
	got := s.answered()
	require.EqualValues(t, 1, got.GetTiles())
	require.Len(t, got.GetDetections(), 1)
	d := got.GetDetections()[0]
	require.Equal(t, [4]float32{5, 6, 17, 15}, [4]float32{d.GetX1(), d.GetY1(), d.GetX2(), d.GetY2()})
}

// eye is a tiler that looks at each tile, one after the other or several at once.
type eye struct {
	look  func(*tensor.Canvas) (infer.Result, error)
	batch int // 0: one
	seen  []int
	dones []int
}

func (e *eye) images() int { return max(e.batch, 1) }

func (e *eye) infer(canvases []*tensor.Canvas) ([]infer.Result, error) {
	e.seen = append(e.seen, len(canvases))
	found := make([]infer.Result, 0, len(canvases))
	for _, c := range canvases {
		r, err := e.look(c)
		found = append(found, r)
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

func (*eye) judge(*frame.Frame, *infer.Result) {}

func (e *eye) progress(done, _ int) { e.dones = append(e.dones, done) }

// laidOut is a sheet of noise, and how a model of 64×64 pixels sees it, so many tiles at once.
func laidOut(t *testing.T, most int) (*sheet, *frame.Frame, *tensor.Plan) {
	t.Helper()
	b, err := bundle.Load(onnxtest.Bundle(t))
	require.NoError(t, err)
	plan := tensor.NewPlan(b.Manifest.Input, b.Manifest.Preprocess).Unscaled()
	s := newSheet(plan, newLane(&b.Manifest, plan, []engine{&runs{most: most}}, 1), overlap)
	t.Cleanup(s.close)
	f := &frame.Frame{}
	require.NoError(t, f.Shape(300, 170, 1))
	t.Cleanup(f.Release)
	for i := range f.Pix {
		f.Pix[i] = byte(i * i >> 5)
	}
	require.NoError(t, s.lay(f, nil))
	return s, f, plan
}

func TestTheModelSeesEachTileOnceInOrderAsItIs(t *testing.T) {
	for _, batch := range []int{1, 4, 100} {
		t.Run(fmt.Sprint(batch, " at once"), func(t *testing.T) { seesEachTile(t, batch) })
	}
}

func seesEachTile(t *testing.T, batch int) {
	t.Helper()
	s, f, plan := laidOut(t, batch)
	in, seen := tensor.NewInput(plan, 1), 0
	e := &eye{batch: batch, look: func(c *tensor.Canvas) (infer.Result, error) {
		c.Fill(in)
		r := s.tiles.Tile(seen)
		for y := range r.Height {
			for x := range r.Width {
				want := float32(f.Pix[(r.Y+y)*f.Stride+r.X+x]) / 255
				if got := in.Floats[y*onnxtest.Side+x]; max(got-want, want-got) > 1e-6 {
					return infer.Result{}, fmt.Errorf("tile %d at %d, %d: %g, not %g", seen, x, y, got, want)
				}
			}
		}
		seen++
		return infer.Result{InferenceNs: 3}, nil
	}}
	for range 2 { // the second sheet of one size takes what is there
		seen = 0
		got, err := s.inspect(&slot{frame: f}, e, nil)
		require.NoError(t, err)
		require.Equal(t, s.tiles.Len(), seen)
		require.Equal(t, s.tiles.Len(), got.tiles)
		require.EqualValues(t, 3*seen, got.InferenceNs)
	}
	require.Equal(t, s.tiles.Len(), e.dones[len(e.dones)-1])
	for i, n := range e.seen[:len(e.seen)/2-1] {
		require.Equal(t, min(batch, s.tiles.Len()), n, "run %d", i+1)
	}
	require.Len(t, e.seen, 2*((s.tiles.Len()+batch-1)/batch))
}

func TestWhatLimitsCostOnASheetIsCounted(t *testing.T) {
	s, f, _ := laidOut(t, 1)
	inTiles := &eye{look: func(*tensor.Canvas) (infer.Result, error) {
		return infer.Result{Cut: detect.Cut{Count: 2, Score: 0.4}}, nil
	}}
	got, err := s.inspect(&slot{frame: f}, inTiles, nil)
	require.NoError(t, err)
	require.Equal(t, detect.Cut{Count: 2 * s.tiles.Len(), Score: 0.4}, got.Cut)
	const across, step = onnxtest.Side / 2, 2
	var dense []detect.Detection
	for i := range across * across {
		x, y := float32(i%across*step), float32(i/across*step)
		score := 0.9 - 0.0001*float32(i)
		dense = append(dense, detect.Detection{Score: score, Box: [4]float32{x, y, x + 1, y + 1}})
	}
	onTheSheet := &eye{look: func(*tensor.Canvas) (infer.Result, error) {
		return infer.Result{Detections: dense}, nil
	}}
	got, err = s.inspect(&slot{frame: f}, onTheSheet, nil)
	require.NoError(t, err)
	require.Len(t, got.Detections, maxFindings)
	require.Positive(t, got.Cut.Count)
	require.InDelta(t, got.Detections[maxFindings-1].Score, got.Cut.Score, 0)
}

func TestASheetEndsAtTheFirstErrorAndBeginsAnew(t *testing.T) {
	s, f, _ := laidOut(t, 1)
	seen := 0
	e := &eye{look: func(*tensor.Canvas) (infer.Result, error) {
		seen++
		if seen == 4 {
			return infer.Result{}, infer.ErrCancelled
		}
		return infer.Result{}, nil
	}}
	_, err := s.inspect(&slot{frame: f}, e, nil)
	require.ErrorIs(t, err, infer.ErrCancelled)
	require.ErrorContains(t, err, "tile 4 of")
	require.Equal(t, 4, seen)
	_, err = s.inspect(&slot{frame: f}, e, nil)
	require.NoError(t, err)
}

func TestAFailedBatchIsNamedByItsTiles(t *testing.T) {
	s, f, _ := laidOut(t, 3)
	seen := 0
	_, err := s.inspect(&slot{frame: f}, &eye{batch: 3, look: func(*tensor.Canvas) (infer.Result, error) {
		seen++
		if seen == 5 {
			return infer.Result{}, infer.ErrCancelled
		}
		return infer.Result{}, nil
	}}, nil)
	require.ErrorIs(t, err, infer.ErrCancelled)
	require.ErrorContains(t, err, "tiles 4 to 6 of")
}

// runs is an engine that counts tiles.
type runs struct {
	most int // tiles of one run
	n    int
	each func(n int)
}

func (r *runs) Images() int { return max(r.most, 1) }

func (r *runs) Infer(canvases []*tensor.Canvas, _ int64) []infer.Result {
	for range canvases {
		r.n++
		r.each(r.n)
	}
	return make([]infer.Result, len(canvases))
}

func (*runs) Close() error { return nil }

// tiledTrack is a track with a sheet for it. Nobody listens to its progress.
func tiledTrack(t *testing.T, each func(track *track, n int)) (*track, *slot) {
	t.Helper()
	s, f, _ := laidOut(t, 1)
	ours, theirs := pair(t)
	t.Cleanup(func() {
		require.NoError(t, ours.Close())
		require.NoError(t, theirs.Close())
	})
	tr := &track{}
	tr.engine = &runs{each: func(n int) { each(tr, n) }}
	return tr, &slot{station: &station{conn: wire.NewConn(ours)}, frame: f, sheet: s}
}

func TestADeadlineIsNoticedBetweenTiles(t *testing.T) {
	var job *slot
	tr, job := tiledTrack(t, func(_ *track, n int) {
		if n == 3 {
			job.deadlineNs = monotime.Now() - 1
		}
	})
	_, err := tr.tiled(job)
	require.ErrorIs(t, err, infer.ErrCancelled)
	fault, _ := modelFault(err)
	require.Equal(t, wire.Fault_FAULT_CANCELLED, fault)
}

// A sheet may take longer than any run; a tile may not.
func TestTheWatchdogLooksAtEachTile(t *testing.T) {
	tr, job := tiledTrack(t, func(tr *track, n int) {
		l := &lane{tracks: []*track{tr}}
		require.NotZero(t, tr.busyNs.Load())
		require.False(t, l.hangs(monotime.Now()), "tile %d", n)
		tr.busyNs.Store(monotime.Now() - (longestRun + time.Second).Nanoseconds())
		require.True(t, l.hangs(monotime.Now()))
	})
	found, err := tr.tiled(job)
	require.NoError(t, err)
	require.Greater(t, found.tiles, 10)
	require.Zero(t, tr.busyNs.Load())
}

func TestTilesThatCannotBeAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*wire.StationConfig)
		says string
	}{
		"too much overlap": {
			func(c *wire.StationConfig) { c.TileOverlap = onnxtest.Side/2 + 1 },
			"at most 32, half of the model's",
		},
		"without a model": {
			func(c *wire.StationConfig) { c.Method, c.BundleDir = methodCompare, "" }, "leave tiles out",
		},
	} {
		t.Run(name, func(t *testing.T) {
			station := sheetStation(t, t.TempDir())
			c.edit(station)
			s := start(t, scripted(darkBlocks), station)
			for {
				m := expect(s, wire.KindStationState, &wire.StationState{})
				if m.GetPhase() == wire.Phase_PHASE_REFUSED {
					require.Contains(t, m.GetReason(), c.says)
					return
				}
			}
		})
	}
}

// What masks and classes say of a frame in several tiles is not joined.
func TestTilesAreForDetectionsOnly(t *testing.T) {
	for _, task := range bundle.Tasks() {
		l := &lane{manifest: &bundle.Manifest{
			Task: task, Input: bundle.Input{Width: onnxtest.Side, Height: onnxtest.Side},
		}}
		err := l.tiled(overlap)
		if task == bundle.TaskDetection {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, errMethod)
		require.ErrorContains(t, err, "findings of task "+task+" in several tiles are not joined")
	}
}

// Nobody waits for help: a sheet is begun again until the other track was free to give some.
func TestATrackThatIsFreeHelpsWithASheet(t *testing.T) {
	s, f, _ := laidOut(t, 1)
	ours, theirs := pair(t)
	t.Cleanup(func() {
		require.NoError(t, ours.Close())
		require.NoError(t, theirs.Close())
	})
	helped := make(chan struct{})
	help := make(chan *sheetRun)
	lead := &runs{each: func(int) {}}
	other := &runs{each: func(n int) {
		if n == 1 {
			close(helped)
		}
	}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- (&track{engine: other, help: help}).serve(ctx, &lane{jobs: newQueue(1)}) }()
	tr := &track{engine: lead, help: help}
	sheets := 0
	for came := false; !came; sheets++ {
		found, err := tr.tiled(&slot{station: &station{conn: wire.NewConn(ours)}, frame: f, sheet: s})
		require.NoError(t, err)
		require.Equal(t, s.tiles.Len(), found.tiles)
		select {
		case <-helped:
			came = true
		default:
		}
	}
	stop()
	require.NoError(t, <-ended)
	require.Positive(t, lead.n)
	require.Equal(t, sheets*s.tiles.Len(), lead.n+other.n)
}

func TestTheFirstErrorOfATrackEndsTheSheetForAll(t *testing.T) {
	s, f, _ := laidOut(t, 1)
	failed := make(chan struct{})
	e := &eye{look: func(*tensor.Canvas) (infer.Result, error) {
		<-failed
		return infer.Result{}, nil
	}}
	joined := false
	_, err := s.inspect(&slot{frame: f}, e, func(r *sheetRun) {
		if joined {
			return
		}
		joined = true
		r.helpers.Go(func() {
			r.work(&eye{look: func(*tensor.Canvas) (infer.Result, error) {
				defer close(failed)
				return infer.Result{}, infer.ErrCancelled
			}}, nil)
		})
	})
	require.ErrorIs(t, err, infer.ErrCancelled)
}
