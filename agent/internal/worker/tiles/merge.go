package tiles

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sightline-edge/sightline/agent/internal/worker/detect"
)

const (
	maxLimit = 1 << 16
	// partsPerDefect: a place lies in four tiles at most, but where the sheet is hardly larger than a tile.
	partsPerDefect = 4
	// boxError is what rounding may put a box outside of its tile.
	boxError = 1
)

// ErrTile is wrapped by errors about detections that are not of the tile that they are said to be of.
var ErrTile = errors.New("not a tile's detections")

// Merger collects the detections of a sheet's tiles and makes one of those that show the same defect. The
// result does not depend on the order in which tiles arrive. Not safe for concurrent use.
//
// Two tiles show the same defect, of one class, when they agree on what both of them see: the boxes, each
// clipped to the overlap of the two tiles, match. That holds for two whole boxes, a whole one and a piece,
// and two pieces alike, and leaves neighbouring defects apart, because each finds its own partner. A piece
// without a partner that agrees with a whole one of another class is not a defect of its own: half a defect
// is hard to name.
type Merger struct {
	plan  *Plan
	limit int
	same  float32 // the least IoU, within the overlap, of two boxes of one defect
	seen  []bool  // tiles added
	best  []part  // the best of what was added; once full a heap with its worst on top
	over  int     // parts that did not fit in best
	cut   int     // defects that did not fit in the result

	parts       []part  // best, by tile
	first       []int32 // where a tile's parts start in parts, and one more
	groups      groups
	left, right []candidate
	near        []int
	result      []detect.Detection
}

// NewMerger merges into at most limit detections, 1 to 65,536; a limit outside of that is taken as the
// nearest. Memory is bounded by it: four parts are kept for each. nmsIoU is the limit of the model's own
// suppression; boxes from two tiles need half of that agreement, as they are matched one to one.
func NewMerger(p *Plan, limit int, nmsIoU float32) *Merger {
	return &Merger{
		plan: p, limit: min(max(limit, 1), maxLimit), same: nmsIoU / 2,
		seen: make([]bool, p.Len()), first: make([]int32, p.Len()+1),
	}
}

// Reset forgets what was added, for the next sheet of the same plan.
func (m *Merger) Reset() {
	m.best, m.over, m.cut = m.best[:0], 0, 0
	clear(m.seen)
}

// Add takes what was found in one tile, boxes in sheet pixels, in any order; found is not kept. Over four
// times the limit the best stay. Errors wrap ErrTile, and then nothing of this call was taken.
func (m *Merger) Add(tile int, found []detect.Detection) error {
	if tile < 0 || tile >= m.plan.Len() {
		return fmt.Errorf("%w: tile %d of %d; number them as the plan does", ErrTile, tile, m.plan.Len())
	}
	if m.seen[tile] {
		return fmt.Errorf("%w: tile %d was added before; reset before the next sheet", ErrTile, tile)
	}
	area := m.plan.Tile(tile).box()
	bounds := box{area[0] - boxError, area[1] - boxError, area[2] + boxError, area[3] + boxError}
	for _, d := range found {
		if empty(d.Box) || clip(d.Box, bounds) != d.Box {
			return fmt.Errorf("%w: box %v is empty or outside of tile %d at %v; map boxes to sheet pixels",
				ErrTile, d.Box, tile, area)
		}
	}
	m.seen[tile] = true
	for _, d := range found {
		if b := clip(d.Box, area); !empty(b) {
			m.offer(part{box: b, score: d.Score, class: d.Class, tile: tile})
		}
	}
	return nil
}

func (m *Merger) offer(p part) {
	if room := m.limit * partsPerDefect; len(m.best) < room {
		m.best = append(m.best, p)
		if len(m.best) == room {
			for i := room/2 - 1; i >= 0; i-- {
				sink(m.best, i)
			}
		}
		return
	}
	m.over++
	if worth(&p, &m.best[0]) < 0 {
		m.best[0] = p
		sink(m.best, 0)
	}
}

// Result returns one detection for each defect in the tiles added so far, descending score, valid until the
// next call of Result. The score is the best that a tile gave; but where the tile that shows the defect whole
// is surer of another class, it is that tile's.
func (m *Merger) Result() []detect.Detection {
	m.arrange()
	m.groups.reset(len(m.parts))
	m.match()
	m.absorb()
	m.result = m.result[:0]
	for i := range int32(len(m.parts)) {
		if m.groups.parent[i] == i && !m.misnamed(i) {
			m.result = append(m.result, m.defect(i))
		}
	}
	slices.SortFunc(m.result, better)
	m.cut = max(0, len(m.result)-m.limit)
	m.result = m.result[:len(m.result)-m.cut]
	return m.result
}

// Dropped is how many findings the limit cost, as parts in Add and as defects in the last Result. With 0 the
// result is complete.
func (m *Merger) Dropped() int { return m.over + m.cut }

// arrange sorts by tile, and within a tile by worth.
func (m *Merger) arrange() {
	clear(m.first)
	for i := range m.best {
		m.first[m.best[i].tile+1]++
	}
	for tile := range m.plan.Len() {
		m.first[tile+1] += m.first[tile]
	}
	m.parts = slices.Grow(m.parts[:0], len(m.best))[:len(m.best)]
	for i := range m.best {
		tile := m.best[i].tile
		m.parts[m.first[tile]] = m.best[i]
		m.first[tile]++ // now where the next of this tile goes, in the end where the next tile starts
	}
	copy(m.first[1:], m.first)
	m.first[0] = 0
	for tile := range m.plan.Len() {
		one := m.parts[m.first[tile]:m.first[tile+1]]
		slices.SortFunc(one, func(a, b part) int { return worth(&a, &b) })
	}
}

// defect makes one detection of a set: the box of its whole view, or, if the defect is longer than the
// overlap and no tile shows it whole, the union of its pieces.
func (m *Merger) defect(root int32) detect.Detection {
	found := detect.Detection{Class: m.parts[root].class, Score: m.parts[root].score}
	for at := m.groups.next[root]; at != root; at = m.groups.next[at] {
		found.Score = max(found.Score, m.parts[at].score)
	}
	whole, all := m.whole(root)
	found.Box = all
	if whole >= 0 {
		found.Box = m.parts[whole].box
		if found.Score > m.parts[whole].score && m.doubted(whole) {
			found.Score = m.parts[whole].score
		}
	}
	return found
}

// whole finds the part that shows all of a set's defect, -1 if none does, and the union of the set. Of
// several it takes the one deepest in its tile: a model judges best what has all its surroundings.
func (m *Merger) whole(root int32) (chosen int32, all box) {
	all = m.parts[root].box
	for at := m.groups.next[root]; at != root; at = m.groups.next[at] {
		all = union(all, m.parts[at].box)
	}
	chosen = -1
	deepest := float32(0)
	for at := root; ; {
		if depth := m.depth(&m.parts[at], all); depth > deepest {
			chosen, deepest = at, depth
		}
		if at = m.groups.next[at]; at == root {
			return chosen, all
		}
	}
}

// depth is how far from the seams of its tile a part lies, 0 if it is a piece: when it ends at a seam, or
// when other tiles show that the defect goes on beyond one.
func (m *Merger) depth(p *part, all box) float32 {
	tile := m.plan.Tile(p.tile).box()
	depth := float32(math.MaxFloat32)
	for side, seam := range m.plan.seams(p.tile) {
		if !seam {
			continue
		}
		own := gap(p.box, tile, side)
		if own <= slack || gap(all, tile, side) < -slack {
			return 0
		}
		depth = min(depth, own)
	}
	return depth
}
