package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

const (
	minCorners = 3
	// maxShapeNumbers bounds the coordinates and runs of all labels of a data set: 512 MiB.
	maxShapeNumbers = 1 << 26
	// maxCorners bounds those of one label.
	maxCorners = 1 << 20
	// maxTurns bounds how often the outlines in one image cross its columns: 64 MiB.
	maxTurns = 1 << 24
)

// shape is the outline of a label or of what was found: polygons, each x, y of one corner after the other in
// pixels; or runs of pixels column by column, outside and inside in turn, of an image of width × height.
type shape struct {
	polygons      [][]float64
	runs          []uint32
	width, height int // of runs; 0: polygons
}

// outlined is the shape of a polygon, or of the box where there is none.
func outlined(outline []float32, box [4]float32) *shape {
	if len(outline) < 2*minCorners {
		outline = []float32{box[0], box[1], box[2], box[1], box[2], box[3], box[0], box[3]}
	}
	corners := make([]float64, len(outline)&^1)
	for i := range corners {
		corners[i] = float64(outline[i])
	}
	return &shape{polygons: [][]float64{corners}}
}

// cocoShape reads an annotation's segmentation: polygons, or runs as numbers or as COCO's text. An empty one
// is nil. numbers is how many it holds.
func cocoShape(raw json.RawMessage) (s *shape, numbers int, err error) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, 0, nil
	case raw[0] == '[':
		return cocoPolygons(raw)
	}
	var r struct {
		Counts json.RawMessage `json:"counts"`
		Size   []int           `json:"size"` // height, width
	}
	if err = json.Unmarshal(raw, &r); err != nil {
		return nil, 0, err
	}
	if len(r.Size) != 2 || r.Size[0] < 1 || r.Size[1] < 1 || r.Size[0] > maxMaskPixels/r.Size[1] {
		return nil, 0, fmt.Errorf("segmentation has the size %v: it is height and width, at most %d pixels",
			r.Size, maxMaskPixels)
	}
	s = &shape{height: r.Size[0], width: r.Size[1]}
	if s.runs, err = cocoRuns(r.Counts); err != nil {
		return nil, 0, err
	}
	sum := uint64(0)
	for _, n := range s.runs {
		sum += uint64(n)
	}
	if sum != uint64(s.width)*uint64(s.height) {
		return nil, 0, fmt.Errorf("segmentation has runs of %d pixels in all, its size is %d×%d", sum,
			s.width, s.height)
	}
	return s, len(s.runs), nil
}

func cocoPolygons(raw json.RawMessage) (s *shape, numbers int, err error) {
	var polygons [][]float64
	if err := json.Unmarshal(raw, &polygons); err != nil {
		return nil, 0, err
	}
	for _, p := range polygons {
		if len(p) < 2*minCorners || len(p)%2 != 0 {
			return nil, 0, fmt.Errorf("segmentation has a polygon of %d numbers: it is x, y of at least %d "+
				"corners", len(p), minCorners)
		}
		for _, v := range p {
			if math.Abs(v) > maxSide {
				return nil, 0, fmt.Errorf("segmentation has %g, which is over %d pixels", v, maxSide)
			}
		}
		if numbers += len(p); numbers > 2*maxCorners {
			return nil, 0, fmt.Errorf("segmentation has over %d corners: draw it with fewer", maxCorners)
		}
	}
	if len(polygons) == 0 {
		return nil, 0, nil
	}
	return &shape{polygons: polygons}, numbers, nil
}

func cocoRuns(counts json.RawMessage) ([]uint32, error) {
	var runs []uint32
	if len(counts) == 0 || counts[0] != '"' {
		err := json.Unmarshal(counts, &runs)
		return runs, err
	}
	var text string
	if err := json.Unmarshal(counts, &text); err != nil {
		return nil, err
	}
	return packedRuns(text)
}

var errRuns = errors.New("segmentation has counts that are no text of COCO's runs")

// packedRuns reads COCO's text: each run as packed, but from the fourth on less the one before the last.
func packedRuns(text string) ([]uint32, error) {
	var runs []uint32
	for text != "" {
		value, length := packed(text)
		if length == 0 {
			return nil, errRuns
		}
		text = text[length:]
		if n := len(runs); n > 2 {
			value += int64(runs[n-2])
		}
		if value < 0 || value > maxMaskPixels {
			return nil, errRuns
		}
		runs = append(runs, uint32(value))
	}
	return runs, nil
}

// packed reads a number and its length in characters, 0 for none: groups of five bits from the lowest, a
// character from '0' on for each; its sixth bit says that more follow, and the fifth bit of the last is the
// sign.
func packed(text string) (value int64, length int) {
	const first, group, more, sign, most = '0', 5, 0x20, 0x10, 7
	for i := range min(len(text), most) {
		if text[i] < first || text[i] >= first+2*more {
			return 0, 0
		}
		digit := int64(text[i] - first)
		value |= (digit & (more - 1)) << (group * i)
		if digit&more != 0 {
			continue
		}
		if digit&sign != 0 {
			value -= 1 << (group * (i + 1))
		}
		return value, i + 1
	}
	return 0, 0
}

// raster is the pixels of a shape in an image, column by column: of every two numbers the first one that is
// inside and the first one behind it, ascending.
type raster []uint32

// draw makes pixels of a shape, as pycocotools does. room is how many turns may still be made, of all shapes
// that are drawn together.
func (s *shape) draw(width, height int, room *int) (raster, error) {
	if s.width == 0 {
		return s.fill(width, height, room)
	}
	if s.width != width || s.height != height {
		return nil, fmt.Errorf("%w: a segmentation is of %d×%d pixels, its image of %d×%d", ErrLabels,
			s.width, s.height, width, height)
	}
	var r raster
	at := uint32(0)
	for i, n := range s.runs {
		if i%2 == 1 && n > 0 {
			r = append(r, at, at+n)
		}
		at += n
	}
	return r, nil
}

// fill makes pixels of polygons, each of what is inside of any.
func (s *shape) fill(width, height int, room *int) (raster, error) {
	if height > 0 && width > math.MaxUint32/height {
		return nil, fmt.Errorf("%w: an image of %d×%d pixels is too large for outlines", ErrLabels, width,
			height)
	}
	var all []uint64 // of each run of pixels the first one, and the first one behind it
	for _, corners := range s.polygons {
		turns, err := border(corners, width, height, room)
		if err != nil {
			return nil, err
		}
		for i := 0; i < len(turns); i += 2 {
			all = append(all, uint64(turns[i])<<32|uint64(turns[i+1]))
		}
	}
	if len(s.polygons) > 1 {
		slices.Sort(all)
	}
	var r raster
	for _, run := range all { // what begins where it ends, or goes on where it ended, is one
		r = r.add(uint32(run>>32), uint32(run&math.MaxUint32))
	}
	return r, nil
}

// fine is how many places of a polygon's border a pixel has, across and down.
const fine = 5

// border is where an image's columns are entered or left, an even number of turns, ascending. A polygon's
// border is drawn in fifths of a pixel; where it crosses the middle of a column, that column's inside begins
// or ends.
func border(corners []float64, width, height int, room *int) ([]uint32, error) {
	const far = fine * maxSide // further than any label: an outline that a model gave may be anywhere
	var turns []uint32
	at := func(i int) (x, y int) {
		i %= len(corners)
		x, y = int(fine*corners[i]+0.5), int(fine*corners[i+1]+0.5)
		return min(max(x, -far), far), min(max(y, -far), far)
	}
	for i := 0; i < len(corners); i += 2 {
		x1, y1 := at(i)
		x2, y2 := at(i + 2)
		l := newLine(x1, y1, x2, y2)
		from, to := l.columns(width)
		if *room -= to - from; *room < 0 {
			return nil, fmt.Errorf("%w: the outlines in one image cross its columns over %d times: give "+
				"them fewer corners", ErrLabels, maxTurns)
		}
		for column := from; column < to; column++ {
			row := min(max(above(l.cross(fine*column+fine/2)-fine/2), 0), height)
			turns = append(turns, uint32(column*height+row))
		}
	}
	slices.Sort(turns)
	if len(turns)%2 == 1 {
		turns = append(turns, uint32(width*height))
	}
	return turns, nil
}

// above is the first pixel at a place or behind it.
func above(place int) int { return int(math.Ceil(float64(place) / fine)) }

// line is one side of a polygon. Its places are counted along its longer extent from the end with the lower
// coordinate, whichever way the border goes.
type line struct {
	x, y  int // of the first place
	last  int // its other end's number; the first place has 0
	slope float64
	steep bool
}

func newLine(x1, y1, x2, y2 int) line {
	dx, dy := x2-x1, y2-y1
	wide, high := max(dx, -dx), max(dy, -dy)
	steep := wide < high
	if !steep && dx < 0 || steep && dy < 0 {
		x1, y1, dx, dy = x2, y2, -dx, -dy
	}
	l := line{x: x1, y: y1, last: max(wide, high), steep: steep}
	switch {
	case steep:
		l.slope = float64(dx) / float64(high)
	case wide > 0:
		l.slope = float64(dy) / float64(wide)
	}
	return l
}

// at is the place of a number.
func (l *line) at(n int) (x, y int) {
	if l.steep {
		return int(float64(l.x) + l.slope*float64(n) + 0.5), l.y + n
	}
	return l.x + n, int(float64(l.y) + l.slope*float64(n) + 0.5)
}

// columns are those of an image in whose middle the line goes from one x to the next: the first one, and the
// first one behind them. However far the line goes, no other is looked at.
func (l *line) columns(width int) (from, to int) {
	x1, _ := l.at(0)
	x2, _ := l.at(l.last)
	from = max(above(min(x1, x2)-fine/2), 0)
	to = min(above(max(x1, x2)-fine/2), width)
	return from, max(to, from)
}

// cross is the lower y of the two places between which the line goes from x to x+1, or back.
func (l *line) cross(x int) int {
	if !l.steep {
		_, before := l.at(x - l.x)
		_, behind := l.at(x - l.x + 1)
		return min(before, behind)
	}
	return l.y + sort.Search(l.last, func(n int) bool {
		next, _ := l.at(n + 1)
		return next > x == (l.slope > 0)
	})
}

// add appends pixels that begin no earlier than what is there.
func (r raster) add(from, to uint32) raster {
	switch n := len(r); {
	case from == to:
		return r
	case n > 0 && from <= r[n-1]:
		r[n-1] = max(r[n-1], to)
		return r
	default:
		return append(r, from, to)
	}
}

func (r raster) area() (pixels uint64) {
	for i := 0; i < len(r); i += 2 {
		pixels += uint64(r[i+1] - r[i])
	}
	return pixels
}

// shared is how many pixels both have.
func (r raster) shared(other raster) (pixels uint64) {
	for len(r) > 0 && len(other) > 0 {
		if from, to := max(r[0], other[0]), min(r[1], other[1]); from < to {
			pixels += uint64(to - from)
		}
		if r[1] <= other[1] {
			r = r[2:]
		} else {
			other = other[2:]
		}
	}
	return pixels
}
