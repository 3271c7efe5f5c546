package decode

import (
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
	"github.com/sightline-edge/sightline/agent/internal/worker/tensor"
	"github.com/sightline-edge/sightline/models/bundle"
)

// stairRoughness is how far an outline may be off the sides of pixels: the steps of a slope are no corners.
// At 45° they are √½ deep.
const stairRoughness = 0.75

// raster is a grid of pixels over the input, whose connected parts are findings.
type raster struct {
	wide, high     int
	scaleX, scaleY float64 // input pixels of a pixel
	x1, y1, x2, y2 int     // the pixels that the frame covers
	pixel          float64 // frame pixels of a pixel
	border         border
	outlines       outlines
}

func newRaster(m *bundle.Manifest, wide, high int) raster {
	return raster{
		wide: wide, high: high,
		scaleX: float64(m.Input.Width) / float64(wide), scaleY: float64(m.Input.Height) / float64(high),
		border: newBorder(stairRoughness), outlines: newOutlines(m, wire.MaxCorners),
	}
}

// cover begins with a frame, and refuses one that is too narrow for the mask: nothing could be found in it.
func (r *raster) cover(g tensor.Geometry) error {
	r.x1, r.x2 = middles(float64(g.Left), float64(g.Left+g.Width), r.scaleX, r.wide)
	r.y1, r.y2 = middles(float64(g.Top), float64(g.Top+g.Height), r.scaleY, r.high)
	r.pixel = r.scaleX * r.scaleY * magnified(g)
	r.outlines.reset()
	if r.x1 >= r.x2 || r.y1 >= r.y2 {
		return fmt.Errorf("%w: a frame of %d×%d is %d×%d of the input and covers no pixel of its "+
			"mask of %d×%d: take a model whose input is nearer to the frame's shape, or was "+
			"trained with resize: stretch",
			ErrOutput, g.FrameWidth, g.FrameHeight, g.Width, g.Height, r.wide, r.high)
	}
	return nil
}

func (r *raster) covers(x, y int) bool { return x >= r.x1 && x < r.x2 && y >= r.y1 && y < r.y2 }

// around is box, outline and area of a part of a mask.
func (r *raster) around(p *part, m mask, g tensor.Geometry) detect.Detection {
	r.border.reset()
	trace(m, p.x, p.y, func(x, y int, _, _ [2]int, turned bool) {
		if turned {
			r.border.add(point{float64(x), float64(y)})
		}
	})
	corners := r.outlines.next()
	r.border.simplify(func(at point) { corners = append(corners, r.place(g, at.x, at.y)) })
	low, high := r.place(g, float64(p.x1), float64(p.y1)), r.place(g, float64(p.x2), float64(p.y2))
	return detect.Detection{
		Box:     [4]float32{low[0], low[1], high[0], high[1]},
		Outline: r.outlines.take(corners), Area: float32(float64(p.pixels) * r.pixel),
	}
}

// place maps a corner of the grid to the frame.
func (r *raster) place(g tensor.Geometry, x, y float64) [2]float32 {
	return inFrame(g, point{x * r.scaleX, y * r.scaleY})
}
