//go:build cgo && customenv

package evidence

import (
	"bytes"
	"fmt"
	"image"

	"gocv.io/x/gocv"
)

// encoder makes JPEGs with OpenCV, which takes the canvas as it is.
type encoder struct{}

func (*encoder) jpeg(picture *image.RGBA, quality int) ([]byte, error) {
	size := picture.Rect.Size()
	mat, err := gocv.NewMatFromBytes(size.Y, size.X, gocv.MatTypeCV8UC4, picture.Pix)
	if err != nil {
		return nil, fmt.Errorf("wrap picture: %w", err)
	}
	defer func() { _ = mat.Close() }()
	buffer, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, mat, []int{gocv.IMWriteJpegQuality, quality})
	if err != nil {
		return nil, fmt.Errorf("encode JPEG: %w", err)
	}
	defer buffer.Close()
	return bytes.Clone(buffer.GetBytes()), nil
}
