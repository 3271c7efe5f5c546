//go:build !cgo

package half

func narrow(dst []uint16, src []float32) { goNarrow(dst, src) }

func widen(dst []float32, src []uint16) { goWiden(dst, src) }
