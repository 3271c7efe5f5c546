package evidence

import (
	"image"
	"image/color"
	"math"

	"golang.org/x/image/font"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// Heat is a map of how unusual each place of a frame is: scores from 0 to 1 as [Height*Width] levels from 0
// to 255, the threshold at 0.5. It covers Box, in frame pixels, which may be more than the frame.
type Heat struct {
	Levels        []uint8
	Width, Height int
	Box           [4]float32
}

// Heated is Annotate for a frame with a map of anomalies, which colours it where it is unusual.
func (p *Pen) Heated(f *frame.Frame, h *Heat, caption Caption, marks []Mark, quality int) ([]byte, error) {
	if h == nil || !h.whole() {
		return p.Annotate(f, nil, caption, marks, quality)
	}
	return p.annotate(f, h, caption, marks, quality)
}

// whole says that there is a map.
func (h *Heat) whole() bool {
	wide, high := float64(h.Box[2])-float64(h.Box[0]), float64(h.Box[3])-float64(h.Box[1])
	return h.Width > 0 && h.Height > 0 && len(h.Levels) == h.Width*h.Height &&
		wide > 0 && high > 0 && !math.IsInf(wide+high, 0)
}

const (
	levels = 256
	// cold is the level up to which nothing is coloured: half of the threshold.
	cold = 64
	// densest is the share of the colour, in 256ths, that the most unusual place has.
	densest = 160
	one     = 256 // of shares
)

// stops are the colours of the levels: light to dark, so that they differ for all eyes, and unlike the grays
// and greens of boards.
func stops() []struct {
	level int
	c     color.RGBA
} {
	return []struct {
		level int
		c     color.RGBA
	}{
		{cold, color.RGBA{255, 237, 120, 255}},
		{128, color.RGBA{255, 196, 0, 255}},
		{192, color.RGBA{240, 90, 20, 255}},
		{255, color.RGBA{150, 0, 90, 255}},
	}
}

// hue is the colour of a level.
func hue(level int) color.RGBA {
	all := stops()
	for i := 1; i < len(all); i++ {
		if a, b := all[i-1], all[i]; level <= b.level {
			at := max(level-a.level, 0)
			blend := func(v, w uint8) uint8 { return uint8(int(v) + (int(w)-int(v))*at/(b.level-a.level)) }
			return color.RGBA{blend(a.c.R, b.c.R), blend(a.c.G, b.c.G), blend(a.c.B, b.c.B), 255}
		}
	}
	return all[len(all)-1].c
}

// share is how much of the colour a place of this level has, in 256ths: quickly up to the threshold, and then
// slowly, so that the frame shows through.
func share(level int) int {
	switch {
	case level <= cold:
		return 0
	case level < levels/2:
		return (level - cold) * densest / 2 / (levels/2 - cold)
	default:
		return densest/2 + (level-levels/2)*densest/2/(levels/2)
	}
}

// weight is a place among those of a map: the next lower one, the next higher, and the share of the latter.
type weight struct{ low, high, share int }

// weights are those of all pixels of a row or column of the frame.
func weights(list []weight, pixels int, from, to float32, places int) []weight {
	list = list[:0]
	scale := float64(places) / (float64(to) - float64(from))
	for i := range pixels {
		at := min(max((float64(i)+0.5-float64(from))*scale-0.5, 0), float64(places-1))
		low := int(at)
		list = append(list, weight{low, min(low+1, places-1), int((at - float64(low)) * one)})
	}
	return list
}

// tint colours what is unusual, smoothly between the places of the map.
func (h *Heat) tint(p *Pen, f *frame.Frame, banner int) {
	var colours [levels][3]int
	for level := range colours {
		c, s := hue(level), share(level)
		colours[level] = [3]int{int(c.B) * s, int(c.G) * s, int(c.R) * s}
	}
	p.across = weights(p.across, f.Width, h.Box[0], h.Box[2], h.Width)
	p.down = weights(p.down, f.Height, h.Box[1], h.Box[3], h.Height)
	for y, v := range p.down {
		low, high := h.Levels[v.low*h.Width:][:h.Width], h.Levels[v.high*h.Width:][:h.Width]
		out := p.canvas.Pix[p.canvas.PixOffset(0, banner+y):][:4*f.Width]
		for x, u := range p.across {
			above := int(low[u.low])*(one-u.share) + int(low[u.high])*u.share
			below := int(high[u.low])*(one-u.share) + int(high[u.high])*u.share
			level := (above*(one-v.share) + below*v.share) / (one * one)
			if level <= cold {
				continue
			}
			rest, c := one-share(level), &colours[level]
			o := out[4*x:]
			o[0] = uint8((int(o[0])*rest + c[0]) / one)
			o[1] = uint8((int(o[1])*rest + c[1]) / one)
			o[2] = uint8((int(o[2])*rest + c[2]) / one)
		}
	}
}

// scaled is the map of a frame that was reduced.
func (h *Heat) scaled(across, down float32) overlay {
	return &Heat{h.Levels, h.Width, h.Height, [4]float32{
		h.Box[0] * across, h.Box[1] * down, h.Box[2] * across, h.Box[3] * down,
	}}
}

// legend shows the colours at the right end of the line of text from top to bottom, with a mark at the
// threshold.
func (h *Heat) legend(p *Pen, right, top, bottom int, background color.RGBA) {
	const name = "unusual"
	gap, middle := p.size/2, (top+bottom)/2
	bar := 6 * p.size
	left := right - font.MeasureString(p.face, name).Ceil() - bar - 3*gap
	p.fill(image.Rect(left-gap, top, right, bottom), background)
	for x := range bar {
		level := cold + x*(levels-1-cold)/max(bar-1, 1)
		p.fill(image.Rect(left+x, middle-gap, left+x+1, middle+gap), hue(level))
	}
	at := left + (levels/2-cold)*bar/(levels-1-cold)
	p.fill(image.Rect(at, middle-gap-2, at+max(p.size/8, 1), middle+gap+2), white())
	p.text(left+bar+gap, middle, white(), name)
}
