package detect

import (
	"cmp"
	"fmt"
	"slices"
)

// candidate is a cell that scored. Box is in input pixels, set after selection.
type candidate struct {
	class, cell int32
	score       float32
	box         [4]float32
}

// worse orders by score, then by place, so that the result does not depend on the order of arrival.
func worse(a, b *candidate) bool {
	if a.score != b.score {
		return a.score < b.score
	}
	if a.class != b.class {
		return a.class > b.class
	}
	return a.cell > b.cell
}

// offer keeps the best maxCandidates: once full, candidates is a heap with its worst on top. More than a
// working model has are an error.
func (d *Decoder) offer(c candidate) error {
	d.found++
	if most := max(maxCandidates, d.grid.cells()/2); d.found > most {
		return fmt.Errorf("%w: over %d candidates in %d cells", ErrOutput, most, d.grid.cells())
	}
	if len(d.candidates) < maxCandidates {
		d.candidates = append(d.candidates, c)
		if len(d.candidates) == maxCandidates {
			for i := maxCandidates/2 - 1; i >= 0; i-- {
				sink(d.candidates, i)
			}
		}
		return nil
	}
	if worse(&d.candidates[0], &c) {
		d.candidates[0] = c
		sink(d.candidates, 0)
	}
	return nil
}

func sink(heap []candidate, i int) {
	for {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if child+1 < len(heap) && worse(&heap[child+1], &heap[child]) {
			child++
		}
		if !worse(&heap[child], &heap[i]) {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}

// order puts the best first.
func order(candidates []candidate) {
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.class, b.class),
			cmp.Compare(a.cell, b.cell))
	})
}
