package tensor

import "github.com/sightline-edge/sightline/models/bundle"

// What a person looks at before a line runs; an inspection needs none of it.

// Unbinarized is the plan without black and white.
func (p *Plan) Unbinarized() *Plan { return p.Binarized(bundle.Preprocess{}) }

// Pixels is the frame in the size of the geometry, rows packed. Valid until the next Fit. The plan must be of
// gray.
func (c *Canvas) Pixels() []byte {
	width, height := c.geometry.Width, c.geometry.Height
	pix := make([]byte, 0, width*height)
	for y := range height {
		pix = append(pix, c.pix[y*c.stride:][:width]...)
	}
	return pix
}

// Threshold is the least gray that becomes 255 where the frame's pixels of gray are these, width in a row.
// False: the plan keeps gray.
func (p *Plan) Threshold(pixels []byte, width int) (uint8, bool) {
	if !p.binary || p.threshold != 0 {
		return p.threshold, p.binary
	}
	return otsu(pixels, width, len(pixels)/width, width), true
}
