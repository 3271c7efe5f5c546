package camera

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
)

// BenchmarkNext is what the camera costs a stepped part: the request, the copy of a kept board of two
// megapixels and both hand-overs between goroutines. handover_ns is from the frame complete in memory to
// its caller.
func BenchmarkNext(b *testing.B) {
	c, err := Start(b.Context(), "sim:?width=1920&height=1080&prerender=4", Options{})
	require.NoError(b, err)
	var handover int64
	for b.Loop() {
		f, err := c.Next(b.Context(), 0, in(10*time.Second))
		if err != nil || f.Width != 1920 {
			b.Fatal(err)
		}
		handover += monotime.Now() - f.ExposedNs
		f.Release()
	}
	b.ReportMetric(float64(handover)/float64(b.N), "handover_ns")
	require.NoError(b, c.Close())
}

// BenchmarkDecode reads a board of the size of the data set's.
func BenchmarkDecode(b *testing.B) {
	data := asJPEG(b, paint(image.NewGray(image.Rect(0, 0, 640, 640))))
	var f frame.Frame
	defer f.Release()
	for b.Loop() {
		if err := decode(&f, data, defaultLimits()); err != nil || f.Channels != 1 {
			b.Fatal(err)
		}
	}
}

// BenchmarkPacked decodes what a camera of two megapixels sends, without Huffman tables.
func BenchmarkPacked(b *testing.B) {
	size := image.Rect(0, 0, 1920, 1080)
	var data bytes.Buffer
	require.NoError(b, jpeg.Encode(&data, speckled(size, 1), &jpeg.Options{Quality: 85}))
	sent, p := tableless(b, data.Bytes()), newPacked(defaultLimits())
	var f frame.Frame
	defer f.Release()
	for b.Loop() {
		if err := p.decode(&f, sent); err != nil || f.Width != 1920 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(sent)), "jpeg_bytes")
}
