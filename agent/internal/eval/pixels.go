package eval

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// proLimit is the false positive rate up to which the overlap of regions is averaged (Bergmann et al., The
// MVTec Anomaly Detection Dataset, 2021).
const proLimit = 0.3

// pixels gathers how the maps of many images agree with their masks. It counts by level of the map, and keeps
// nothing of an image. Each pixel of a mask is compared with the place of the map that it lies in.
type pixels struct {
	usual, unusual []uint64  // pixels outside of masks and within, by level
	overlap        []float64 // of the pixels within: each one's share of its region, by level
	regions        int
	columns        []int // of the map, for each pixel of a row
}

func newPixels() pixels {
	return pixels{
		usual: make([]uint64, wire.HeatLevels), unusual: make([]uint64, wire.HeatLevels),
		overlap: make([]float64, wire.HeatLevels),
	}
}

// errHeat says that there is nothing to measure.
var errHeat = errors.New("the worker sends no map of the image: use agent and worker of one version")

func checkHeat(h *wire.Heat) error {
	width, height := int64(h.GetWidth()), int64(h.GetHeight())
	if width < 1 || height < 1 || width*height > wire.MaxHeat ||
		int64(len(h.GetLevels())) != 2*width*height || !(h.GetX2() > h.GetX1() && h.GetY2() > h.GetY1()) {
		return errHeat
	}
	return nil
}

// add takes the map of an image of this size; m is nil where nothing is unusual.
func (p *pixels) add(h *wire.Heat, m *mask, width, height int) error {
	if width < 1 || height < 1 || width*height > maxMaskPixels {
		return fmt.Errorf("an image of %d×%d pixels is compared with no map: at most %d", width, height,
			maxMaskPixels)
	}
	p.columns = p.columns[:0]
	for x := range width {
		p.columns = append(p.columns, place(x, h.GetX1(), h.GetX2(), int(h.GetWidth())))
	}
	var spans []span
	var areas []int
	if m != nil {
		spans, areas = m.regions()
	}
	for _, area := range areas {
		if area > 0 {
			p.regions++
		}
	}
	for y := range height {
		row := h.GetLevels()[2*int(h.GetWidth())*place(y, h.GetY1(), h.GetY2(), int(h.GetHeight())):]
		x := 0
		for ; len(spans) > 0 && spans[0].y == y; spans = spans[1:] {
			s := spans[0]
			p.outside(row, x, s.from)
			p.within(row, s.from, s.to, 1/float64(areas[s.region]))
			x = s.to
		}
		p.outside(row, x, width)
	}
	return nil
}

// place is where on a map of size places, which covers from low to high, the middle of a pixel lies.
func place(pixel int, low, high float32, size int) int {
	at := (float64(pixel) + 0.5 - float64(low)) / (float64(high) - float64(low)) * float64(size)
	return int(min(max(at, 0), float64(size-1)))
}

func (p *pixels) level(row []byte, x int) uint16 {
	return binary.LittleEndian.Uint16(row[2*p.columns[x]:])
}

func (p *pixels) outside(row []byte, from, to int) {
	for x := from; x < to; x++ {
		p.usual[p.level(row, x)]++
	}
}

func (p *pixels) within(row []byte, from, to int, share float64) {
	for x := from; x < to; x++ {
		at := p.level(row, x)
		p.unusual[at]++
		p.overlap[at] += share
	}
}

// sums are the pixels outside of masks and within.
func (p *pixels) sums() (usual, unusual float64) {
	for level := range wire.HeatLevels {
		usual += float64(p.usual[level])
		unusual += float64(p.unusual[level])
	}
	return usual, unusual
}

// auroc is that of scored, of pixels. Nil where one of both kinds is missing.
func (p *pixels) auroc() *float64 {
	usual, unusual := p.sums()
	if usual == 0 || unusual == 0 {
		return nil
	}
	above, area := 0.0, 0.0
	for level := wire.HeatLevels - 1; level >= 0; level-- {
		here := float64(p.unusual[level])
		area += float64(p.usual[level]) * (above + here/2)
		above += here
	}
	area /= usual * unusual
	return &area
}

// aupro is the area under the mean overlap of a region with what reaches a threshold, over the share of the
// pixels outside of masks that reach it, up to proLimit and divided by it: 1 at best.
func (p *pixels) aupro() *float64 {
	usual, unusual := p.sums()
	if usual == 0 || unusual == 0 {
		return nil
	}
	area, rate, overlap := 0.0, 0.0, 0.0
	for level := wire.HeatLevels - 1; level >= 0 && rate < proLimit; level-- {
		nextRate := rate + float64(p.usual[level])/usual
		nextOverlap := overlap + p.overlap[level]/float64(p.regions)
		if nextRate > proLimit {
			nextOverlap = overlap + (nextOverlap-overlap)*(proLimit-rate)/(nextRate-rate)
			nextRate = proLimit
		}
		area += (nextRate - rate) * (overlap + nextOverlap) / 2
		rate, overlap = nextRate, nextOverlap
	}
	area /= proLimit
	return &area
}

// f is the F-score of unusual pixels at the map's own threshold, which is where parts are outlined.
func (p *pixels) f() *float64 {
	_, unusual := p.sums()
	hits, all := 0.0, 0.0
	for level := int(wire.HeatLevel(half)); level < wire.HeatLevels; level++ {
		hits += float64(p.unusual[level])
		all += float64(p.usual[level] + p.unusual[level])
	}
	f := 0.0
	if all+unusual > 0 {
		f = 2 * hits / (all + unusual)
	}
	return &f
}

// bestF is the highest F-score of unusual pixels that any level gives as threshold, and the highest such
// level.
func (p *pixels) bestF() (best float64, level int) {
	_, unusual := p.sums()
	hits, all := 0.0, 0.0
	for at := wire.HeatLevels - 1; at >= 0; at-- {
		hits += float64(p.unusual[at])
		all += float64(p.usual[at] + p.unusual[at])
		if f := 2 * hits / max(all+unusual, 1); f > best {
			best, level = f, at
		}
	}
	return best, level
}

// half is the score of a map's threshold.
const half = 0.5
