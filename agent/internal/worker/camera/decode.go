package camera

import (
	"fmt"
	"image"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// decode fills f with an image file: gray stays one channel, anything else becomes BGR. 16-bit samples lose
// their lower byte, alpha is dropped, an EXIF orientation is not applied. f is untouched when there is an
// error, which wraps ErrBadFrame. The decoders are Go's own: no hostile file reaches C.
func decode(f *frame.Frame, data []byte, l limits) error {
	img, err := l.decode(data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadFrame, err)
	}
	if jpeg, ok := img.(*image.YCbCr); ok && l.gray {
		img = luma(jpeg)
	}
	return store(f, img)
}

// luma is the gray picture in a JPEG, without a copy. Its weights are those of ITU-R BT.601, as everywhere.
func luma(img *image.YCbCr) *image.Gray {
	return &image.Gray{Pix: img.Y, Stride: img.YStride, Rect: img.Rect}
}

func (l limits) decode(data []byte) (image.Image, error) {
	if int64(len(data)) > l.bytes {
		return nil, fmt.Errorf("it has %d bytes; at most %d are read", len(data), l.bytes)
	}
	kind := sniff(data)
	c, err := kind.header(data)
	if err != nil {
		return nil, fmt.Errorf("read its header: %w", err)
	}
	if err = l.check(kind, c, data); err != nil {
		return nil, err
	}
	if kind == formatJPEG && !ended(data) {
		return nil, fmt.Errorf("its end is missing: the JPEG is truncated after %d bytes", len(data))
	}
	img, err := kind.decode(data)
	if err != nil {
		return nil, fmt.Errorf("decode it: %w", err)
	}
	if b := img.Bounds(); b.Dx() != c.Width || b.Dy() != c.Height {
		return nil, fmt.Errorf("its header claims %dx%d pixels, but it has %dx%d", c.Width, c.Height, b.Dx(),
			b.Dy())
	}
	return img, nil
}
