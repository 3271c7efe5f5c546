package infer

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

const (
	maxPNGBytes = 64 << 20
	maxPNGSide  = 8192
)

// decodePNG decodes a golden sample: gray pictures have one channel, all others become BGR. Its size is
// checked before its pixels get memory.
func decodePNG(raw []byte) (*frame.Frame, error) {
	config, err := png.DecodeConfig(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if config.Width > maxPNGSide || config.Height > maxPNGSide {
		return nil, fmt.Errorf("%d×%d pixels, over %d", config.Width, config.Height, maxPNGSide)
	}
	picture, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return toFrame(picture)
}

func toFrame(picture image.Image) (*frame.Frame, error) {
	size, f := picture.Bounds().Size(), &frame.Frame{}
	grayscale, isGray := picture.(*image.Gray)
	channels := 3
	if isGray {
		channels = 1
	}
	if err := f.Shape(size.X, size.Y, channels); err != nil {
		return nil, fmt.Errorf("make frame: %w", err)
	}
	for y := range size.Y {
		row := f.Pix[y*f.Stride : (y+1)*f.Stride]
		if isGray {
			copy(row, grayscale.Pix[y*grayscale.Stride:])
			continue
		}
		for x := range size.X {
			c, _ := color.NRGBAModel.Convert(picture.At(picture.Bounds().Min.X+x,
				picture.Bounds().Min.Y+y)).(color.NRGBA)
			row[3*x], row[3*x+1], row[3*x+2] = c.B, c.G, c.R
		}
	}
	return f, nil
}
