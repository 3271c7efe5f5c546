package camera

import (
	"encoding/binary"
	"iter"
)

// Markers of a JPEG: the second byte, behind 0xff (ITU-T T.81, table B.1).
const (
	markerSOF0 = 0xc0 // baseline
	markerSOF1 = 0xc1 // extended sequential
	markerSOF2 = 0xc2 // progressive
	markerDHT  = 0xc4
	markerEOI  = 0xd9
	markerSOS  = 0xda
)

// segment is one marker segment of a JPEG.
type segment struct {
	marker  byte
	at      int // where its marker begins
	payload []byte
}

// segments walks to the first scan, and yields that as the last. What lies between segments is passed over
// as image/jpeg does it, so that nothing hides there.
func segments(data []byte) iter.Seq[segment] {
	return func(yield func(segment) bool) {
		for i := 2; i+4 <= len(data); {
			marker := data[i+1]
			if data[i] != 0xff || marker == 0 || marker == 0xff || 0xd0 <= marker && marker < markerEOI {
				i++ // no marker, a fill byte, or a restart marker without a length
				continue
			}
			end := i + 2 + int(binary.BigEndian.Uint16(data[i+2:]))
			if marker == markerEOI || end < i+4 || end > len(data) {
				return
			}
			if !yield(segment{marker: marker, at: i, payload: data[i+4 : end]}) || marker == markerSOS {
				return
			}
			i = end
		}
	}
}

// jpegBytes is what image/jpeg takes for one pixel: a byte in the plane of each component, and of a
// progressive JPEG a coefficient of four bytes as well, which it keeps until the last scan is read.
func jpegBytes(data []byte) int64 {
	const planes = 3 // CMYK has four, and is rare enough for the smaller bound
	for s := range segments(data) {
		switch s.marker {
		case markerSOF0, markerSOF1:
			return planes
		case markerSOF2:
			const componentsAt = 5
			if len(s.payload) <= componentsAt {
				return planes
			}
			return 5 * int64(s.payload[componentsAt])
		}
	}
	return planes
}
