package camera

import (
	"strconv"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

// maxPrerenderBytes bounds the boards kept in memory.
const maxPrerenderBytes = 1 << 30

// boards is the simulated line. Source is the board's number; with kept boards it begins again after the
// last.
type boards struct {
	opt      sim.Options
	color    bool
	zoom     int    // frame pixels for one of the board, in each direction
	gray     []byte // one board before it is enlarged or spread over three channels
	renderer *sim.Renderer
	truth    []sim.Truth
	kept     []board
	index    uint64
}

// board is drawn into a frame of its own, whose memory is never given back: other frames show it, and OpenCV
// may keep pointers to it.
type board struct {
	frame  frame.Frame
	truth  []frame.Truth
	source string
}

func openBoards(s spec) (source, error) {
	r, err := sim.NewRenderer(s.board)
	if err != nil {
		return nil, err
	}
	b := &boards{opt: s.board, renderer: r, color: s.color, zoom: s.zoom}
	if b.color || b.zoom > 1 {
		b.gray = make([]byte, s.board.Width*s.board.Height)
	}
	for i := range s.prerender {
		kept := board{source: strconv.Itoa(i)}
		if err := kept.frame.Shape(b.opt.Width*b.zoom, b.opt.Height*b.zoom, b.channels()); err != nil {
			return nil, err
		}
		b.draw(uint64(i), kept.frame.Pix)
		kept.truth = b.appendTruth(nil)
		b.kept = append(b.kept, kept)
	}
	return b, nil
}

// Read draws the next board, or shows the next of those kept.
func (b *boards) Read(f *frame.Frame) error {
	width, height := b.opt.Width*b.zoom, b.opt.Height*b.zoom
	if n := uint64(len(b.kept)); n > 0 {
		k := &b.kept[b.index%n]
		if err := f.Show(k.frame.Pix, width, height, b.channels()); err != nil {
			return err
		}
		f.Truth, f.Source = append(f.Truth[:0], k.truth...), k.source
	} else {
		if err := f.Shape(width, height, b.channels()); err != nil {
			return err
		}
		b.draw(b.index, f.Pix)
		f.Truth, f.Source = b.appendTruth(f.Truth[:0]), strconv.FormatUint(b.index, 10)
	}
	b.index++
	return nil
}

// channels of a frame: as of a gray camera, or of a colour camera.
func (b *boards) channels() int {
	if b.color {
		return 3
	}
	return 1
}

// draw renders a board into pix and its truth into b.truth.
func (b *boards) draw(index uint64, pix []byte) {
	if b.gray == nil {
		b.truth = b.renderer.Render(index, pix, b.truth[:0])
		return
	}
	b.truth = b.renderer.Render(index, b.gray, b.truth[:0])
	row := b.opt.Width * b.zoom * b.channels()
	for y := range b.opt.Height {
		first := pix[y*b.zoom*row:][:row]
		b.spread(first, b.gray[y*b.opt.Width:][:b.opt.Width])
		for again := 1; again < b.zoom; again++ {
			copy(pix[(y*b.zoom+again)*row:], first)
		}
	}
}

// spread repeats each pixel of a row over its channels and its zoom.
func (b *boards) spread(to, from []byte) {
	each := b.zoom * b.channels()
	for x, v := range from {
		pixel := to[x*each:][:each]
		for i := range pixel {
			pixel[i] = v
		}
	}
}

// Close does nothing.
func (b *boards) Close() error { return nil }

func (b *boards) appendTruth(to []frame.Truth) []frame.Truth {
	for _, t := range b.truth {
		for i := range t.Box {
			t.Box[i] *= float32(b.zoom)
		}
		to = append(to, frame.Truth{Class: t.Class, Box: t.Box})
	}
	return to
}
