package camera

import (
	"image"
	"image/color"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// store copies a decoded image into f, as gray or BGR.
func store(f *frame.Frame, img image.Image) error {
	channels := 3
	switch img := img.(type) {
	case *image.Gray, *image.Gray16:
		channels = 1
	case *image.Paletted:
		if grayPalette(img.Palette) {
			channels = 1
		}
	}
	b := img.Bounds()
	if err := f.Shape(b.Dx(), b.Dy(), channels); err != nil {
		return err
	}
	f.Truth = f.Truth[:0]
	for y := range f.Height {
		row(f.Pix[y*f.Stride:][:f.Stride], img, y)
	}
	return nil
}

// row writes line y, counted from the top, into dst.
func row(dst []byte, img image.Image, y int) {
	b := img.Bounds()
	x, y := b.Min.X, y+b.Min.Y
	switch img := img.(type) {
	case *image.Gray:
		copy(dst, img.Pix[img.PixOffset(x, y):])
	case *image.Gray16:
		highBytes(dst, img.Pix[img.PixOffset(x, y):])
	case *image.YCbCr:
		fromYCbCr(dst, img, y)
	case *image.RGBA:
		fromRGB(dst, img.Pix[img.PixOffset(x, y):], 4, 1)
	case *image.NRGBA:
		fromRGB(dst, img.Pix[img.PixOffset(x, y):], 4, 1)
	case *image.RGBA64:
		fromRGB(dst, img.Pix[img.PixOffset(x, y):], 8, 2)
	case *image.NRGBA64:
		fromRGB(dst, img.Pix[img.PixOffset(x, y):], 8, 2)
	case *image.Paletted:
		fromPalette(dst, img.Pix[img.PixOffset(x, y):][:b.Dx()], img.Palette)
	default:
		fromAny(dst, img, y)
	}
}

func highBytes(dst, src []byte) {
	for i := range dst {
		dst[i] = src[2*i]
	}
}

// fromRGB reverses the first three samples of each pixel; pixel and sample are their sizes in bytes.
func fromRGB(dst, src []byte, pixel, sample int) {
	for i, j := 0, 0; i+2 < len(dst); i, j = i+3, j+pixel {
		dst[i], dst[i+1], dst[i+2] = src[j+2*sample], src[j+sample], src[j]
	}
}

func fromYCbCr(dst []byte, img *image.YCbCr, y int) {
	x0 := img.Rect.Min.X
	lum := img.Y[img.YOffset(x0, y):]
	for i, x := 0, 0; i+2 < len(dst); i, x = i+3, x+1 {
		c := img.COffset(x0+x, y)
		r, g, b := color.YCbCrToRGB(lum[x], img.Cb[c], img.Cr[c])
		dst[i], dst[i+1], dst[i+2] = b, g, r
	}
}

func grayPalette(p color.Palette) bool {
	for _, c := range p {
		if n := opaque(c); n.R != n.G || n.G != n.B {
			return false
		}
	}
	return true
}

// fromPalette writes one or three channels, as dst has room for. An index outside of the palette is black.
func fromPalette(dst, src []byte, p color.Palette) {
	channels := len(dst) / len(src)
	for x, index := range src {
		var c color.NRGBA
		if int(index) < len(p) {
			c = opaque(p[index])
		}
		if channels == 1 {
			dst[x] = c.R
			continue
		}
		dst[3*x], dst[3*x+1], dst[3*x+2] = c.B, c.G, c.R
	}
}

func fromAny(dst []byte, img image.Image, y int) {
	x0 := img.Bounds().Min.X
	for x := range len(dst) / 3 {
		c := opaque(img.At(x0+x, y))
		dst[3*x], dst[3*x+1], dst[3*x+2] = c.B, c.G, c.R
	}
}

func opaque(c color.Color) color.NRGBA {
	n, _ := color.NRGBAModel.Convert(c).(color.NRGBA) // the model returns nothing else
	return n
}
