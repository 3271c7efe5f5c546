package worker

import (
	"errors"
	"math"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/worker/pairing"
	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
)

// shift is where a place of a frame lies in its template, less where it lies in the frame, in pixels.
type shift struct{ x, y float64 }

// none is no tile.
const none = -1

// trail is where the tiles of one frame were found in its golden template, so that what draws evidence need
// not align the whole sheet again. Written by the frame's inspection, read only afterwards.
type trail struct {
	template  *pairing.Sheet
	tiles     *tiles.Plan
	threshold uint8
	found     []shift // of the tiles in order, as many as were matched
	misfit    int     // the tile that ended the inspection since the template does not fit it, or none
}

func newTrail(template *pairing.Sheet, p *tiles.Plan, threshold uint8) *trail {
	return &trail{
		template: template, tiles: p, threshold: threshold, found: make([]shift, 0, p.Len()), misfit: none,
	}
}

// trail is that of the slot's frame, or nil.
func (s *slot) trail() *trail {
	if s.sheet == nil {
		return nil
	}
	return s.sheet.trail
}

// matched notes what became of the next tile.
func (t *trail) matched(tile int, pairs *pairing.Tiles, err error) {
	if err != nil {
		if t.misfit == none && errors.Is(err, pairing.ErrUnaligned) {
			t.misfit = tile
		}
		return
	}
	if len(t.found) == tile {
		x, y := pairs.Shift()
		t.found = append(t.found, shift{x, y})
	}
}

// failed notes what ended the inspection: while a run failed, a tile behind it may have been matched.
func (t *trail) failed(err error) {
	if t != nil && !errors.Is(err, pairing.ErrUnaligned) {
		t.misfit = none
	}
}

// complete says that all tiles were found.
func (t *trail) complete() bool { return t.misfit == none && len(t.found) == t.tiles.Len() }

// before is where tile i was sought: where its neighbour to the left, of the first in a row the one above,
// was found.
func (t *trail) before(i int) shift {
	columns := t.tiles.Columns()
	switch {
	case i%columns > 0:
		return t.found[i-1]
	case i > 0:
		return t.found[i-columns]
	default:
		return shift{}
	}
}

// at is the shift of a place in the frame.
func (t *trail) at(x, y int) shift {
	across, down := t.middles()
	i, j := weigh(float64(x), across), weigh(float64(y), down)
	above, below := t.found[j.at*len(across):], t.found[j.next*len(across):]
	return mix(mix(above[i.at], above[i.next], i.share), mix(below[i.at], below[i.next], i.share), j.share)
}

// middles are those of the columns and of the rows of tiles, in pixels of the frame.
func (t *trail) middles() (across, down []float64) {
	columns := t.tiles.Columns()
	for i := range columns {
		r := t.tiles.Tile(i)
		across = append(across, float64(r.X)+float64(r.Width)/2)
	}
	for i := 0; i < t.tiles.Len(); i += columns {
		r := t.tiles.Tile(i)
		down = append(down, float64(r.Y)+float64(r.Height)/2)
	}
	return across, down
}

// move writes the template as it lies on the board to dst, for a picture of the frame in width × height
// pixels, each the nearest of the frame's. Board is that picture in black and white: it stands for what lies
// beyond the template's border. A shift changes evenly from the middle of a tile to that of its neighbour,
// which leaves edges a pixel or two off where a board is warped within a tile.
func (t *trail) move(dst, board []byte, width, height int) {
	across, down := t.middles()
	frameWidth, frameHeight := t.template.Size()
	places := make([]between, width)
	for x := range places {
		places[x] = weigh(float64(x*frameWidth/width), across)
	}
	row := make([]shift, len(across))
	for y := range height {
		from := y * frameHeight / height
		j := weigh(float64(from), down)
		for i := range row {
			row[i] = mix(t.found[j.at*len(row)+i], t.found[j.next*len(row)+i], j.share)
		}
		to, seen := dst[y*width:][:width], board[y*width:][:width]
		for x, p := range places {
			s := mix(row[p.at], row[p.next], p.share)
			v, known := t.template.At(x*frameWidth/width+nearest(s.x), from+nearest(s.y))
			if !known {
				v = seen[x]
			}
			to[x] = v
		}
	}
}

// between is a place among the middles of tiles: share of the way from one to the next, or beyond.
type between struct {
	at, next int
	share    float64
}

// weigh finds a place among ascending middles. Beyond the outermost the shift goes on as it changes between
// the last two, but no farther than their distance, since tiles that lie close say little of what is far.
func weigh(place float64, middles []float64) between {
	if len(middles) == 1 {
		return between{}
	}
	next, _ := slices.BinarySearch(middles, place)
	next = min(max(next, 1), len(middles)-1)
	at := next - 1
	share := (place - middles[at]) / (middles[next] - middles[at])
	return between{at, next, min(max(share, -1), 2)}
}

func mix(a, b shift, share float64) shift {
	return shift{a.x + (b.x-a.x)*share, a.y + (b.y-a.y)*share}
}

func nearest(v float64) int { return int(math.Floor(v + 0.5)) }
