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
	template bool
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
	golden frame.Frame // without pixels where no template is wanted
	truth  []frame.Truth
	source string
}

func openBoards(s spec) (source, error) {
	r, err := sim.NewRenderer(s.board)
	if err != nil {
		return nil, err
	}
	b := &boards{opt: s.board, renderer: r, color: s.color, zoom: s.zoom, template: s.template}
	if b.color || b.zoom > 1 {
		b.gray = make([]byte, s.board.Width*s.board.Height)
	}
	for i := range s.prerender {
		kept, err := b.keep(i)
		if err != nil {
			return nil, err
		}
		b.kept = append(b.kept, kept)
	}
	return b, nil
}

func (b *boards) keep(i int) (k board, err error) {
	k.source = strconv.Itoa(i)
	if err = b.shape(&k.frame); err != nil {
		return k, err
	}
	b.draw(uint64(i), k.frame.Pix)
	k.truth = b.appendTruth(nil)
	if b.template {
		if err = b.shape(&k.golden); err != nil {
			return k, err
		}
		b.drawTemplate(uint64(i), k.golden.Pix)
	}
	return k, nil
}

func (b *boards) shape(f *frame.Frame) error {
	return f.Shape(b.opt.Width*b.zoom, b.opt.Height*b.zoom, b.channels())
}

// Read draws the next board, or shows the next of those kept.
func (b *boards) Read(f *frame.Frame) error {
	n := uint64(len(b.kept))
	index := b.index
	b.index++
	if n > 0 {
		return b.show(f, &b.kept[index%n])
	}
	if err := b.shape(f); err != nil {
		return err
	}
	b.draw(index, f.Pix)
	f.Truth, f.Source = b.appendTruth(f.Truth[:0]), strconv.FormatUint(index, 10)
	if !b.template {
		return nil
	}
	golden := f.Beside()
	if err := b.shape(golden); err != nil {
		return err
	}
	b.drawTemplate(index, golden.Pix)
	return nil
}

func (b *boards) show(f *frame.Frame, k *board) error {
	f.Truth, f.Source = append(f.Truth[:0], k.truth...), k.source
	if g := &k.golden; g.Pix != nil {
		if err := f.Beside().Show(g.Pix, g.Width, g.Height, g.Channels); err != nil {
			return err
		}
	}
	return f.Show(k.frame.Pix, k.frame.Width, k.frame.Height, k.frame.Channels)
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
	b.enlarge(pix)
}

// drawTemplate renders a board's template into pix.
func (b *boards) drawTemplate(index uint64, pix []byte) {
	if b.gray == nil {
		b.renderer.Template(index, pix)
		return
	}
	b.renderer.Template(index, b.gray)
	b.enlarge(pix)
}

// enlarge spreads b.gray over the frame.
func (b *boards) enlarge(pix []byte) {
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
