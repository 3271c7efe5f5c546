package worker

import (
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/infer"
	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	// maxFindings are the most detections of a sheet, the most certain ones. A sheet with more is not
	// inspected, but scrapped.
	maxFindings = 10_000
	// progressEach is the least time between two reports of one sheet, in nanoseconds.
	progressEach = 100e6
	// ahead is how many tiles are fitted at once: one is inferred while the next one is made ready.
	ahead = 2
)

// inspection is what was found in a frame.
type inspection struct {
	infer.Result

	tiles   int // 0: the frame was seen as a whole
	dropped int // findings in tiles beyond the most that are kept
}

// tiler is what a sheet needs of the one who inspects it.
type tiler interface {
	// infer inspects one tile. Detections are in its pixels, valid until the next call.
	infer(c *tensor.Canvas) (infer.Result, error)
	// progress is told how many tiles are done, before the first and after each.
	progress(done, total int)
}

// sheet inspects frames that are larger than the model's input, tile by tile, each pixel as it is: tiles are
// views of the frame. One goroutine at a time.
type sheet struct {
	plan          *tensor.Plan
	width, height int // of a tile
	overlap       int
	nmsIoU        float32

	sheetWidth, sheetHeight int // that tiles and merger are made for
	tiles                   *tiles.Plan
	merger                  *tiles.Merger
	pairs                   *pairing.Tiles // of the frame's template; nil where none is wanted
	canvases                [ahead]*tensor.Canvas
	moved                   []detect.Detection
}

// newSheet takes an unscaled plan.
func newSheet(plan *tensor.Plan, m *bundle.Manifest, overlap int) *sheet {
	s := &sheet{
		plan: plan, width: m.Input.Width, height: m.Input.Height, overlap: overlap,
		nmsIoU: float32(m.Decoder.NMSIoU),
	}
	for i := range s.canvases {
		s.canvases[i] = tensor.NewCanvas(plan)
	}
	return s
}

// tiled says whether the lane's frames can be seen in tiles.
func (l *lane) tiled(overlap int) error {
	if side := min(l.manifest.Input.Width, l.manifest.Input.Height); overlap > side/2 {
		return fmt.Errorf("%w: tiles overlap by %d pixels; take at most %d, half of the model's input",
			errMethod, overlap, side/2)
	}
	return nil
}

// lay divides the frame into tiles, and readies the golden template for them.
func (s *sheet) lay(f *frame.Frame, g *golden) error {
	threshold, err := s.plan.Sheet(f)
	if err != nil {
		return err
	}
	if s.pairs, err = g.tiles(s.pairs, f); err != nil {
		return err
	}
	for _, c := range s.canvases {
		c.Hold(threshold)
	}
	if s.merger != nil && f.Width == s.sheetWidth && f.Height == s.sheetHeight {
		return nil
	}
	p, err := tiles.NewPlan(f.Width, f.Height, s.width, s.height, s.overlap)
	if err != nil {
		return err
	}
	s.tiles, s.merger = p, tiles.NewMerger(p, maxFindings, s.nmsIoU)
	s.sheetWidth, s.sheetHeight = f.Width, f.Height
	return nil
}

// fitted is a tile in a canvas.
type fitted struct {
	canvas *tensor.Canvas
	err    error
}

// inspect runs over all tiles of the frame that was laid out last. Times are sums over the tiles; those of
// fitting are spent beside the model and not in them. The first error ends it.
func (s *sheet) inspect(f *frame.Frame, t tiler) (inspection, error) {
	total := s.tiles.Len()
	found := inspection{tiles: total}
	s.merger.Reset()
	empty, full, stop := make(chan *tensor.Canvas, ahead), make(chan fitted, ahead), make(chan struct{})
	for _, c := range s.canvases {
		empty <- c
	}
	go s.fit(f, empty, full, stop)
	defer func() {
		close(stop)
		for range full { // until it is closed: nobody reads the frame any more
			continue
		}
	}()
	for i := range total {
		t.progress(i, total)
		next := <-full
		if next.err != nil {
			return found, next.err
		}
		r, err := t.infer(next.canvas)
		found.FillNs, found.InferenceNs = found.FillNs+r.FillNs, found.InferenceNs+r.InferenceNs
		found.DecodeNs += r.DecodeNs
		if err != nil {
			return found, fmt.Errorf("tile %d of %d: %w", i+1, total, err)
		}
		empty <- next.canvas // before merging, which goes on beside the next tile
		if err := s.add(i, r.Detections); err != nil {
			return found, fmt.Errorf("%w: %w", detect.ErrOutput, err)
		}
	}
	t.progress(total, total)
	start := monotime.Now()
	found.Detections = s.merger.Result()
	found.dropped = s.merger.Dropped()
	found.DecodeNs += monotime.Now() - start
	return found, nil
}

// fit puts tile after tile into canvases that are free, and closes full in the end.
func (s *sheet) fit(f *frame.Frame, empty <-chan *tensor.Canvas, full chan<- fitted, stop <-chan struct{}) {
	defer close(full)
	for i := range s.tiles.Len() {
		select {
		case c := <-empty:
			err := s.fitTile(f, s.tiles.Tile(i), c)
			full <- fitted{c, err} // never blocks: there is a place for each canvas
		case <-stop:
			return
		}
	}
}

func (s *sheet) fitTile(f *frame.Frame, r tiles.Rect, c *tensor.Canvas) error {
	tile := view(f, r)
	if err := c.Fit(&tile); err != nil || s.pairs == nil {
		return err
	}
	_, err := s.pairs.Match(c, r.X, r.Y)
	return err
}

// view is a part of a frame, in the frame's own memory.
func view(f *frame.Frame, r tiles.Rect) frame.Frame {
	first := r.Y*f.Stride + r.X*f.Channels
	last := first + (r.Height-1)*f.Stride + r.Width*f.Channels
	return frame.Frame{
		Width: r.Width, Height: r.Height, Channels: f.Channels, Stride: f.Stride,
		Pix: f.Pix[first:last:last],
	}
}

// add moves what was found in a tile to its place on the sheet.
func (s *sheet) add(tile int, found []detect.Detection) error {
	r := s.tiles.Tile(tile)
	x, y := float32(r.X), float32(r.Y)
	s.moved = s.moved[:0]
	for _, d := range found {
		d.Box = [4]float32{d.Box[0] + x, d.Box[1] + y, d.Box[2] + x, d.Box[3] + y}
		if d.Box[2] > d.Box[0] && d.Box[3] > d.Box[1] { // a sliver may vanish so far from the corner
			s.moved = append(s.moved, d)
		}
	}
	return s.merger.Add(tile, s.moved)
}

func (s *sheet) close() {
	for _, c := range s.canvases {
		c.Close()
	}
}

// tiledJob runs the tiles of one job on a track.
type tiledJob struct {
	track *track
	job   *slot
	said  int64 // when progress was reported last
}

func (t *tiledJob) infer(c *tensor.Canvas) (infer.Result, error) {
	if due := t.job.deadlineNs; due != 0 && monotime.Now() >= due {
		return infer.Result{}, infer.ErrCancelled
	}
	return t.track.run(c, t.job.deadlineNs)
}

// progress reports now and then. A socket that takes nothing is noticed by the answer.
func (t *tiledJob) progress(done, total int) {
	now := monotime.Now()
	if t.said != 0 && now-t.said < progressEach {
		return
	}
	t.said = now
	_ = t.job.station.conn.Send(wire.KindProgress, &wire.Progress{
		Station: t.job.station.index, Job: t.job.job, Done: uint32(done), Total: uint32(total),
	})
}
