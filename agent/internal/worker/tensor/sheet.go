package tensor

import "github.com/sightline-edge/sightline/agent/internal/frame"

// samples are the most pixels of a sheet that tell its threshold.
const samples = 1 << 22

// Unscaled is the plan for parts of a sheet, none of them larger than the input: pixels stay what they are.
func (p *Plan) Unscaled() *Plan {
	other := *p
	other.unscaled = true
	return &other
}

// Sheet checks a frame whose parts are to be fitted, and returns what Canvas.Hold needs: Otsu's threshold of
// the whole, by one pixel in many, where the plan leaves it to the frame. A part alone may show nothing but
// bare board, and then its noise would be parted.
func (p *Plan) Sheet(f *frame.Frame) (threshold uint8, err error) {
	if err := check(f); err != nil || !p.binary || p.threshold != 0 {
		return 0, err
	}
	step := 1
	for (f.Width/step)*(f.Height/step) > samples {
		step++
	}
	s := sampling{
		width: max(f.Width/step, 1), height: max(f.Height/step, 1),
		step: step * f.Channels, stride: step * f.Stride,
	}
	taken := make([]byte, s.width*s.height)
	take(taken, f.Pix, 0, s, f.Channels, f.Channels != gray)
	return otsu(taken, s.width, s.height, s.width), nil
}
