package tensor

import "github.com/sightline-edge/sightline/agent/internal/frame"

// oddRatio is the odd whole number of frame pixels that become one, or 0: as 3 from 1920×1080 to 640×360.
// There the centre of each wanted pixel falls on the centre of a given one, and bilinear interpolation is to
// take that one.
func oddRatio(f *frame.Frame, width, height int) int {
	ratio := f.Width / width
	if ratio%2 == 0 || ratio*width != f.Width || ratio*height != f.Height {
		return 0
	}
	return ratio
}

// decimate takes every ratio-th pixel of every ratio-th row, from the middle of each square, into rows
// without padding; colour becomes gray on the way where gray is wanted.
func decimate(dst []byte, f *frame.Frame, height, ratio int, wantGray bool) {
	row := len(dst) / height
	centre := ratio / 2
	for y := range height {
		src := f.Pix[(y*ratio+centre)*f.Stride+centre*f.Channels:]
		to := dst[y*row:][:row]
		switch {
		case f.Channels == gray:
			everyGray(to, src, ratio)
		case wantGray:
			everyLuma(to, src, ratio*colours)
		default:
			everyColour(to, src, ratio*colours)
		}
	}
}

func everyGray(dst, src []byte, step int) {
	for x := range dst {
		dst[x] = src[x*step]
	}
}

func everyLuma(dst, src []byte, step int) {
	at := 0
	for x := range dst {
		dst[x] = luma(src[at : at+colours : at+colours])
		at += step
	}
}

func everyColour(dst, src []byte, step int) {
	for at := 0; len(dst) >= colours; dst, at = dst[colours:], at+step {
		s := src[at : at+colours : at+colours]
		dst[0], dst[1], dst[2] = s[0], s[1], s[2]
	}
}
