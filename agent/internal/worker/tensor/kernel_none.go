//go:build !cgo

package tensor

func takeGray(dst, src []byte, s sampling) { goTakeGray(dst, src, s) }

func takeColour(dst, src []byte, s sampling) { goTakeColour(dst, src, s) }

func takeLuma(dst, src []byte, s sampling) { goTakeLuma(dst, src, s) }

func spreadFloats(dst []float32, src []byte, s spreading) { goSpreadFloats(dst, src, s) }
