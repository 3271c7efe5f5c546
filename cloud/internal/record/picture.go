package record

import (
	"bytes"
	"fmt"

	"github.com/sightline-edge/sightline/agent/topic"
)

// MaxPicture bounds one evidence picture.
const MaxPicture = 8 << 20

// Picture is one piece of evidence: N 0 is the annotated frame, 1… the crops. Its address is safe as a path.
type Picture struct {
	Station  topic.Station
	ResultID string
	N        int
	JPEG     []byte
}

// readPicture looks at the marks of a JPEG only: its decoding is left to whoever shows it.
func readPicture(at topic.Address, payload []byte) (*Picture, error) {
	switch {
	case len(payload) == 0:
		return nil, refused(Empty, "no payload")
	case len(payload) > MaxPicture:
		return nil, refused(TooLarge, fmt.Sprintf("%d bytes or more are over %d", len(payload), MaxPicture))
	case !bytes.HasPrefix(payload, []byte{0xff, 0xd8, 0xff}):
		return nil, refused(BadPicture, "it does not begin as a JPEG")
	case !bytes.HasSuffix(payload, []byte{0xff, 0xd9}):
		return nil, refused(BadPicture, "the JPEG is cut short: its end mark is missing")
	}
	return &Picture{Station: at.Station, ResultID: at.ResultID, N: at.N, JPEG: payload}, nil
}
