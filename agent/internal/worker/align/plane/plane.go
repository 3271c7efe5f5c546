// Package plane holds binary images as bits, 64 pixels a word, and what is done with whole words of them.
package plane

import "encoding/binary"

const (
	// Word is the pixels of a word.
	Word = 64
	// before and after are the words of margin beside each row, so that a window that begins up to two words
	// outside of the image reads no other row.
	before = 2
	after  = 3
	// Margin is how many pixels a window may lie beside the image, left or right.
	Margin = before * Word
)

// Plane is a binary image. A set bit is copper, or whatever is the matter. Pixel x of a row is bit x%64 of
// its word x/64.
type Plane struct {
	Width, Height int
	Words         int // a row without its margins
	stride        int
	bits          []uint64
}

// New makes an empty plane of so many pixels.
func New(width, height int) *Plane {
	words := (width + Word - 1) / Word
	stride := before + words + after
	return &Plane{
		Width: width, Height: height, Words: words, stride: stride,
		bits: make([]uint64, stride*height),
	}
}

// Row is the words of row y.
func (p *Plane) Row(y int) []uint64 {
	start := y*p.stride + before
	return p.bits[start : start+p.Words : start+p.Words]
}

// LastMask has the bits of a row's last word that are pixels.
func (p *Plane) LastMask() uint64 {
	return ^uint64(0) >> (-p.Width & (Word - 1))
}

// Pack sets the pixels at or below 127 of a gray image [height*width] and clears the others.
func (p *Plane) Pack(gray []byte) { p.PackRows(gray, 0) }

// PackRows is Pack for so many rows as gray [rows*width] has, from row y on.
func (p *Plane) PackRows(gray []byte, y int) {
	for ; len(gray) > 0; y++ {
		row := p.Row(y)
		pixels := gray[:p.Width]
		gray = gray[p.Width:]
		for i := range p.Width / Word {
			row[i] = dark((*[Word]byte)(pixels[i*Word:]))
		}
		if rest := p.Width % Word; rest != 0 {
			var tail [Word]byte
			copy(tail[:], pixels[p.Width-rest:])
			row[p.Words-1] = dark(&tail) & p.LastMask()
		}
	}
}

// dark gathers the inverted top bits of 64 bytes.
func dark(pixels *[Word]byte) uint64 {
	const (
		tops = 0x8080808080808080
		// gather moves the top bits of eight bytes into the top byte: bit 8i+7 by 49-7i places.
		gather = 0x0002040810204081
	)
	var word uint64
	for i := 0; i < Word; i += 8 {
		eight := ^binary.LittleEndian.Uint64(pixels[i:i+8]) & tops
		word |= eight * gather >> 56 << i
	}
	return word
}

// Unpack writes 0 for each set pixel and 255 for the others, [height*width].
func (p *Plane) Unpack(gray []byte) {
	for y := range p.Height {
		row := p.Row(y)
		pixels := gray[y*p.Width : (y+1)*p.Width]
		for i := range p.Width / Word {
			light((*[Word]byte)(pixels[i*Word:]), row[i])
		}
		if rest := p.Width % Word; rest != 0 {
			var tail [Word]byte
			light(&tail, row[p.Words-1])
			copy(pixels[p.Width-rest:], tail[:])
		}
	}
}

// light spreads 64 bits to bytes of 0 and 255, inverted.
func light(pixels *[Word]byte, word uint64) {
	const (
		ones    = 0x0101010101010101
		choose  = 0x8040201008040201 // bit i of byte i
		carries = 0x7f7f7f7f7f7f7f7f
	)
	for i := 0; i < Word; i += 8 {
		chosen := word >> i & 0xff * ones & choose
		// A byte that is not 0 reaches its top bit: those of copper.
		copper := ((chosen&carries + carries) | chosen) >> 7 & ones
		binary.LittleEndian.PutUint64(pixels[i:i+8], (ones-copper)*0xff)
	}
}

// Extend repeats the first and the last pixel of each row in its margins.
func (p *Plane) Extend() {
	for y := range p.Height {
		start := y * p.stride
		row := p.bits[start : start+p.stride]
		fill(row[:before], -(row[before] & 1))
		at := before + p.Words - 1
		right := -(row[at] >> (uint(p.Width-1) & (Word - 1)) & 1)
		row[at] = row[at]&p.LastMask() | right&^p.LastMask()
		fill(row[at+1:], right)
	}
}

func fill(words []uint64, with uint64) {
	for i := range words {
		words[i] = with
	}
}

// Halve makes dst every second pixel of every second row of p; dst is half the size, rounded up.
func (p *Plane) Halve(dst *Plane) {
	for y := range dst.Height {
		from, to := p.Row(2*y), dst.Row(y)
		for i := range to {
			word := even(from[2*i])
			if 2*i+1 < len(from) {
				word |= even(from[2*i+1]) << (Word / 2)
			}
			to[i] = word
		}
		to[len(to)-1] &= dst.LastMask()
	}
}

// Cut makes dst the window of p whose corner lies at (x, y); the window lies within p, which was extended.
func (p *Plane) Cut(dst *Plane, x, y int) {
	for r := range dst.Height {
		row := dst.Row(r)
		for i := range row {
			row[i] = p.Bits(x+i*Word, y+r)
		}
		row[len(row)-1] &= dst.LastMask()
	}
}

// even gathers the even bits of a word in its lower half.
func even(w uint64) uint64 {
	w &= 0x5555555555555555
	w = (w | w>>1) & 0x3333333333333333
	w = (w | w>>2) & 0x0f0f0f0f0f0f0f0f
	w = (w | w>>4) & 0x00ff00ff00ff00ff
	w = (w | w>>8) & 0x0000ffff0000ffff
	return (w | w>>16) & 0x00000000ffffffff
}

// Bits returns 64 pixels of row y from pixel x on, which may lie up to Margin before the row and must not
// begin more than Margin behind its last word.
func (p *Plane) Bits(x, y int) uint64 {
	at := y*p.stride + (x+Margin)>>6
	shift := uint(x) & (Word - 1)
	return p.bits[at]>>shift | p.bits[at+1]<<1<<(Word-1-shift&(Word-1))
}

// Window copies rows of so many words, from pixel x on, into dst [rows*words]. Rows above and below the image
// repeat its first and last. Of each row's last word only the pixels in mask are taken.
func (p *Plane) Window(dst []uint64, x, y, words, rows int, mask uint64) {
	shift := uint(x) & (Word - 1)
	first := (x + Margin) >> 6
	for r := range rows {
		line := min(max(y+r, 0), p.Height-1)
		from := p.bits[line*p.stride+first:][: words+1 : words+1]
		to := dst[r*words:][:words:words]
		for i := range to {
			to[i] = from[i]>>shift | from[i+1]<<1<<(Word-1-shift&(Word-1))
		}
		to[words-1] &= mask
	}
}
