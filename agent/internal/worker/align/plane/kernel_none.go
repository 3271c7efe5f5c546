//go:build !cgo

package plane

func around(counts []int32, board, template *Plane, scratch []uint64, s *Search) {
	goAround(counts, board, template, scratch, s)
}
