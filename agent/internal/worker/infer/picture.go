package infer

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

const (
	maxPNGBytes = 64 << 20
	maxPNGSide  = 8192
)

// readPNG decodes a golden sample: gray pictures have one channel, all others become BGR. Its size is
// checked before its pixels get memory.
func readPNG(root *os.Root, name string) (*frame.Frame, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	config, err := png.DecodeConfig(io.LimitReader(f, maxPNGBytes))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if config.Width > maxPNGSide || config.Height > maxPNGSide {
		return nil, fmt.Errorf("%s is %d×%d, over %d", name, config.Width, config.Height, maxPNGSide)
	}
	if _, err = f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	picture, err := png.Decode(io.LimitReader(f, maxPNGBytes))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
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
