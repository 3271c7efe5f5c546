package sim

import "math"

// The data set's pictures were stored as JPEG: blocks of 8 × 8 pixels that hold an edge carry faint ringing,
// the others are exact. The error of a stored block is one of quantised cosine coefficients, each wrong by up
// to half its step, so that is how it is made here, from a fixed set of such errors.
const (
	block    = 8
	ringings = 64
	// Scales of the base table, in percent: the data set's inspected boards are of quality 75, its templates
	// of quality 95.
	testScale, templateScale = 50, 10
)

type jpegNoise [ringings][block * block]int8

func newJPEGNoise(scale int) *jpegNoise {
	// baseSteps is the luminance table of Annex K of the JPEG standard.
	baseSteps := [block * block]uint8{
		16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
		14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
		18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
		49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
	}
	var n jpegNoise
	r := stream(0, 0, purposeRinging)
	for k := range n {
		var coefficient [block * block]int
		for i, step := range baseSteps {
			half := int(step) * scale * 64 / 200
			coefficient[i] = r.in(-half, half)
		}
		n[k] = inverseCosine(&coefficient)
	}
	return &n
}

// inverseCosine takes coefficients in 1/64 and returns pixel errors.
func inverseCosine(coefficient *[block * block]int) (out [block * block]int8) {
	var basis [block][block]int // [frequency][pixel], 1/1024
	for u := range block {
		scale := 512.0
		if u == 0 {
			scale = 512 / math.Sqrt2
		}
		for x := range block {
			basis[u][x] = int(math.Round(scale * math.Cos(float64((2*x+1)*u)*math.Pi/(2*block))))
		}
	}
	for i := range out {
		sum := 0
		for k, v := range coefficient {
			sum += v * basis[k%block][i%block] * basis[k/block][i/block]
		}
		out[i] = int8(max(-100, min(sum>>26, 100)))
	}
	return out
}

// apply adds ringing to each block of dst, rows of w pixels, that holds both copper and board.
func (n *jpegNoise) apply(dst []byte, w, h int, r *random) {
	for y := 0; y < h; y += block {
		for x := 0; x < w; x += block {
			bw, bh := min(block, w-x), min(block, h-y)
			if mixed(dst[y*w+x:], w, bw, bh) {
				ring(dst[y*w+x:], w, bw, bh, &n[r.next()>>58])
			}
		}
	}
}

func mixed(p []byte, stride, w, h int) bool {
	first := p[0]
	for y := range h {
		for _, v := range p[y*stride : y*stride+w] {
			if v != first {
				return true
			}
		}
	}
	return false
}

func ring(p []byte, stride, w, h int, noise *[block * block]int8) {
	for y := range h {
		row := p[y*stride : y*stride+w]
		for x, v := range row {
			row[x] = byte(max(0, min(int(v)+int(noise[y*block+x]), 255)))
		}
	}
}
