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
	gray     []byte // one board before it is spread over three channels
	renderer *sim.Renderer
	truth    []sim.Truth
	kept     []board
	index    uint64
}

type board struct {
	pix    []byte
	truth  []frame.Truth
	source string
}

func openBoards(s spec) (source, error) {
	r, err := sim.NewRenderer(s.board)
	if err != nil {
		return nil, err
	}
	b := &boards{opt: s.board, renderer: r, color: s.color}
	if b.color {
		b.gray = make([]byte, s.board.Width*s.board.Height)
	}
	for i := range s.prerender {
		kept := board{pix: make([]byte, s.board.Width*s.board.Height*b.channels()), source: strconv.Itoa(i)}
		b.draw(uint64(i), kept.pix)
		kept.truth = appendTruth(nil, b.truth)
		b.kept = append(b.kept, kept)
	}
	return b, nil
}

// Read draws the next board, or copies the next of those kept.
func (b *boards) Read(f *frame.Frame) error {
	if err := f.Shape(b.opt.Width, b.opt.Height, b.channels()); err != nil {
		return err
	}
	if n := uint64(len(b.kept)); n > 0 {
		k := &b.kept[b.index%n]
		copy(f.Pix, k.pix)
		f.Truth, f.Source = append(f.Truth[:0], k.truth...), k.source
	} else {
		b.draw(b.index, f.Pix)
		f.Truth, f.Source = appendTruth(f.Truth[:0], b.truth), strconv.FormatUint(b.index, 10)
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
	if !b.color {
		b.truth = b.renderer.Render(index, pix, b.truth[:0])
		return
	}
	b.truth = b.renderer.Render(index, b.gray, b.truth[:0])
	for i, v := range b.gray {
		pix[3*i], pix[3*i+1], pix[3*i+2] = v, v, v
	}
}

// Close does nothing.
func (b *boards) Close() error { return nil }

func appendTruth(to []frame.Truth, from []sim.Truth) []frame.Truth {
	for _, t := range from {
		to = append(to, frame.Truth{Class: t.Class, Box: t.Box})
	}
	return to
}
