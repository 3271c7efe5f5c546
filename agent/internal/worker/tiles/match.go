package tiles

import "github.com/sightline-edge/sightline/agent/internal/worker/detect"

const (
	// crossing is the least IoU within the overlap of two pieces that both run through it from seam to seam.
	// Each goes on in the other's tile, so little agreement is enough: of a diagonal scratch the boxes share
	// only a corner.
	crossing = 0.02
	// rounds in which parts find partners: the second is for those whose first choice had a better one.
	rounds = 2
	// pieceCovered is the share of a piece that lies in the box that it is a piece of.
	pieceCovered = 0.7
	// otherName is the least IoU, within the overlap, of a piece and what it is a piece of, where their
	// classes differ: more than of one class, since two defects of two classes may well cross each other.
	otherName = 0.5
)

// overlap is what two tiles both see, and the axes along which one is ahead of the other.
type overlap struct {
	box    box
	across [2]bool
}

// candidate is a part that reaches into an overlap, and the best partner for it in the other tile so far.
type candidate struct {
	part, partner int32 // partner is a place in the other tile's candidates, -1 for none
	agreement     float32
}

// match joins what neighbouring tiles agree on. Tiles are taken in the order of the plan.
func (m *Merger) match() {
	for a := range m.plan.Len() {
		if m.first[a] == m.first[a+1] {
			continue
		}
		m.near = m.plan.neighbours(a, m.near[:0])
		for _, b := range m.near {
			if b > a && m.first[b] < m.first[b+1] {
				m.matchTiles(a, b)
			}
		}
	}
}

func (m *Merger) matchTiles(a, b int) {
	ta, tb := m.plan.Tile(a), m.plan.Tile(b)
	shared := overlap{box: clip(ta.box(), tb.box()), across: [2]bool{ta.X != tb.X, ta.Y != tb.Y}}
	m.left = m.reaching(a, shared.box, m.left[:0])
	m.right = m.reaching(b, shared.box, m.right[:0])
	for range rounds {
		if len(m.left) == 0 || len(m.right) == 0 {
			return
		}
		m.choose(&shared)
		for i := range m.left {
			if l := &m.left[i]; l.partner >= 0 && m.right[l.partner].partner == int32(i) {
				m.join(l.part, m.right[l.partner].part)
				m.right[l.partner].part = -1
				l.part = -1
			}
		}
		m.left, m.right = unmatched(m.left), unmatched(m.right)
	}
}

// reaching appends the parts of a tile that reach into an area.
func (m *Merger) reaching(tile int, area box, to []candidate) []candidate {
	for i := m.first[tile]; i < m.first[tile+1]; i++ {
		if !empty(clip(m.parts[i].box, area)) {
			to = append(to, candidate{part: i, partner: -1})
		}
	}
	return to
}

func unmatched(all []candidate) []candidate {
	n := 0
	for _, c := range all {
		if c.part >= 0 {
			all[n] = candidate{part: c.part, partner: -1}
			n++
		}
	}
	return all[:n]
}

// choose finds for each candidate the one in the other tile that it agrees with best, of equals the worthier.
func (m *Merger) choose(shared *overlap) {
	for i := range m.left {
		l := &m.left[i]
		a := &m.parts[l.part]
		for j := range m.right {
			r := &m.right[j]
			b := &m.parts[r.part]
			if a.class != b.class {
				continue
			}
			agreement := m.agreement(a, b, shared)
			if agreement > l.agreement {
				l.partner, l.agreement = int32(j), agreement
			}
			if agreement > r.agreement {
				r.partner, r.agreement = int32(i), agreement
			}
		}
	}
}

// agreement is the IoU of what two parts say about the overlap, 0 if it is too little for one defect.
func (m *Merger) agreement(a, b *part, shared *overlap) float32 {
	ca, cb := clip(a.box, shared.box), clip(b.box, shared.box)
	both := detect.IoU(ca, cb)
	if both >= m.same {
		return both
	}
	for axis, across := range shared.across {
		if across && both >= crossing && spans(ca, shared.box, axis) && spans(cb, shared.box, axis) {
			return both
		}
	}
	return 0
}

// spans says whether a box reaches from one end of an area to the other.
func spans(b, area box, axis int) bool {
	return gap(b, area, axis) <= slack && gap(b, area, axis+2) <= slack
}

// absorb joins pieces whose whole is missing to a box that covers one of them: a sliver at a seam may lie
// just beside what its neighbour takes for the defect's end, or be too narrow to agree on.
func (m *Merger) absorb() {
	for i := range int32(len(m.parts)) {
		if m.groups.parent[i] != i {
			continue
		}
		if whole, _ := m.whole(i); whole >= 0 {
			continue
		}
		for at := i; ; {
			if cover := m.cover(at); cover >= 0 {
				m.join(i, cover)
				break
			}
			if at = m.groups.next[at]; at == i {
				break
			}
		}
	}
}

// cover finds the part of another set, in a neighbouring tile, that covers most of a piece; -1 if none covers
// enough. Across the seam at which the piece was cut, and only there, the other may be short of it by the
// slack.
func (m *Merger) cover(piece int32) int32 {
	p := &m.parts[piece]
	at := ends(p.box, m.plan.Tile(p.tile).box(), m.plan.seams(p.tile))
	if at == (sides{}) {
		return -1
	}
	set := m.groups.find(piece)
	most, found := float32(pieceCovered), int32(-1)
	m.near = m.plan.neighbours(p.tile, m.near[:0])
	for _, tile := range m.near {
		for i := m.first[tile]; i < m.first[tile+1]; i++ {
			q := &m.parts[i]
			if q.class != p.class {
				continue
			}
			if share := covered(p.box, grown(q.box, at)); share > most && m.groups.find(i) != set {
				most, found = share, i
			}
		}
	}
	return found
}

// misnamed says whether a set is nothing but pieces that their tiles took for another class: half an open
// looks like a spur, at a corner to two tiles.
func (m *Merger) misnamed(root int32) bool {
	for at := root; ; {
		if !m.elsewhereWhole(&m.parts[at]) {
			return false
		}
		if at = m.groups.next[at]; at == root {
			return true
		}
	}
}

// elsewhereWhole says whether a part is a piece that a neighbouring tile shows whole and as another class,
// going on beyond the seam where the piece ends: that tile has the last word on what it is.
func (m *Merger) elsewhereWhole(p *part) bool {
	area := m.plan.Tile(p.tile).box()
	at := ends(p.box, area, m.plan.seams(p.tile))
	if at == (sides{}) {
		return false
	}
	m.near = m.plan.neighbours(p.tile, m.near[:0])
	for _, tile := range m.near {
		other := m.plan.Tile(tile).box()
		shared := clip(area, other)
		for i := m.first[tile]; i < m.first[tile+1]; i++ {
			q := &m.parts[i]
			if q.class == p.class || ends(q.box, other, m.plan.seams(tile)) != (sides{}) {
				continue
			}
			same := detect.IoU(clip(p.box, shared), clip(q.box, shared)) >= otherName
			if same && goesOn(q.box, area, at) {
				return true
			}
		}
	}
	return false
}

// doubted says whether the tile of a whole part is surer of another class in its place: then the score of a
// piece, which may look like a good one of this class, counts for nothing.
func (m *Merger) doubted(whole int32) bool {
	p := &m.parts[whole]
	for i := m.first[p.tile]; m.parts[i].score > p.score; i++ { // by score: the whole part itself ends it
		if q := &m.parts[i]; q.class != p.class && detect.IoU(p.box, q.box) >= otherName {
			return true
		}
	}
	return false
}

// goesOn says whether a box goes on beyond one of these sides of a tile.
func goesOn(b, tile box, at sides) bool {
	for side := range at {
		if at[side] && gap(b, tile, side) < -slack {
			return true
		}
	}
	return false
}

// grown moves both ends of the axes across which a piece was cut outward.
func grown(b box, at sides) box {
	for axis := range 2 {
		if at[axis] || at[axis+2] {
			b[axis] -= slack
			b[axis+2] += slack
		}
	}
	return b
}
