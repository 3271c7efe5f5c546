//go:build cgo && customenv

package evidence

import (
	"bytes"
	"fmt"

	"gocv.io/x/gocv"
)

// plain encodes gray or BGR with OpenCV, losslessly as a PNG in little time, or as a JPEG.
func plain(pix []byte, width, height, channels int, lossless bool) ([]byte, error) {
	kind := gocv.MatTypeCV8UC1
	if channels == 3 {
		kind = gocv.MatTypeCV8UC3
	}
	mat, err := gocv.NewMatFromBytes(height, width, kind, pix)
	if err != nil {
		return nil, fmt.Errorf("wrap frame: %w", err)
	}
	defer func() { _ = mat.Close() }()
	format, options := gocv.JPEGFileExt, []int{gocv.IMWriteJpegQuality, plainQuality}
	if lossless {
		format, options = gocv.PNGFileExt, []int{gocv.IMWritePngCompression, 1}
	}
	buffer, err := gocv.IMEncodeWithParams(format, mat, options)
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	defer buffer.Close()
	return bytes.Clone(buffer.GetBytes()), nil
}
