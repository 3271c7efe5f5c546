package tiles

// groups joins parts into defects: a union-find whose sets can be walked. No set holds two parts of one tile:
// a tile that shows two defects has the last word on that.
type groups struct {
	parent, next, size []int32
}

// reset makes n sets of one part each.
func (g *groups) reset(n int) {
	g.parent, g.next, g.size = g.parent[:0], g.next[:0], g.size[:0]
	for i := range int32(n) {
		g.parent, g.next, g.size = append(g.parent, i), append(g.next, i), append(g.size, 1)
	}
}

func (g *groups) find(i int32) int32 {
	for g.parent[i] != i {
		g.parent[i] = g.parent[g.parent[i]]
		i = g.parent[i]
	}
	return i
}

// join makes the sets of parts i and j one, unless a tile has a part in both.
func (m *Merger) join(i, j int32) {
	g := &m.groups
	small, large := g.find(i), g.find(j)
	if small == large {
		return
	}
	if g.size[small] > g.size[large] {
		small, large = large, small
	}
	for at := small; ; {
		if m.has(large, m.parts[at].tile) {
			return
		}
		if at = g.next[at]; at == small {
			break
		}
	}
	g.parent[small] = large
	g.size[large] += g.size[small]
	g.next[small], g.next[large] = g.next[large], g.next[small] // two rings become one
}

// has says whether a tile has a part in a set: a walk over the set or the tile, whichever is shorter.
func (m *Merger) has(root int32, tile int) bool {
	g := &m.groups
	if first, end := m.first[tile], m.first[tile+1]; end-first < g.size[root] {
		for i := first; i < end; i++ {
			if g.find(i) == root {
				return true
			}
		}
		return false
	}
	for at := root; ; {
		if m.parts[at].tile == tile {
			return true
		}
		if at = g.next[at]; at == root {
			return false
		}
	}
}
