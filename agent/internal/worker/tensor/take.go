package tensor

import "github.com/sightline-edge/sightline/agent/internal/frame"

// Weights of ITU-R BT.601 in 14 bits, as OpenCV's COLOR_BGR2GRAY has them.
const (
	grayBits     = 14
	grayHalf     = 1 << (grayBits - 1)
	grayB, grayG = 1868, 9617
	grayR        = 1<<grayBits - grayB - grayG
	colours      = bgr
)

// sampling takes width × height pixels: from each row one in step bytes, and a row each stride bytes.
type sampling struct{ width, height, step, stride int }

// span is the number of bytes from the first pixel taken to the last.
func (s sampling) span(channels int) int {
	return (s.height-1)*s.stride + (s.width-1)*s.step + channels
}

// oddRatio is the odd whole number of frame pixels that become one, or 0: as 1 where nothing is scaled, and 3
// from 1920×1080 to 640×360. There the centre of each wanted pixel falls on the centre of a given one, and
// bilinear interpolation is to take that one.
func oddRatio(f *frame.Frame, width, height int) int {
	ratio := f.Width / width
	if ratio%2 == 0 || ratio*width != f.Width || ratio*height != f.Height {
		return 0
	}
	return ratio
}

// take samples a picture of the given channels from its byte at on, and makes gray of colour where gray is
// wanted. dst is as long as the result.
func take(dst, pix []byte, at int, s sampling, channels int, wantGray bool) {
	src := pix[at:][:s.span(channels)]
	switch {
	case channels == gray:
		takeGray(dst[:s.width*s.height], src, s)
	case wantGray:
		takeLuma(dst[:s.width*s.height], src, s)
	default:
		takeColour(dst[:s.width*s.height*colours], src, s)
	}
}

// The three below are what the C of kernel.c does, for builds without it.

func goTakeGray(dst, src []byte, s sampling) {
	for y := range s.height {
		row := src[y*s.stride:]
		for x := range s.width {
			dst[y*s.width+x] = row[x*s.step]
		}
	}
}

func goTakeColour(dst, src []byte, s sampling) {
	for y := range s.height {
		row := src[y*s.stride:]
		for x := range s.width {
			copy(dst[(y*s.width+x)*colours:][:colours], row[x*s.step:])
		}
	}
}

func goTakeLuma(dst, src []byte, s sampling) {
	for y := range s.height {
		row := src[y*s.stride:]
		for x := range s.width {
			dst[y*s.width+x] = luma(row[x*s.step:][:colours])
		}
	}
}

// luma is the gray of a BGR pixel.
func luma(s []byte) uint8 {
	return uint8((int(s[0])*grayB + int(s[1])*grayG + int(s[2])*grayR + grayHalf) >> grayBits)
}
