package worker

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

// goldenPicture writes what a good board of a simulated product looks like.
func goldenPicture(t *testing.T, product uint64) *wire.Template {
	t.Helper()
	o := sim.DefaultOptions()
	o.Product, o.Seed = product, 3
	r, err := sim.NewRenderer(o)
	require.NoError(t, err)
	picture := image.NewGray(image.Rect(0, 0, o.Width, o.Height))
	r.Template(0, picture.Pix)
	var raw bytes.Buffer
	require.NoError(t, png.Encode(&raw, picture))
	path := filepath.Join(t.TempDir(), "template.png")
	require.NoError(t, os.WriteFile(path, raw.Bytes(), 0o600))
	return &wire.Template{Path: path}
}

func (s *supervisor) picture() image.Image {
	e := expect(s, wire.KindEvidence, &wire.Evidence{})
	picture, err := jpeg.Decode(bytes.NewReader(e.GetJpeg()))
	require.NoError(s, err)
	return picture
}

// tinted counts the pixels of a part of a picture that have one of the two tints.
func tinted(picture image.Image, part image.Rectangle) (missing, extra int) {
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			r, g, b, _ := picture.At(x, y).RGBA()
			switch {
			case r>>8 > 200 && g>>8 < 110 && b>>8 > 100:
				missing++
			case r>>8 < 90 && g>>8 > 90 && b>>8 > 130:
				extra++
			}
		}
	}
	return missing, extra
}

func TestPicturesShowWhatDiffersFromTheTemplate(t *testing.T) {
	for name, c := range map[string]*wire.StationConfig{
		"each frame brings its own": {Camera: "sim:?seed=3&clean=0&template=1"},
		"the station's own":         {Camera: "sim:?seed=3&clean=0&product=7", Template: goldenPicture(t, 7)},
	} {
		t.Run(name, func(t *testing.T) {
			c.Name, c.Method, c.MaxCrops = "line1/aoi-1", methodCompare, 1
			s := start(t, scripted(twoDetections), c)
			s.ready()
			missing, extra := 0, 0
			for job := range uint64(6) {
				s.inspect(job, 0)
				s.exposed()
				found := s.inspected()
				require.Equal(t, wire.Fault_FAULT_NONE, found.GetFault(), found.GetFaultText())
				require.NotEmpty(t, found.GetDetections())
				require.NoError(t, s.conn.Send(wire.KindSettle, &wire.Settle{
					Job: job, Evidence: true, Verdict: "FAIL", Defects: found.GetDetections()[:1],
				}))
				whole := s.picture()
				banner := whole.Bounds().Dy() - 640
				m, e := tinted(whole, image.Rect(0, banner, 640, banner+640))
				missing, extra = missing+m, extra+e
				crop := s.picture()
				require.Zero(t, (crop.Bounds().Dx()-2*8)%3, "three panels")
				require.GreaterOrEqual(t, max((crop.Bounds().Dx()-2*8)/3, crop.Bounds().Dy()-32), 240)
				m, e = tinted(crop, crop.Bounds())
				require.Positive(t, m+e)
			}
			require.Greater(t, missing, 100)
			require.Greater(t, extra, 100)
		})
	}
}

func TestAPartThatItsTemplateDoesNotFitHasAPictureThatShowsWhy(t *testing.T) {
	s := start(t, scripted(twoDetections), &wire.StationConfig{
		Name: "line1/aoi-1", Camera: "sim:?seed=3&product=7", Method: methodCompare,
		Template: goldenPicture(t, 8),
	})
	s.ready()
	for job, settledFirst := range []bool{false, true} {
		settle := &wire.Settle{Job: uint64(job), Evidence: true, Verdict: "UNKNOWN"}
		s.inspect(settle.Job, 0)
		s.exposed()
		if settledFirst {
			require.NoError(t, s.conn.Send(wire.KindSettle, settle))
		}
		got := s.inspected()
		require.Equal(t, wire.Fault_FAULT_UNALIGNED, got.GetFault())
		require.NotZero(t, got.GetExposedNs(), "the supervisor settles what was exposed")
		require.EqualValues(t, 640, got.GetWidth())
		if !settledFirst {
			require.NoError(t, s.conn.Send(wire.KindSettle, settle))
		}
		picture := s.picture()
		require.Equal(t, 3*640+2*8, picture.Bounds().Dx(), "board, template and difference")
	}
}

func TestAFrameOfAnotherSizeThanItsTemplateIsDrawnAlone(t *testing.T) {
	s := start(t, scripted(twoDetections), &wire.StationConfig{
		Name: "line1/aoi-1", Camera: "sim:?width=320&height=320", Method: methodCompare,
		Template: goldenPicture(t, 8),
	})
	s.ready()
	s.inspect(1, 0)
	s.exposed()
	require.Equal(t, wire.Fault_FAULT_UNALIGNED, s.inspected().GetFault())
	require.NoError(t, s.conn.Send(wire.KindSettle, &wire.Settle{Job: 1, Evidence: true, Verdict: "UNKNOWN"}))
	require.Equal(t, 320, s.picture().Bounds().Dx())
}
