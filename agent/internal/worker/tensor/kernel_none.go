//go:build !cgo

package tensor

func takeGray(dst, src []byte, s sampling) { goTakeGray(dst, src, s) }

func takeColour(dst, src []byte, s sampling) { goTakeColour(dst, src, s) }

func takeLuma(dst, src []byte, s sampling) { goTakeLuma(dst, src, s) }

func spreadFloats(dst []float32, src []byte, s spreading) { goSpreadFloats(dst, src, s) }

func across(dst []int32, src []byte, c *columns, channels int) { goAcross(dst, src, c, channels) }

func blend(dst []byte, above, below []int32, weight int32) { goBlend(dst, above, below, weight) }
