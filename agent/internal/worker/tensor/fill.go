package tensor

// spreading writes width × height samples of a packed picture into a model's input. Steps and strides count
// samples: bytes of the picture, values of the input.
type spreading struct {
	width, height        int
	fromStep, fromStride int
	toStep, toStride     int
	scale, offset        float32 // a value is sample × scale + offset; bytes are not changed
}

// Fill writes what the canvas holds into the input of one image. The border is written only when it has
// moved.
func (c *Canvas) Fill(in *Input) {
	if in.bordered != c.geometry {
		in.bordered = c.geometry
		c.plan.fillBorder(in)
	}
	p, g := c.plan, c.geometry
	s := spreading{
		width: g.Width, height: g.Height, fromStep: c.channels, fromStride: c.stride,
		toStep: 1, toStride: p.width,
	}
	if p.interleaved {
		s.toStep, s.toStride = p.channels, p.width*p.channels
	}
	for channel := range p.planes() {
		from, to := 0, p.at(channel, g.Left, g.Top)
		if c.channels != gray {
			from = p.source[channel]
		}
		s.scale, s.offset = p.scale[channel], p.offset[channel]
		c.spread(in, c.pix, s, from, to)
	}
	if p.template && c.paired {
		last := p.channels - 1
		s.fromStep, s.fromStride = 1, g.Width
		s.scale, s.offset = p.scale[last], p.offset[last]
		c.spread(in, c.template, s, 0, p.at(last, g.Left, g.Top))
	}
}

// spread fills one channel. The slices end with the last sample, so that the loops below stay inside.
func (c *Canvas) spread(in *Input, pix []byte, s spreading, from, to int) {
	src := pix[from:][:(s.height-1)*s.fromStride+(s.width-1)*s.fromStep+1]
	length := (s.height-1)*s.toStride + (s.width-1)*s.toStep + 1
	if in.Bytes != nil {
		spreadBytes(in.Bytes[to:][:length], src, s)
		return
	}
	spreadFloats(in.Floats[to:][:length], src, s)
}

func spreadBytes(dst, src []byte, s spreading) {
	if s.fromStep == 1 && s.toStep == 1 {
		for y := range s.height {
			copy(dst[y*s.toStride:][:s.width], src[y*s.fromStride:])
		}
		return
	}
	for y := range s.height {
		from, to := src[y*s.fromStride:], dst[y*s.toStride:]
		for x := range s.width {
			to[x*s.toStep] = from[x*s.fromStep]
		}
	}
}

// goSpreadFloats is what the C of kernel.c does, for builds without it.
func goSpreadFloats(dst []float32, src []byte, s spreading) {
	for y := range s.height {
		from, to := src[y*s.fromStride:], dst[y*s.toStride:]
		for x := range s.width {
			to[x*s.toStep] = float32(from[x*s.fromStep])*s.scale + s.offset
		}
	}
}

// fillBorder writes the whole input with the border's value: the frame follows over it.
func (p *Plan) fillBorder(in *Input) {
	for i := range in.Bytes {
		in.Bytes[i] = p.pad
	}
	for i := range in.Floats {
		channel := i / (p.width * p.height)
		if p.interleaved {
			channel = i % p.channels
		}
		in.Floats[i] = float32(p.pad)*p.scale[channel] + p.offset[channel]
	}
}
