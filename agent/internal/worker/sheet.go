package worker

import (
	"fmt"
	"sync"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/decode"
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

	tiles int // 0: the frame was seen as a whole
}

// tiler is what a sheet needs of the one who inspects it.
type tiler interface {
	// images is how many tiles it inspects at once, at most.
	images() int
	// infer inspects tiles. Detections are in their pixels, valid until the next call.
	infer(canvases []*tensor.Canvas) ([]infer.Result, error)
	// judge looks closer at what was found in all tiles of a frame, and changes it.
	judge(f *frame.Frame, r *infer.Result)
	// progress is told how many tiles are done, before the first and after each batch.
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
	trail                   *trail         // of the frame; nil where pairs is
	canvases                []*tensor.Canvas
	moved                   []detect.Detection
}

// newSheet takes an unscaled plan. While all tracks of the lane infer, the next batch is made ready.
func newSheet(plan *tensor.Plan, l *lane, overlap int) *sheet {
	m := l.manifest
	s := &sheet{
		plan: plan, width: m.Input.Width, height: m.Input.Height, overlap: overlap,
		nmsIoU: float32(m.Decoder.NMSIoU),
	}
	all, most := l.images()
	for range all + most {
		s.canvases = append(s.canvases, tensor.NewCanvas(plan))
	}
	return s
}

// tiled says whether the lane's frames can be seen in tiles.
func (l *lane) tiled(overlap int) error {
	if l.manifest.Task != bundle.TaskDetection {
		return fmt.Errorf("%w: findings of task %s in several tiles are not joined; leave tiles out",
			errMethod, l.manifest.Task)
	}
	if side := min(l.manifest.Input.Width, l.manifest.Input.Height); overlap > side/2 {
		return fmt.Errorf("%w: tiles overlap by %d pixels; take at most %d, half of the model's input",
			errMethod, overlap, side/2)
	}
	return nil
}

// lay divides the frame into tiles, and readies the golden template for them.
func (s *sheet) lay(f *frame.Frame, g *golden) error {
	s.trail = nil
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
	if err = s.divide(f); err == nil && s.pairs != nil {
		s.trail = newTrail(g.sheet, s.tiles, threshold)
	}
	return err
}

// divide lays tiles over the frame, unless they are those of the frame before.
func (s *sheet) divide(f *frame.Frame) error {
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

// sheetRun is the inspection of one frame: one goroutine makes tiles ready, one or more infer them, as many
// at once as the provider likes.
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
		s.trail.failed(r.err)
		return r.found, r.err
	}
	start := monotime.Now()
	r.found.Detections = s.merger.Result()
	if n := s.merger.Dropped(); n > 0 { // none of them is more certain than what was kept
		r.found.Cut.Add(detect.Cut{Count: n, Score: r.found.Detections[len(r.found.Detections)-1].Score})
	}
	r.found.DecodeNs += monotime.Now() - start
	lead.judge(job.frame, &r.found.Result)
	return r.found, r.found.Err
}

// fit puts tile after tile into canvases that are free.
func (r *sheetRun) fit(f *frame.Frame) {
	defer close(r.full)
	for i := range r.found.tiles {
		select {
		case c := <-r.empty:
			err := r.sheet.fitTile(f, i, c)
			r.full <- fitted{i, c, err} // never blocks: there is a place for each canvas
		case <-r.stop:
			return
		}
	}
}

// work infers tiles until none is left or one has failed.
func (r *sheetRun) work(t tiler, help func(*sheetRun)) {
	b := batch{tiles: make([]fitted, 0, t.images())}
	for r.gather(&b) {
		if help != nil {
			help(r)
		}
		found, err := r.infer(t, &b)
		for _, next := range b.tiles {
			r.empty <- next.canvas // before merging, which goes on beside the next tiles
		}
		if !r.take(&b, found, err) {
			return
		}
	}
}

// batch is some tiles that are inferred in one run.
type batch struct {
	tiles    []fitted
	canvases []*tensor.Canvas
}

// gather waits for as many tiles as fit into one run, or the last ones, and says whether there are any. A
// tile that could not be fitted ends the batch.
func (r *sheetRun) gather(b *batch) bool {
	b.tiles, b.canvases = b.tiles[:0], b.canvases[:0]
	for len(b.tiles) < cap(b.tiles) {
		next, more := <-r.full
		if !more {
			break
		}
		b.tiles, b.canvases = append(b.tiles, next), append(b.canvases, next.canvas)
		if next.err != nil {
			break
		}
	}
	return len(b.tiles) > 0
}

func (r *sheetRun) infer(t tiler, b *batch) ([]infer.Result, error) {
	first, last := b.tiles[0].tile, b.tiles[len(b.tiles)-1]
	if last.err != nil {
		return nil, last.err
	}
	found, err := t.infer(b.canvases)
	switch {
	case err == nil:
		return found, nil
	case len(b.tiles) == 1:
		return found, fmt.Errorf("tile %d of %d: %w", first+1, r.found.tiles, err)
	default:
		return found, fmt.Errorf("tiles %d to %d of %d: %w", first+1, last.tile+1, r.found.tiles, err)
	}
}

// take adds what was found in a batch, and says whether to go on.
func (r *sheetRun) take(b *batch, found []infer.Result, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := &r.found
	for i := range found {
		all.FillNs, all.InferenceNs = all.FillNs+found[i].FillNs, all.InferenceNs+found[i].InferenceNs
		all.DecodeNs += found[i].DecodeNs
		all.Cut.Add(found[i].Cut)
	}
	if r.err != nil {
		return false
	}
	if err == nil {
		err = r.sheet.merge(b, found)
	}
	if err != nil {
		r.err = err
		close(r.stop)
		return false
	}
	r.done += len(b.tiles)
	r.lead.progress(r.done, all.tiles)
	return true
}

// merge adds what was found in the tiles of a batch.
func (s *sheet) merge(b *batch, found []infer.Result) error {
	for i, next := range b.tiles {
		if err := s.add(next.tile, found[i].Detections); err != nil {
			return fmt.Errorf("%w: %w", decode.ErrOutput, err)
		}
	}
	return nil
}

func (s *sheet) fitTile(f *frame.Frame, i int, c *tensor.Canvas) error {
	r := s.tiles.Tile(i)
	tile := f.Part(r.X, r.Y, r.Width, r.Height)
	if err := c.Fit(&tile); err != nil || s.pairs == nil {
		return err
	}
	_, err := s.pairs.Match(c, r.X, r.Y)
	s.trail.matched(i, s.pairs, err)
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

func (t *tiledJob) images() int { return t.track.engine.Images() }

func (t *tiledJob) infer(canvases []*tensor.Canvas) ([]infer.Result, error) {
	if due := t.job.deadlineNs; due != 0 && monotime.Now() >= due {
		return nil, infer.ErrCancelled
	}
	results := t.track.find(canvases, t.job.deadlineNs)
	for i := range results {
		if results[i].Err != nil {
			return results, results[i].Err
		}
	}
	return results, nil
}

func (t *tiledJob) judge(f *frame.Frame, r *infer.Result) { t.track.judge(f, r, t.job.deadlineNs) }

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
