package decode

// none is the class of pixels that belong to nothing.
const none = -1

// part is a connected part of a mask: pixels of one class that touch, also at a corner.
type part struct {
	class          int
	x1, y1, x2, y2 int // pixels, exclusive at right and bottom
	x, y           int // the first pixel of its first row
	pixels         int
	score          float64 // sum over its pixels
	best           float32 // the highest of them
}

func (p *part) mean() float32 { return float32(p.score / float64(p.pixels)) }

// join adds what has turned out to be the same part.
func (p *part) join(o *part) {
	if o.y < p.y || o.y == p.y && o.x < p.x {
		p.x, p.y = o.x, o.y
	}
	p.x1, p.y1, p.x2, p.y2 = min(p.x1, o.x1), min(p.y1, o.y1), max(p.x2, o.x2), max(p.y2, o.y2)
	p.pixels += o.pixels
	p.score += o.score
	p.best = max(p.best, o.best)
}

// run is a row's pixels of one class that lie side by side.
type run struct{ from, to, class, part int }

// parts finds the connected parts of a mask that comes row by row: runs that touch runs of the row before
// belong together (union-find). It remembers only what reaches the row before, so that its memory, made once,
// is that of a row, and its work is linear in the pixels.
type parts struct {
	before, now []run  // of the row before, and of this one
	open, grown []part // that reach the row before, and this one
	parent      []int  // of the open parts, then of this row's runs
	place       []int  // of a root among the grown; none: it ends here
	take        func(p *part)
}

// newParts hands each part to take, once it is whole.
func newParts(width int, take func(p *part)) *parts {
	return &parts{
		before: make([]run, 0, width), now: make([]run, 0, width),
		open: make([]part, 0, width), grown: make([]part, 0, width),
		parent: make([]int, 2*width), place: make([]int, 2*width), take: take,
	}
}

func (p *parts) reset() { p.before, p.open = p.before[:0], p.open[:0] }

// row takes the next row, number y: the class of each pixel, and its score.
func (p *parts) row(y int, classes []int16, scores []float32) {
	p.split(classes)
	nodes := len(p.open) + len(p.now)
	for i := range nodes {
		p.parent[i], p.place[i] = i, none
	}
	p.connect()
	p.grow(y, scores)
	for i := range p.open {
		if at := p.place[p.root(i)]; at != none {
			p.grown[at].join(&p.open[i])
		} else {
			p.take(&p.open[i])
		}
	}
	p.open, p.grown = p.grown, p.open
	p.before, p.now = p.now, p.before
}

// end hands over what reaches the last row.
func (p *parts) end() {
	for i := range p.open {
		p.take(&p.open[i])
	}
	p.reset()
}

func (p *parts) split(classes []int16) {
	p.now = p.now[:0]
	for x := 0; x < len(classes); {
		class, from := classes[x], x
		for x < len(classes) && classes[x] == class {
			x++
		}
		if class != none {
			p.now = append(p.now, run{from: from, to: x, class: int(class)})
		}
	}
}

// connect unites each run with the parts that it touches. Both rows go from left to right.
func (p *parts) connect() {
	first := 0
	for i := range p.now {
		r := &p.now[i]
		for first < len(p.before) && p.before[first].to < r.from {
			first++
		}
		for k := first; k < len(p.before) && p.before[k].from <= r.to; k++ {
			if b := &p.before[k]; b.class == r.class {
				p.parent[p.root(len(p.open)+i)] = p.root(b.part)
			}
		}
	}
}

func (p *parts) root(i int) int {
	for p.parent[i] != i {
		p.parent[i] = p.parent[p.parent[i]]
		i = p.parent[i]
	}
	return i
}

// grow makes one part of the runs that belong together.
func (p *parts) grow(y int, scores []float32) {
	p.grown = p.grown[:0]
	for i := range p.now {
		r := &p.now[i]
		one := part{
			class: r.class, x1: r.from, y1: y, x2: r.to, y2: y + 1, x: r.from, y: y, pixels: r.to - r.from,
			best: scores[r.from],
		}
		for _, score := range scores[r.from:r.to] {
			one.score += float64(score)
			one.best = max(one.best, score)
		}
		root := p.root(len(p.open) + i)
		if r.part = p.place[root]; r.part != none {
			p.grown[r.part].join(&one)
			continue
		}
		r.part, p.place[root] = len(p.grown), len(p.grown)
		p.grown = append(p.grown, one)
	}
}
