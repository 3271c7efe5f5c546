package plane

import "math/bits"

// Differing counts the bits that differ in two windows of one size.
func Differing(a, b []uint64) int {
	b = b[:len(a)]
	var n, m int
	for len(a) >= 4 && len(b) >= 4 {
		n += bits.OnesCount64(a[0]^b[0]) + bits.OnesCount64(a[1]^b[1])
		m += bits.OnesCount64(a[2]^b[2]) + bits.OnesCount64(a[3]^b[3])
		a, b = a[4:], b[4:]
	}
	for i := range a {
		n += bits.OnesCount64(a[i] ^ b[i])
	}
	return n + m
}

// Count is the number of set pixels.
func (p *Plane) Count() int {
	n := 0
	for y := range p.Height {
		row := p.Row(y)
		for _, w := range row[:len(row)-1] {
			n += bits.OnesCount64(w)
		}
		n += bits.OnesCount64(row[len(row)-1] & p.LastMask())
	}
	return n
}

// Differing counts the pixels in which p and q, of one size, differ.
func (p *Plane) Differing(q *Plane) int {
	n := 0
	for y := range p.Height {
		a, b := p.Row(y), q.Row(y)
		last := len(a) - 1
		n += Differing(a[:last], b[:last]) + bits.OnesCount64((a[last]^b[last])&p.LastMask())
	}
	return n
}
