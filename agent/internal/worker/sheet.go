package worker

import (
	"fmt"
	"sync"

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
	canvases                []*tensor.Canvas
	moved                   []detect.Detection
}

// newSheet takes an unscaled plan. While so many tiles are inferred side by side the next one is made ready.
func newSheet(plan *tensor.Plan, m *bundle.Manifest, overlap, tracks int) *sheet {
	s := &sheet{
		plan: plan, width: m.Input.Width, height: m.Input.Height, overlap: overlap,
		nmsIoU: float32(m.Decoder.NMSIoU),
	}
	for range tracks + 1 {
		s.canvases = append(s.canvases, tensor.NewCanvas(plan))
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
	tile   int
	canvas *tensor.Canvas
	err    error
}

// sheetRun is the inspection of one frame: one goroutine makes tiles ready, one or more infer them.
type sheetRun struct {
	sheet *sheet
	job   *slot // whose frame it is
	empty chan *tensor.Canvas
	full  chan fitted // closed behind the last tile, or when stop is
	stop  chan struct{}

	helpers sync.WaitGroup

	mu    sync.Mutex // guards what follows, and the sheet's merger
	lead  tiler      // is told of the progress
	found inspection
	done  int
	err   error // the first
}

// inspect runs over all tiles of the frame that was laid out last. Times are sums over the tiles; those of
// fitting are spent beside the model and not in them. The first error ends it. Help is asked for before each
// tile, and may be nil; it adds to helpers when somebody comes.
func (s *sheet) inspect(job *slot, lead tiler, help func(*sheetRun)) (inspection, error) {
	s.merger.Reset()
	places := len(s.canvases)
	r := &sheetRun{
		sheet: s, job: job, lead: lead, found: inspection{tiles: s.tiles.Len()},
		empty: make(chan *tensor.Canvas, places), full: make(chan fitted, places), stop: make(chan struct{}),
	}
	for _, c := range s.canvases {
		r.empty <- c
	}
	lead.progress(0, r.found.tiles)
	go r.fit(job.frame)
	r.work(lead, help)
	r.helpers.Wait()
	for range r.full { // until it is closed: nobody reads the frame any more
		continue
	}
	if r.err != nil {
		return r.found, r.err
	}
	start := monotime.Now()
	r.found.Detections = s.merger.Result()
	r.found.dropped = s.merger.Dropped()
	r.found.DecodeNs += monotime.Now() - start
	return r.found, nil
}

// fit puts tile after tile into canvases that are free.
func (r *sheetRun) fit(f *frame.Frame) {
	defer close(r.full)
	for i := range r.found.tiles {
		select {
		case c := <-r.empty:
			err := r.sheet.fitTile(f, r.sheet.tiles.Tile(i), c)
			r.full <- fitted{i, c, err} // never blocks: there is a place for each canvas
		case <-r.stop:
			return
		}
	}
}

// work infers tiles until none is left or one has failed.
func (r *sheetRun) work(t tiler, help func(*sheetRun)) {
	for next := range r.full {
		if help != nil {
			help(r)
		}
		var found infer.Result
		if next.err == nil {
			if found, next.err = t.infer(next.canvas); next.err != nil {
				next.err = fmt.Errorf("tile %d of %d: %w", next.tile+1, r.found.tiles, next.err)
			}
		}
		r.empty <- next.canvas // before merging, which goes on beside the next tile
		if !r.take(next, &found) {
			return
		}
	}
}

// take adds what was found in a tile, and says whether to go on.
func (r *sheetRun) take(next fitted, found *infer.Result) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := &r.found
	all.FillNs, all.InferenceNs = all.FillNs+found.FillNs, all.InferenceNs+found.InferenceNs
	all.DecodeNs += found.DecodeNs
	if next.err == nil && r.err == nil {
		if err := r.sheet.add(next.tile, found.Detections); err != nil {
			next.err = fmt.Errorf("%w: %w", detect.ErrOutput, err)
		}
	}
	switch {
	case r.err != nil:
		return false
	case next.err != nil:
		r.err = next.err
		close(r.stop)
		return false
	}
	r.done++
	r.lead.progress(r.done, all.tiles)
	return true
}

func (s *sheet) fitTile(f *frame.Frame, r tiles.Rect, c *tensor.Canvas) error {
	tile := f.Part(r.X, r.Y, r.Width, r.Height)
	if err := c.Fit(&tile); err != nil || s.pairs == nil {
		return err
	}
	_, err := s.pairs.Match(c, r.X, r.Y)
	return err
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
