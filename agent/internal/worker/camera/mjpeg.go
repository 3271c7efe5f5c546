package camera

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// packed decodes what a video device sends as JPEG. Not safe for concurrent use.
type packed struct {
	limits limits
	tables []byte // a segment with the usual Huffman tables
	buf    []byte // a picture together with them, reused
	length int    // in bytes of the picture
	before int    // and of the one before it
}

func newPacked(l limits) *packed { return &packed{limits: l, tables: usualTables()} }

// decode fills f with one buffer of the device, by the rules for image files: a damaged one is an error and
// leaves f as it was. Each picture is decoded into memory of its own, so that none shows the one before.
func (p *packed) decode(f *frame.Frame, data []byte) error {
	if sniff(data) != formatJPEG {
		return fmt.Errorf("%w: the %d bytes from the camera are no JPEG; check its cable and its power",
			ErrBadFrame, len(data))
	}
	return decode(f, p.complete(p.uncut(data)), p.limits)
}

// follows tells of each picture that OpenCV reads, decoded or not.
func (p *packed) follows(length int) { p.before, p.length = p.length, length }

// uncut adds the end marker where OpenCV has cut it off: a picture whose length is that of the one before,
// rounded up to four bytes, gets the other's header and so its length. Where the cut was deeper, or the
// picture is not complete, its decoding fails.
func (p *packed) uncut(data []byte) []byte {
	n := len(data)
	switch {
	case n != p.before || ended(data):
		return data
	case n%4 == 3 && data[n-1] == 0xff:
		return append(slices.Clip(data), markerEOI)
	case n%4 == 2:
		return append(slices.Clip(data), 0xff, markerEOI)
	default:
		return data
	}
}

// complete returns a JPEG that has Huffman tables: many cameras leave out the usual ones, as AVI does.
func (p *packed) complete(data []byte) []byte {
	for s := range segments(data) {
		switch s.marker {
		case markerDHT:
			return data
		case markerSOS:
			p.buf = append(p.buf[:0], data[:s.at]...)
			p.buf = append(p.buf, p.tables...)
			p.buf = append(p.buf, data[s.at:]...)
			return p.buf
		}
	}
	return data
}

// waited tells a picture that came from one that lay there: longer than copying it takes.
const waited = 5 * time.Millisecond

// newest reads until a picture had to be waited for, and returns when it came. While one is decoded, others
// fill the driver's queue; read one by one they would be taken for younger than they are. Behind as many as
// the queue holds comes one that arrived since.
func newest(read func() bool, now func() int64, queue int) (atNs int64, ok bool) {
	for range max(queue, 0) + 1 {
		asked := now()
		if !read() {
			return now(), false
		}
		if atNs = now(); atNs-asked >= int64(waited) {
			break
		}
	}
	return atNs, true
}

// usualTables is a DHT segment with the tables of ITU-T T.81, annex K.3: for each its class and number, how
// many codes there are of 1 to 16 bits, and their values.
func usualTables() []byte {
	text := "ffc401a2" +
		"00 00010501010101010100000000000000 000102030405060708090a0b" +
		"10 0002010303020403050504040000017d" +
		"01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728" +
		"292a3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a83848586878889" +
		"8a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2" +
		"e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa" +
		"01 00030101010101010101010000000000 000102030405060708090a0b" +
		"11 00020102040403040705040400010277" +
		"000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a26" +
		"2728292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a828384858687" +
		"88898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9da" +
		"e2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
	tables, _ := hex.DecodeString(strings.ReplaceAll(text, " ", "")) // a constant; its test decodes with it
	return tables
}
