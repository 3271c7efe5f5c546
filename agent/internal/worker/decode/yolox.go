package decode

import (
	"fmt"
	"math"

	"github.com/sightline-edge/sightline/models/bundle"
)

// level is a grid of cells, row by row, behind those of finer grids.
type level struct {
	first, columns, cells int
	stride                float32 // input pixels from cell to cell
}

// yolox has rows as YOLOX writes them when it does not decode in the model (Ge et al., YOLOX, 2021): where
// the centre lies from the cell's corner and the logarithms of width and height, in cells; objectness and
// classes after the sigmoid.
type yolox struct {
	rows
	levels [3]level
}

func newYOLOX(m *bundle.Manifest, ports []Port) (family, error) {
	r, err := newRows(m, &ports[0])
	if err != nil {
		return nil, err
	}
	y := yolox{rows: r}
	total := 0
	for i, stride := range [...]int{8, 16, 32} {
		columns, high := m.Input.Width/stride, m.Input.Height/stride
		y.levels[i] = level{total, columns, columns * high, float32(stride)}
		total += columns * high
	}
	if total != r.cells {
		return nil, fmt.Errorf("output %q has %d cells, and the grids of strides 8, 16 and 32 on %d×%d have "+
			"%d: correct the input's size, or take family yolov5 where the model decodes its boxes",
			ports[0].Name, r.cells, m.Input.Width, m.Input.Height, total)
	}
	return newSelection(m, y, r.cells), nil
}

func (y yolox) box(c *candidate, outputs [][]float32) [4]float32 {
	cell := int(c.cell)
	v := outputs[0][cell*(objectRow+1+y.classes):]
	l := &y.levels[0]
	for i := range y.levels {
		if cell >= y.levels[i].first {
			l = &y.levels[i]
		}
	}
	cell -= l.first
	return centred(
		(v[0]+float32(cell%l.columns))*l.stride, (v[1]+float32(cell/l.columns))*l.stride,
		float32(math.Exp(float64(v[2])))*l.stride, float32(math.Exp(float64(v[3])))*l.stride,
	)
}
