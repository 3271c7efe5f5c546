package evidence_test

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
	"github.com/sightline-edge/sightline/agent/internal/worker/evidence"
)

// BenchmarkAnnotate draws a picture with one defect, caption and JPEG included.
func BenchmarkAnnotate(b *testing.B) {
	marks := []evidence.Mark{{Name: "open", Score: 0.93, Box: [4]float32{200, 200, 300, 260}}}
	caption := evidence.Caption{Verdict: "FAIL", Text: "line1/aoi-1"}
	for _, s := range [][3]int{{640, 640, 1}, {1920, 1080, 1}, {1920, 1080, 3}} {
		b.Run(fmt.Sprintf("%dx%dx%d", s[0], s[1], s[2]), func(b *testing.B) {
			f := &frame.Frame{}
			require.NoError(b, f.Shape(s[0], s[1], s[2]))
			defer f.Release()
			for i := range f.Pix { // squares of 32 px, like traces
				f.Pix[i] = byte(i % f.Stride / s[2] / 32 % 2 * (i / f.Stride / 32 % 2) * 200)
			}
			pen := evidence.NewPen()
			var raw []byte
			for b.Loop() {
				var err error
				raw, err = pen.Annotate(f, nil, caption, marks, 85)
				require.NoError(b, err)
			}
			c, err := jpeg.DecodeConfig(bytes.NewReader(raw))
			require.NoError(b, err)
			require.Equal(b, s[0], c.Width)
		})
	}
}

// BenchmarkHeated draws the same with a map of anomalies, all of which is coloured.
func BenchmarkHeated(b *testing.B) {
	f := &frame.Frame{}
	require.NoError(b, f.Shape(1920, 1080, 3))
	defer f.Release()
	heat := &evidence.Heat{
		Levels: bytes.Repeat([]byte{200}, 256*256), Width: 256, Height: 256,
		Box: [4]float32{0, 0, 1920, 1080},
	}
	pen := evidence.NewPen()
	var raw []byte
	for b.Loop() {
		var err error
		raw, err = pen.Heated(f, heat, evidence.Caption{Verdict: "FAIL"}, nil, 85)
		require.NoError(b, err)
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(raw))
	require.NoError(b, err)
	require.Equal(b, 1920, c.Width)
}
