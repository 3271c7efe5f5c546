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
	b := &boards{opt: s.board, renderer: r}
	for i := range s.prerender {
		kept := board{pix: make([]byte, s.board.Width*s.board.Height), source: strconv.Itoa(i)}
		b.truth = r.Render(uint64(i), kept.pix, b.truth[:0])
		kept.truth = appendTruth(nil, b.truth)
		b.kept = append(b.kept, kept)
	}
	return b, nil
}

// Read draws the next board, or copies the next of those kept.
func (b *boards) Read(f *frame.Frame) error {
	if err := f.Shape(b.opt.Width, b.opt.Height, 1); err != nil {
		return err
	}
	if n := uint64(len(b.kept)); n > 0 {
		k := &b.kept[b.index%n]
		copy(f.Pix, k.pix)
		f.Truth, f.Source = append(f.Truth[:0], k.truth...), k.source
	} else {
		b.truth = b.renderer.Render(b.index, f.Pix, b.truth[:0])
		f.Truth, f.Source = appendTruth(f.Truth[:0], b.truth), strconv.FormatUint(b.index, 10)
	}
	b.index++
	return nil
}

// Close does nothing.
func (b *boards) Close() error { return nil }

func appendTruth(to []frame.Truth, from []sim.Truth) []frame.Truth {
	for _, t := range from {
		to = append(to, frame.Truth{Class: t.Class, Box: t.Box})
	}
	return to
}
