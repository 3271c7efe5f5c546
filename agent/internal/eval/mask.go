package eval

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
)

// maxMaskPixels bounds a mask before it is decoded.
const maxMaskPixels = 1 << 26

// mask is where an image shows something unusual.
type mask struct {
	width, height int
	inside        []bool // [height*width]
}

// readMask reads a PNG in which all that is not black is unusual.
func readMask(path string) (*mask, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: open mask: %w", ErrLabels, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	head, err := png.DecodeConfig(f)
	if err != nil {
		return nil, fmt.Errorf("%w: mask %s is no PNG: %w", ErrLabels, path, err)
	}
	if head.Width < 1 || head.Height < 1 || head.Width > maxMaskPixels/head.Height {
		return nil, fmt.Errorf("%w: mask %s is of %d×%d pixels, over %d in all", ErrLabels, path, head.Width,
			head.Height, maxMaskPixels)
	}
	if _, err = f.Seek(0, 0); err != nil {
		return nil, fmt.Errorf("%w: mask %s: %w", ErrLabels, path, err)
	}
	picture, err := png.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%w: mask %s: %w", ErrLabels, path, err)
	}
	return newMask(picture), nil
}

func newMask(picture image.Image) *mask {
	r := picture.Bounds()
	m := &mask{width: r.Dx(), height: r.Dy(), inside: make([]bool, r.Dx()*r.Dy())}
	gray, plain := picture.(*image.Gray)
	for y := range m.height {
		row := m.inside[y*m.width:][:m.width]
		for x := range row {
			if plain {
				row[x] = gray.Pix[y*gray.Stride+x] != 0
				continue
			}
			row[x] = color.Gray16Model.Convert(picture.At(r.Min.X+x, r.Min.Y+y)) != color.Gray16{}
		}
	}
	return m
}

// span is pixels of a row that lie side by side in a mask.
type span struct{ y, from, to, region int }

// regions divides a mask into those that hang together, also at a corner: its spans in reading order, and the
// pixels of each region by number, 0 for a number that none has.
func (m *mask) regions() (spans []span, areas []int) {
	above, here := 0, 0 // where the spans of the row before begin, and of this one
	for y := range m.height {
		above, here = here, len(spans)
		row := m.inside[y*m.width:][:m.width]
		for x := 0; x < m.width; {
			if !row[x] {
				x++
				continue
			}
			from := x
			for x < m.width && row[x] {
				x++
			}
			spans = append(spans, span{y, from, x, len(spans)})
		}
		join(spans, above, here)
	}
	areas = make([]int, len(spans))
	for i := range spans {
		spans[i].region = root(spans, i)
		areas[spans[i].region] += spans[i].to - spans[i].from
	}
	return spans, areas
}

// join unites the spans from here on with those from above on that they touch.
func join(spans []span, above, here int) {
	for i := here; i < len(spans); i++ {
		for above < here && spans[above].to < spans[i].from {
			above++
		}
		for k := above; k < here && spans[k].from <= spans[i].to; k++ {
			a, b := root(spans, i), root(spans, k)
			spans[max(a, b)].region = min(a, b)
		}
	}
}

// root is the first span of a region: those of one region point to one another.
func root(spans []span, i int) int {
	for spans[i].region != i {
		spans[i].region = spans[spans[i].region].region
		i = spans[i].region
	}
	return i
}
