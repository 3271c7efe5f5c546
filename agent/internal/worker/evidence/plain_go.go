//go:build !(cgo && customenv)

package evidence

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
)

// plain encodes gray or BGR without OpenCV.
func plain(pix []byte, width, height, channels int, lossless bool) ([]byte, error) {
	var picture image.Image
	bounds := image.Rect(0, 0, width, height)
	if channels == 1 {
		picture = &image.Gray{Pix: pix, Stride: width, Rect: bounds}
	} else {
		rgba := image.NewRGBA(bounds)
		for from, to := 0, 0; from+3 <= len(pix); from, to = from+3, to+4 {
			rgba.Pix[to], rgba.Pix[to+1], rgba.Pix[to+2] = pix[from+2], pix[from+1], pix[from]
			rgba.Pix[to+3] = 255
		}
		picture = rgba
	}
	var out bytes.Buffer
	var err error
	if lossless {
		err = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&out, picture)
	} else {
		err = jpeg.Encode(&out, picture, &jpeg.Options{Quality: plainQuality})
	}
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	return out.Bytes(), nil
}
