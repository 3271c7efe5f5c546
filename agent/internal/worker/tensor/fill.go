package tensor

// Weights of ITU-R BT.601 in 14 bits, as OpenCV's COLOR_BGR2GRAY has them.
const (
	grayBits     = 14
	grayHalf     = 1 << (grayBits - 1)
	grayB, grayG = 1868, 9617
	grayR        = 1<<grayBits - grayB - grayG
	colours      = bgr
	stride, quad = 8, 4 // samples and pixels of one turn of an unrolled loop
)

// fill looks each sample up in the table of its channel. dst is [C,H,W] or [H,W,C].
func fill[T float32 | uint8](c *Canvas, dst []T, tables [bgr]*[256]T, border bool) {
	p, g := c.plan, c.geometry
	if border {
		fillBorder(p, dst, tables)
	}
	plane := p.width * p.height
	for y := range g.Height {
		src := c.pix[y*c.stride:]
		at := (g.Top+y)*p.width + g.Left
		switch {
		case p.channels == gray && c.channels == gray:
			lookUp(dst[at:at+g.Width], src, tables[0])
		case p.channels == gray:
			lookUpGray(dst[at:at+g.Width], src, tables[0])
		case p.interleaved:
			lookUpPacked(dst[at*colours:(at+g.Width)*colours], src, tables, c.channels, p.source)
		default:
			r0, r1, r2 := dst[at:at+g.Width], dst[plane+at:], dst[2*plane+at:]
			lookUpPlanes(r0, r1, r2, src, tables, c.channels, p.source)
		}
	}
}

// fillBorder writes the whole input with the border's value: the frame follows over it.
func fillBorder[T float32 | uint8](p *Plan, dst []T, tables [bgr]*[256]T) {
	plane := p.width * p.height
	for i := range dst {
		channel := i / plane
		if p.interleaved {
			channel = i % p.channels
		}
		dst[i] = tables[channel][p.pad]
	}
}

func lookUp[T float32 | uint8](dst []T, src []byte, table *[256]T) {
	src = src[:len(dst)]
	for len(dst) >= stride && len(src) >= stride { // unrolled: twice as fast
		d, s := dst[:stride:stride], src[:stride:stride]
		d[0], d[1], d[2], d[3] = table[s[0]], table[s[1]], table[s[2]], table[s[3]]
		d[4], d[5], d[6], d[7] = table[s[4]], table[s[5]], table[s[6]], table[s[7]]
		dst, src = dst[stride:], src[stride:]
	}
	for x, level := range src {
		dst[x] = table[level]
	}
}

func lookUpGray[T float32 | uint8](dst []T, src []byte, table *[256]T) {
	src = src[:colours*len(dst)]
	for x := range dst {
		s := src[colours*x : colours*x+colours : colours*x+colours]
		dst[x] = table[luma(s)]
	}
}

// luma is the gray of a BGR pixel.
func luma(s []byte) uint8 {
	return uint8((int(s[0])*grayB + int(s[1])*grayG + int(s[2])*grayR + grayHalf) >> grayBits)
}

func lookUpPlanes[T float32 | uint8](r0, r1, r2 []T, src []byte, tables [bgr]*[256]T, channels int,
	from [bgr]int,
) {
	r1, r2 = r1[:len(r0)], r2[:len(r0)]
	if channels == gray {
		lookUp(r0, src, tables[0])
		lookUp(r1, src, tables[1])
		lookUp(r2, src, tables[2])
		return
	}
	if from[0] != 0 { // RGB wanted, BGR given
		r0, r2 = r2, r0
		tables[0], tables[2] = tables[2], tables[0]
	}
	t0, t1, t2 := tables[0], tables[1], tables[2]
	r1, r2, src = r1[:len(r0)], r2[:len(r0)], src[:colours*len(r0)]
	for len(r0) >= quad && len(r1) >= quad && len(r2) >= quad && len(src) >= colours*quad { // unrolled
		a, b, c := r0[:quad:quad], r1[:quad:quad], r2[:quad:quad]
		s := src[: colours*quad : colours*quad]
		a[0], b[0], c[0] = t0[s[0]], t1[s[1]], t2[s[2]]
		a[1], b[1], c[1] = t0[s[3]], t1[s[4]], t2[s[5]]
		a[2], b[2], c[2] = t0[s[6]], t1[s[7]], t2[s[8]]
		a[3], b[3], c[3] = t0[s[9]], t1[s[10]], t2[s[11]]
		r0, r1, r2, src = r0[quad:], r1[quad:], r2[quad:], src[colours*quad:]
	}
	for x := range r0 {
		s := src[colours*x : colours*x+colours : colours*x+colours]
		r0[x], r1[x], r2[x] = t0[s[0]], t1[s[1]], t2[s[2]]
	}
}

func lookUpPacked[T float32 | uint8](dst []T, src []byte, tables [bgr]*[256]T, channels int, from [bgr]int) {
	step := 0
	if channels == gray {
		from = [bgr]int{}
		step = 1
	} else {
		step = colours
	}
	t0, t1, t2 := tables[0], tables[1], tables[2]
	for x, i := 0, 0; x+colours <= len(dst); x, i = x+colours, i+step {
		s, d := src[i:i+step], dst[x:x+colours:x+colours]
		d[0], d[1], d[2] = t0[s[from[0]]], t1[s[from[1]]], t2[s[from[2]]]
	}
}
