package evidence

import (
	"fmt"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

const (
	plainQuality = 95
	// noise lets no camera's picture become a PNG of less than half its bytes: one that is larger than twice
	// the limit is not tried.
	noise = 2
	// squeezed is more than a JPEG of that quality does with a picture that is worth keeping.
	squeezed = 8
)

// Plain returns the frame as it came, with nothing drawn on it: a PNG, or a JPEG where that has over limit
// bytes. A frame whose JPEG has over limit bytes, too, is ErrFrame.
func Plain(f *frame.Frame, limit int) ([]byte, error) {
	if err := check(f); err != nil {
		return nil, err
	}
	if f.Width*f.Height*f.Channels > squeezed*limit {
		return nil, fmt.Errorf("%w: %d×%d pixels are too many to be kept in %d bytes", ErrFrame, f.Width,
			f.Height, limit)
	}
	pix := packed(f)
	if len(pix) <= noise*limit {
		picture, err := plain(pix, f.Width, f.Height, f.Channels, true)
		if err != nil || len(picture) <= limit {
			return picture, err
		}
	}
	picture, err := plain(pix, f.Width, f.Height, f.Channels, false)
	if err == nil && len(picture) > limit {
		return nil, fmt.Errorf("%w: %d bytes of JPEG, over %d", ErrFrame, len(picture), limit)
	}
	return picture, err
}

// packed are the pixels without gaps between rows.
func packed(f *frame.Frame) []byte {
	row := f.Width * f.Channels
	if f.Stride == row {
		return f.Pix[:f.Height*row]
	}
	pix := make([]byte, 0, f.Height*row)
	for y := range f.Height {
		pix = append(pix, f.Pix[y*f.Stride:][:row]...)
	}
	return pix
}
