package tensor

import "github.com/sightline-edge/sightline/agent/internal/frame"

// decimator stands before another scaler and takes over where an odd whole number of frame pixels becomes
// one, as from 1920×1080 to 640×360: there the centre of each wanted pixel falls on the centre of a given
// one, and bilinear interpolation is to take that one.
type decimator struct {
	scaler
	out []byte
}

func (d *decimator) scale(f *frame.Frame, width, height int) ([]byte, error) {
	ratio := f.Width / width
	if ratio%2 == 0 || ratio*width != f.Width || ratio*height != f.Height {
		return d.scaler.scale(f, width, height)
	}
	d.out = grow(d.out, width*height*f.Channels)
	row := width * f.Channels
	centre := ratio / 2
	for y := range height {
		src := f.Pix[(y*ratio+centre)*f.Stride+centre*f.Channels:]
		if f.Channels == gray {
			everyGray(d.out[y*row:][:row], src, ratio)
		} else {
			everyColour(d.out[y*row:][:row], src, ratio*colours)
		}
	}
	return d.out, nil
}

func everyGray(dst, src []byte, step int) {
	for x := range dst {
		dst[x] = src[x*step]
	}
}

func everyColour(dst, src []byte, step int) {
	for at := 0; len(dst) >= colours; dst, at = dst[colours:], at+step {
		s := src[at : at+colours : at+colours]
		dst[0], dst[1], dst[2] = s[0], s[1], s[2]
	}
}
