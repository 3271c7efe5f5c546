package camera

import (
	"bytes"
	"image"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

var sent = image.Rect(0, 0, 320, 240)

// speckled is a picture whose JPEG has some bytes in each block, as a sensor's noise makes them.
func speckled(size image.Rectangle, seed uint64) *image.RGBA {
	img := paint(image.NewRGBA(size))
	noise := rand.New(rand.NewPCG(seed, 1))
	for i := range img.Pix {
		img.Pix[i] += uint8(noise.IntN(24))
	}
	return img
}

// tableless takes the Huffman tables out of a JPEG.
func tableless(tb testing.TB, data []byte) []byte {
	tb.Helper()
	for s := range segments(data) {
		if s.marker == markerDHT {
			return append(bytes.Clone(data[:s.at]), data[s.at+4+len(s.payload):]...)
		}
	}
	require.Fail(tb, "it has no tables")
	return nil
}

// garbled replaces bytes in the middle of the scan.
func garbled(data []byte) []byte {
	data = bytes.Clone(data)
	noise := rand.New(rand.NewPCG(7, 7))
	for i := len(data) / 2; i < len(data)/2+2048; i++ {
		data[i] = uint8(noise.Uint32())
	}
	return data
}

func pad(data []byte, n int) []byte { return append(bytes.Clone(data), make([]byte, n)...) }

func fromCamera() *packed {
	l := defaultLimits()
	l.size = sent.Size()
	return newPacked(l)
}

func TestJPEGFromACameraIsReadAsItsDriverLeavesIt(t *testing.T) {
	good := asJPEG(t, speckled(sent, 1))
	var want frame.Frame
	defer want.Release()
	require.NoError(t, decode(&want, good, defaultLimits()))
	filled := bytes.Replace(good, []byte{0xff, 0xda}, []byte{0xff, 0xff, 0xff, 0xda}, 1)
	p := fromCamera()
	for name, data := range map[string][]byte{
		"as a file":                    good,
		"padded":                       pad(good, 70_000),
		"without Huffman tables":       tableless(t, good),
		"padded, and without tables":   pad(tableless(t, good), 5),
		"with fill bytes at a segment": filled,
	} {
		t.Run(name, func(t *testing.T) {
			var f frame.Frame
			defer f.Release()
			require.NoError(t, p.decode(&f, data))
			require.Equal(t, [3]int{320, 240, 3}, [3]int{f.Width, f.Height, f.Channels})
			require.Equal(t, want.Pix, f.Pix)
		})
	}
}

// Fault 15.
func TestFault15DamagedJPEGFromACameraIsNeverThePictureBefore(t *testing.T) {
	good := asJPEG(t, speckled(sent, 2))
	half := len(good) / 2
	lost := append(bytes.Clone(good[:half]), good[half+3000:]...)
	small := asJPEG(t, speckled(image.Rect(0, 0, 64, 48), 1))
	tables := bytes.Replace(good, []byte{0xff, 0xc4, 1}, []byte{0xff, 0xc4, 0}, 1)
	p := fromCamera()
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"truncated":                     {data: good[:half], want: "truncated"},
		"truncated and padded":          {data: pad(good[:half], half), want: "truncated"},
		"without its last byte":         {data: good[:len(good)-1], want: "truncated"},
		"a lost packet in the middle":   {data: lost, want: "decode it"},
		"a lost packet, without tables": {data: tableless(t, lost), want: "decode it"},
		"garbled":                       {data: garbled(good), want: "decode it"},
		"garbled tables":                {data: tables, want: "decode it"},
		"of another size":               {data: small, want: "64x48 pixels, but the driver agreed on"},
		"of a size that nothing has":    {data: claim(good, 65500, 65500), want: "agreed on 320x240"},
		"another kind of image":         {data: asPNG(t, speckled(sent, 1)), want: "no JPEG"},
		"the middle of a frame":         {data: good[half:], want: "no JPEG"},
		"zeros":                         {data: make([]byte, 100_000), want: "no JPEG"},
		"nothing":                       {data: nil, want: "the 0 bytes from the camera are no JPEG"},
	} {
		t.Run(name, func(t *testing.T) {
			var f frame.Frame
			defer f.Release()
			require.NoError(t, p.decode(&f, asJPEG(t, speckled(sent, 3))))
			before := bytes.Clone(f.Pix)
			err := p.decode(&f, tt.data)
			require.ErrorIs(t, err, ErrBadFrame)
			require.ErrorContains(t, err, tt.want)
			require.Equal(t, before, f.Pix, "nothing of it is mixed into a frame")
		})
	}
}

// rounded is a JPEG whose length is a multiple of four, which nothing pads.
func rounded(t *testing.T) []byte {
	t.Helper()
	for seed := range uint64(100) {
		if data := asJPEG(t, speckled(sent, seed)); len(data)%4 == 0 {
			return data
		}
	}
	require.Fail(t, "none has such a length")
	return nil
}

// OpenCV cuts a picture off at the length of the one before, where that rounds up to its own.
func TestEndThatOpenCVCutsOffIsAddedAndNothingElse(t *testing.T) {
	good := rounded(t)
	flat := asJPEG(t, image.NewGray(sent))
	for _, tt := range []struct {
		cut, before int
		want        string
	}{
		{cut: 1, before: 1},
		{cut: 2, before: 2},
		{cut: 3, before: 3, want: "truncated"},
		{cut: 1, before: 5, want: "truncated"},
		{cut: 2, before: 6, want: "truncated"},
		{cut: 1022, before: 1022, want: "decode it"},
	} {
		p := fromCamera()
		var f, want frame.Frame
		p.follows(len(good) - tt.before)
		require.NoError(t, p.decode(&f, pad(flat, len(good)-tt.before-len(flat))))
		p.follows(len(good) - tt.cut)
		err := p.decode(&f, good[:len(good)-tt.cut])
		if tt.want != "" {
			require.ErrorIs(t, err, ErrBadFrame)
			require.ErrorContains(t, err, tt.want)
		} else {
			require.NoError(t, err)
			require.NoError(t, decode(&want, good, defaultLimits()))
			require.Equal(t, want.Pix, f.Pix)
		}
		f.Release()
		want.Release()
	}
}

func TestJPEGFromACameraIsGrayWhereThatIsAskedFor(t *testing.T) {
	p := fromCamera()
	p.limits.gray = true
	var f frame.Frame
	defer f.Release()
	require.NoError(t, p.decode(&f, tableless(t, asJPEG(t, speckled(sent, 1)))))
	require.Equal(t, 1, f.Channels)
}

func FuzzPacked(f *testing.F) {
	good := asJPEG(f, speckled(image.Rect(0, 0, 16, 16), 1))
	f.Add(good)
	f.Add(tableless(f, good))
	f.Add(good[:len(good)/2])
	f.Add(sof(markerSOF2, 3, 16, 16))
	l := limits{side: 64, pixels: 64 * 64, bytes: 1 << 16, size: image.Pt(16, 16)}
	p := newPacked(l)
	f.Fuzz(func(t *testing.T, data []byte) {
		var fr frame.Frame
		defer fr.Release()
		if err := p.decode(&fr, data); err != nil {
			require.ErrorIs(t, err, ErrBadFrame)
			require.Nil(t, fr.Pix)
			return
		}
		require.Equal(t, [2]int{16, 16}, [2]int{fr.Width, fr.Height})
	})
}

// A clock of the test's own: of the pictures, those that lie in the queue take a millisecond each.
func TestPictureThatLayInTheDriverIsPassedOver(t *testing.T) {
	for name, tt := range map[string]struct {
		takes []int64 // milliseconds of the reads
		queue int
		reads int
	}{
		"it comes as it is awaited":         {takes: []int64{20, 1}, queue: 4, reads: 1},
		"two came during a decoding":        {takes: []int64{1, 1, 20, 1}, queue: 4, reads: 3},
		"all come faster than can be told":  {takes: []int64{1, 1, 1, 1, 1, 1, 1}, queue: 4, reads: 5},
		"of triggered ones, each is wanted": {takes: []int64{1, 20}, queue: 0, reads: 1},
		"the queue is not known":            {takes: []int64{1, 20}, queue: -1, reads: 1},
	} {
		t.Run(name, func(t *testing.T) {
			clock, n := int64(0), 0
			at, ok := newest(func() bool {
				clock += tt.takes[n] * int64(time.Millisecond)
				n++
				return true
			}, func() int64 { return clock }, tt.queue)
			require.True(t, ok)
			require.Equal(t, tt.reads, n)
			require.Equal(t, clock, at)
		})
	}
	n := 0
	_, ok := newest(func() bool { n++; return false }, func() int64 { return 0 }, 4)
	require.False(t, ok)
	require.Equal(t, 1, n)
}

// Each table has as many values as it counts codes, and no value twice.
func TestUsualTablesFillTheirSegment(t *testing.T) {
	tables := usualTables()
	require.Len(t, tables, 2+(int(tables[2])<<8|int(tables[3])))
	var codes []int
	for rest := tables[4:]; len(rest) > 0; {
		n := 0
		for _, c := range rest[1:17] {
			n += int(c)
		}
		values := map[byte]bool{}
		for _, v := range rest[17 : 17+n] {
			values[v] = true
		}
		require.Len(t, values, n)
		codes, rest = append(codes, n), rest[17+n:]
	}
	require.Equal(t, []int{12, 162, 12, 162}, codes)
}

// arrives is a source that decodes for a while after its picture's arrival at 42.
type arrives struct{ reads }

func (*arrives) arrivedNs() int64 { return 42 }

func TestDecodingDoesNotMakeAPictureYounger(t *testing.T) {
	var stuck atomic.Int32
	from := &arrives{reads{read: picture}}
	r := startReader(func() (source, error) { return from, nil }, func() int64 { return 99 }, &stuck)
	require.NoError(t, (<-r.done).err)
	var f frame.Frame
	defer f.Release()
	r.jobs <- &f
	got := <-r.done
	require.NoError(t, got.err)
	require.EqualValues(t, 42, got.at)
	require.True(t, r.stop(10*time.Second))
}
