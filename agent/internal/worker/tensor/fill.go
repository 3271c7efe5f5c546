package tensor

const stride = 8 // samples of one turn of an unrolled loop

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
		case p.channels == gray:
			lookUp(dst[at:at+g.Width], src, tables[0])
		case p.interleaved:
			lookUpPacked(dst[at*colours:(at+g.Width)*colours], src, tables, c.channels, p.source)
		default:
			for channel, table := range tables {
				row := dst[channel*plane+at:][:g.Width]
				if c.channels == gray {
					lookUp(row, src, table)
				} else {
					lookUpPlane(row, src[p.source[channel]:], table)
				}
			}
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

// lookUpPlane looks up one colour of packed pixels. One plane after the other is faster than all three at
// once: planes whose distance is a multiple of 4 KiB push each other out of the first cache.
func lookUpPlane[T float32 | uint8](dst []T, src []byte, table *[256]T) {
	for len(dst) >= stride && len(src) >= colours*stride { // unrolled: twice as fast
		d, s := dst[:stride:stride], src[:colours*stride:colours*stride]
		d[0], d[1], d[2], d[3] = table[s[0]], table[s[3]], table[s[6]], table[s[9]]
		d[4], d[5], d[6], d[7] = table[s[12]], table[s[15]], table[s[18]], table[s[21]]
		dst, src = dst[stride:], src[colours*stride:]
	}
	for x := range dst {
		dst[x] = table[src[colours*x]]
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
