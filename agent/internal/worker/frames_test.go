package worker

import (
	"bytes"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// noise is a picture that no PNG makes much smaller.
func noise(tb testing.TB, dir string, side int) *image.Gray {
	tb.Helper()
	picture := image.NewGray(image.Rect(0, 0, side, side))
	random := rand.New(rand.NewPCG(3, 4))
	for i := range picture.Pix {
		picture.Pix[i] = byte(random.Uint32())
	}
	var b bytes.Buffer
	require.NoError(tb, png.Encode(&b, picture))
	require.NoError(tb, os.WriteFile(filepath.Join(dir, "noise.png"), b.Bytes(), 0o600))
	return picture
}

// frame reads a frame as it came, of a part, in all of its messages, and the pictures before it.
func (s *supervisor) frame(job uint64) (picture image.Image, messages int, drawn []int32) {
	s.Helper()
	var whole []byte
	for {
		m := expect(s, wire.KindEvidence, &wire.Evidence{})
		require.Equal(s, job, m.GetJob())
		if m.GetN() != wire.PlainFrame {
			drawn = append(drawn, m.GetN())
			continue
		}
		messages++
		require.LessOrEqual(s, len(m.GetJpeg()), chunk)
		if whole = append(whole, m.GetJpeg()...); !m.GetMore() {
			picture, err := png.Decode(bytes.NewReader(whole))
			require.NoError(s, err)
			return picture, messages, drawn
		}
	}
}

func TestAFrameIsSentAsItCameAlsoOfAPartThatPassed(t *testing.T) {
	dir := t.TempDir()
	want := noise(t, dir, 800)
	station := simStation(t)
	station.Camera = "dir:" + dir + "?loop=true"
	s := start(t, scripted(twoDetections), station)
	s.ready()
	for job, settle := range []*wire.Settle{
		{Sample: true, Verdict: "PASS"},
		{
			Sample: true, Verdict: "FAIL", Evidence: true,
			Defects: []*wire.Detection{{X1: 1, Y1: 1, X2: 9, Y2: 9}},
		},
	} {
		settle.Job = uint64(job)
		s.inspect(settle.Job, 0)
		s.exposed()
		s.inspected()
		require.NoError(t, s.conn.Send(wire.KindSettle, settle))
		got, messages, drawn := s.frame(settle.Job)
		require.Greater(t, messages, 1, "a long message would hold an answer up")
		require.Equal(t, want.Bounds(), got.Bounds())
		for y := range 800 {
			for x := range 800 {
				r, g, b, _ := got.At(x, y).RGBA()
				v := uint32(want.GrayAt(x, y).Y)
				require.Equal(t, [3]uint32{v, v, v}, [3]uint32{r >> 8, g >> 8, b >> 8})
			}
		}
		require.Equal(t, [][]int32{nil, {0, 1}}[job], drawn, "evidence goes first")
	}
}

// Each frame is either sent or counted, and none is lost to the camera.
func TestFramesThatComeTooFastAreDroppedAndCounted(t *testing.T) {
	dir := t.TempDir()
	noise(t, dir, 800)
	station := simStation(t)
	station.Camera = "dir:" + dir + "?loop=true"
	s := start(t, scripted(twoDetections), station)
	s.ready()
	const parts = 40
	s.inspect(0, 0)
	for sent, dropped := 0, 0; sent+dropped < parts; {
		kind, payload, err := s.conn.Receive()
		require.NoError(t, err)
		switch kind {
		case wire.KindInspected:
			m := &wire.Inspected{}
			require.NoError(t, s.conn.Decode(payload, m))
			require.Equal(t, wire.Fault_FAULT_NONE, m.GetFault())
			require.NoError(t, s.conn.Send(wire.KindSettle, &wire.Settle{Job: m.GetJob(), Sample: true}))
			if m.GetJob()+1 < parts {
				s.inspect(m.GetJob()+1, 0)
			}
		case wire.KindEvidence:
			m := &wire.Evidence{}
			require.NoError(t, s.conn.Decode(payload, m))
			if !m.GetMore() {
				sent++
			}
		case wire.KindHeartbeat:
			m := &wire.Heartbeat{}
			require.NoError(t, s.conn.Decode(payload, m))
			dropped = int(m.GetStations()[0].GetSamplesDropped())
		default: // exposures
		}
	}
}
