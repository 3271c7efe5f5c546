package camera

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

const (
	maxSide       = 16384
	maxPixels     = maxSide * maxSide
	maxMegapixels = maxPixels / 1e6
	// maxFileBytes has room for a scan of the largest size that hardly compresses.
	maxFileBytes = 512 << 20
	// maxDecoded bounds what a decoder allocates: 268 Mpx in colour.
	maxDecoded = 3 * maxPixels
)

// limits of what is decoded; all are checked before any pixel is allocated.
type limits struct {
	side   int
	pixels int64
	bytes  int64 // of the file
	gray   bool  // of a JPEG in colour only the luma is kept
	// size is the only one that is decoded, where it is known before.
	size image.Point
}

func defaultLimits() limits { return limits{side: maxSide, pixels: maxPixels, bytes: maxFileBytes} }

type format int

const (
	unknown format = iota
	formatJPEG
	formatPNG
	formatBMP
	formatTIFF
)

// sniff knows an image by its first bytes; names lie.
func sniff(data []byte) format {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		return formatJPEG
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return formatPNG
	case bytes.HasPrefix(data, []byte("BM")):
		return formatBMP
	case bytes.HasPrefix(data, []byte("II*\x00")), bytes.HasPrefix(data, []byte("MM\x00*")):
		return formatTIFF
	default:
		return unknown
	}
}

// header reads size and colour model alone.
func (f format) header(data []byte) (image.Config, error) {
	r := bytes.NewReader(data)
	switch f {
	case formatJPEG:
		return jpeg.DecodeConfig(r)
	case formatPNG:
		return png.DecodeConfig(r)
	case formatBMP:
		return bmp.DecodeConfig(r)
	case formatTIFF:
		return tiff.DecodeConfig(r)
	default:
		return image.Config{}, errors.New("it is no JPEG, PNG, BMP or TIFF image")
	}
}

func (f format) decode(data []byte) (image.Image, error) {
	r := bytes.NewReader(data)
	switch f {
	case formatJPEG:
		return jpeg.Decode(r)
	case formatPNG:
		return png.Decode(r)
	case formatBMP:
		return bmp.Decode(r)
	case formatTIFF:
		return tiff.Decode(r)
	default:
		return nil, errors.New("it is no JPEG, PNG, BMP or TIFF image")
	}
}

// A byte of a file cannot hold more than this: deflate reaches 1032 bytes; a block of 64 pixels takes a bit
// or more in each scan of a JPEG; one byte of a bilevel TIFF may stand for many lines, so that only the
// general bounds hold.
const (
	deflateRatio = 1040
	jpegRatio    = 1024 // pixels
)

// check refuses what is too large, and what claims more pixels than its bytes can hold: a truncated or
// hostile file.
func (l limits) check(f format, c image.Config, data []byte) error {
	pixels, size := int64(c.Width)*int64(c.Height), int64(len(data))
	switch {
	case c.Width <= 0 || c.Height <= 0:
		return fmt.Errorf("its header claims %dx%d pixels", c.Width, c.Height)
	case l.size != (image.Point{}) && l.size != image.Pt(c.Width, c.Height):
		return fmt.Errorf("it has %dx%d pixels, but the driver agreed on %dx%d; give the camera a width and "+
			"height that v4l2-ctl --list-formats-ext shows", c.Width, c.Height, l.size.X, l.size.Y)
	case c.Width > l.side || c.Height > l.side:
		return fmt.Errorf("its header claims %dx%d pixels; at most %d a side are decoded", c.Width, c.Height,
			l.side)
	case pixels > l.pixels:
		return fmt.Errorf("its header claims %.1f megapixels; at most %.1f are decoded (option max_mpx)",
			float64(pixels)/1e6, float64(l.pixels)/1e6)
	case pixels*decodedBytes(f, data) > maxDecoded:
		return fmt.Errorf("its %d pixels decode to more than %d bytes; store it with 8 bits a sample, and a "+
			"JPEG as baseline instead of progressive", pixels, int64(maxDecoded))
	case f == formatPNG && pixels*pngBits(data)/8 > size*deflateRatio,
		f == formatJPEG && pixels > size*jpegRatio:
		return fmt.Errorf("its header claims %dx%d pixels, which %d bytes cannot hold", c.Width, c.Height,
			size)
	default:
		return nil
	}
}

// decodedBytes is the most that a decoder takes for one pixel.
func decodedBytes(f format, data []byte) int64 {
	switch f {
	case formatPNG:
		if bits := pngBits(data); bits > 8 {
			return (bits/8 + 1) &^ 1 // RGB is decoded to RGBA, 48 bits to 64
		}
		return 1
	case formatTIFF:
		return 8
	case formatBMP:
		return 4
	default:
		return jpegBytes(data)
	}
}

// pngBits are those of one pixel in the file, from the IHDR that DecodeConfig has approved.
func pngBits(data []byte) int64 {
	const depthAt, colourAt = 24, 25
	if len(data) <= colourAt {
		return 1
	}
	depth := int64(data[depthAt])
	switch data[colourAt] {
	case 2: // RGB
		return 3 * depth
	case 4: // gray, alpha
		return 2 * depth
	case 6: // RGB, alpha
		return 4 * depth
	default:
		return depth
	}
}

// ended reports whether a JPEG has its end marker, behind which cameras may leave padding or data of their
// own. Decoders in C fill up what is missing with pixels of the picture before.
func ended(data []byte) bool {
	at := bytes.LastIndex(data, []byte{0xff, 0xd9})
	scan := bytes.Index(data, []byte{0xff, 0xda})
	return scan >= 0 && at > scan && binary.BigEndian.Uint16(data) == 0xffd8
}
