package decode

// keepBest adds one more to the best, as many as there is room for: once full they are a heap with the least
// on top. left is the one that then has no place, if full.
func keepBest[T any](best []T, one T, less func(a, b T) bool) (kept []T, left T, full bool) {
	if len(best) < cap(best) {
		best = append(best, one)
		if len(best) == cap(best) {
			for i := len(best)/2 - 1; i >= 0; i-- {
				sink(best, i, less)
			}
		}
		return best, left, false
	}
	if !less(best[0], one) {
		return best, one, true
	}
	left, best[0] = best[0], one
	sink(best, 0, less)
	return best, left, true
}

// sink moves what stands at i down to its place in a heap that has its least on top.
func sink[T any](heap []T, i int, less func(a, b T) bool) {
	for {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if child+1 < len(heap) && less(heap[child+1], heap[child]) {
			child++
		}
		if !less(heap[child], heap[i]) {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}
