package camera

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/sightline-edge/sightline/agent/internal/frame"
)

// paint fills any image with a gradient whose channels differ.
func paint[T interface {
	image.Image
	Set(x, y int, c color.Color)
}](img T) T {
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			img.Set(x, y, shade(x, y))
		}
	}
	return img
}

func shade(x, y int) color.NRGBA {
	return color.NRGBA{R: uint8(40 + 3*x), G: uint8(90 + 2*y), B: uint8(200 - x - y), A: 255}
}

func encoded(tb testing.TB, encode func(*bytes.Buffer) error) []byte {
	tb.Helper()
	var b bytes.Buffer
	require.NoError(tb, encode(&b))
	return b.Bytes()
}

func asPNG(tb testing.TB, img image.Image) []byte {
	tb.Helper()
	return encoded(tb, func(b *bytes.Buffer) error { return png.Encode(b, img) })
}

func asJPEG(tb testing.TB, img image.Image) []byte {
	tb.Helper()
	return encoded(tb, func(b *bytes.Buffer) error {
		return jpeg.Encode(b, img,
			&jpeg.Options{Quality: 100})
	})
}

func TestColourBecomesBGR(t *testing.T) {
	size := image.Rect(0, 0, 41, 23)
	for name, tt := range map[string]struct {
		data  []byte
		delta float64
	}{
		"png rgb":    {data: asPNG(t, paint(image.NewRGBA(size)))},
		"png rgba":   {data: asPNG(t, translucent(paint(image.NewNRGBA(size))))},
		"png 48 bit": {data: asPNG(t, paint(image.NewRGBA64(size)))},
		"png 64 bit": {data: asPNG(t, paint(image.NewNRGBA64(size)))},
		"jpeg 4:2:0": {data: asJPEG(t, paint(image.NewRGBA(size))), delta: 8},
		"bmp": {data: encoded(t, func(b *bytes.Buffer) error {
			return bmp.Encode(b,
				paint(image.NewRGBA(size)))
		})},
		"tiff": {data: encoded(t, func(b *bytes.Buffer) error {
			return tiff.Encode(b,
				paint(image.NewRGBA(size)), nil)
		})},
		"tiff deflate": {data: encoded(t, func(b *bytes.Buffer) error {
			return tiff.Encode(b, paint(image.NewNRGBA(size)), &tiff.Options{Compression: tiff.Deflate})
		})},
	} {
		t.Run(name, func(t *testing.T) {
			var f frame.Frame
			defer f.Release()
			require.NoError(t, decode(&f, tt.data, defaultLimits()))
			require.Equal(t, []int{41, 23, 3, 123}, []int{f.Width, f.Height, f.Channels, f.Stride})
			for y := range f.Height {
				for x := range f.Width {
					want, at := shade(x, y), f.Pix[y*f.Stride+3*x:]
					require.InDelta(t, want.B, at[0], tt.delta, "blue at %d,%d", x, y)
					require.InDelta(t, want.G, at[1], tt.delta, "green at %d,%d", x, y)
					require.InDelta(t, want.R, at[2], tt.delta, "red at %d,%d", x, y)
				}
			}
		})
	}
}

func translucent(img *image.NRGBA) *image.NRGBA {
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 100
	}
	return img
}

func TestGrayStaysOneChannel(t *testing.T) {
	size := image.Rect(0, 0, 41, 23)
	gray := paint(image.NewGray(size))
	palette := make(color.Palette, 256)
	for i := range palette {
		palette[i] = color.Gray{Y: uint8(i)}
	}
	paletted := image.NewPaletted(size, palette)
	copy(paletted.Pix, gray.Pix)
	for name, tt := range map[string]struct {
		data  []byte
		delta float64
	}{
		"png":         {data: asPNG(t, gray)},
		"png 16 bit":  {data: asPNG(t, paint(image.NewGray16(size))), delta: 1},
		"png palette": {data: asPNG(t, paletted)},
		"jpeg":        {data: asJPEG(t, gray), delta: 3},
		"bmp":         {data: encoded(t, func(b *bytes.Buffer) error { return bmp.Encode(b, gray) })},
		"tiff":        {data: encoded(t, func(b *bytes.Buffer) error { return tiff.Encode(b, gray, nil) })},
	} {
		t.Run(name, func(t *testing.T) {
			var f frame.Frame
			defer f.Release()
			require.NoError(t, decode(&f, tt.data, defaultLimits()))
			require.Equal(t, []int{41, 23, 1, 41}, []int{f.Width, f.Height, f.Channels, f.Stride})
			for i, v := range gray.Pix {
				require.InDelta(t, v, f.Pix[i], tt.delta, "sample %d", i)
			}
		})
	}
}

func TestColouredPaletteBecomesBGR(t *testing.T) {
	img := image.NewPaletted(image.Rect(0, 0, 3, 1), color.Palette{
		color.NRGBA{R: 10, G: 20, B: 30, A: 255}, color.NRGBA{R: 255, A: 255},
	})
	img.Pix = []byte{0, 1, 0}
	var f frame.Frame
	defer f.Release()
	require.NoError(t, decode(&f, asPNG(t, img), defaultLimits()))
	require.Equal(t, []byte{30, 20, 10, 0, 0, 255, 30, 20, 10}, f.Pix)
}

// Fault 15.
func TestFault15HostileImagesAreRefusedBeforeAllocationAndLeaveNoGhost(t *testing.T) {
	good := asJPEG(t, paint(image.NewGray(image.Rect(0, 0, 640, 480))))
	withEnd := append(bytes.Clone(good[:len(good)/2]), 0xff, 0xd9)
	bomb := asPNG(t, image.NewGray(image.Rect(0, 0, 2000, 2000)))
	small := defaultLimits()
	small.pixels = 1_000_000
	for name, tt := range map[string]struct {
		data   []byte
		limits limits
		want   string
	}{
		"truncated JPEG":                  {data: good[:len(good)/2], want: "truncated"},
		"JPEG without its last byte":      {data: good[:len(good)-1], want: "truncated"},
		"truncated JPEG with a false end": {data: withEnd, want: "decode it"},
		"JPEG of 65500 pixels a side":     {data: claim(good, 65500, 65500), want: "at most 16384 a side"},
		"JPEG too small for its claim":    {data: claim(good, 16384, 16384), want: "cannot hold"},
		"JPEG without pixels":             {data: claim(good, 0, 0), want: "header"},
		"PNG of 65535 pixels a side":      {data: ihdr(65535, 65535, 8, 6), want: "at most 16384 a side"},
		"PNG too small for its claim":     {data: ihdr(16384, 16384, 8, 0), want: "cannot hold"},
		"PNG of 64 bits a pixel":          {data: ihdr(16384, 16384, 16, 6), want: "decode to more"},
		"progressive JPEG":                {data: sof(markerSOF2, 3, 7400, 7400), want: "decode to more"},
		"progressive JPEG in gray":        {data: sof(markerSOF2, 1, 12900, 12900), want: "decode to more"},
		"progressive JPEG in CMYK":        {data: sof(markerSOF2, 4, 6500, 6500), want: "decode to more"},
		"progressive JPEG behind junk": {
			data: junk(sof(markerSOF2, 3, 7400, 7400)),
			want: "decode to more",
		},
		"zip bomb": {data: bomb, limits: small, want: "4.0 megapixels; at most 1.0"},
		"text": {
			data: []byte("no image at all"),
			want: "no JPEG, PNG, BMP or TIFF",
		},
		"nothing":                          {data: nil, want: "no JPEG"},
		"only a JPEG's first bytes":        {data: good[:4], want: "header"},
		"file of more than its limit":      {data: good, limits: limits{bytes: 100}, want: "at most 100 are"},
		"TIFF whose directory lies beyond": {data: []byte("II*\x00\xff\xff\xff\x7f"), want: "header"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.limits == (limits{}) {
				tt.limits = defaultLimits()
			}
			var f frame.Frame
			defer f.Release()
			require.NoError(t, decode(&f, good, defaultLimits()))
			before := bytes.Clone(f.Pix)

			var err error
			taken := allocated(func() { err = decode(&f, tt.data, tt.limits) })
			require.ErrorIs(t, err, ErrBadFrame)
			require.ErrorContains(t, err, tt.want)
			require.Less(t, taken, uint64(2<<20), "bytes allocated")
			require.Equal(t, before, f.Pix, "nothing of a refused picture is mixed into a frame")
		})
	}
}

func TestJPEGWithPaddingBehindItsEndIsRead(t *testing.T) {
	data := append(asJPEG(t, paint(image.NewGray(image.Rect(0, 0, 64, 48)))), make([]byte, 512)...)
	var f frame.Frame
	defer f.Release()
	require.NoError(t, decode(&f, data, defaultLimits()))
}

func TestBlankPictureIsNoBomb(t *testing.T) {
	var f frame.Frame
	defer f.Release()
	require.NoError(t, decode(&f, asPNG(t, image.NewGray(image.Rect(0, 0, 1200, 1200))), defaultLimits()))
	require.NoError(t, decode(&f, asJPEG(t, image.NewGray(image.Rect(0, 0, 1200, 1200))), defaultLimits()))
}

// claim rewrites the size in a baseline JPEG's frame header.
func claim(data []byte, width, height uint16) []byte {
	data = bytes.Clone(data)
	at := bytes.Index(data, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(data[at+5:], height)
	binary.BigEndian.PutUint16(data[at+7:], width)
	return data
}

// sof is a JPEG of a frame header, a scan's header and as many zeros as its size needs to be believed.
func sof(marker byte, components int, width, height uint16) []byte {
	b := []byte{0xff, 0xd8, 0xff, marker, 0, byte(8 + 3*components), 8}
	b = binary.BigEndian.AppendUint16(b, height)
	b = binary.BigEndian.AppendUint16(b, width)
	b = append(b, byte(components))
	for i := range components {
		b = append(b, byte(i+1), 0x11, 0)
	}
	b = append(b, 0xff, markerSOS, 0, byte(6+2*components), byte(components))
	for i := range components {
		b = append(b, byte(i+1), 0)
	}
	b = append(b, 0, 0, 0)
	b = append(b, make([]byte, int(width)*int(height)/jpegRatio+1)...)
	return append(b, 0xff, markerEOI)
}

// junk puts before the first segment what decoders pass over.
func junk(data []byte) []byte {
	between := []byte{0xff, 0, 1, 2, 0xff, 0xd0, 0xff, 0xff}
	return append(append(bytes.Clone(data[:2]), between...), data[2:]...)
}

func TestProgressiveJPEGIsCountedWithItsCoefficients(t *testing.T) {
	for _, tt := range []struct {
		data []byte
		want int64
	}{
		{sof(markerSOF0, 3, 64, 64), 3},
		{sof(markerSOF1, 3, 64, 64), 3},
		{sof(markerSOF2, 1, 64, 64), 5},
		{sof(markerSOF2, 3, 64, 64), 15},
		{sof(markerSOF2, 4, 64, 64), 20},
		{junk(sof(markerSOF2, 3, 64, 64)), 15},
	} {
		require.Equal(t, tt.want, decodedBytes(formatJPEG, tt.data), "%x", tt.data[:24])
	}
	l := defaultLimits()
	largest := image.Config{Width: 7300, Height: 7300}
	require.NoError(t, l.check(formatJPEG, largest, sof(markerSOF2, 3, 7300, 7300)))
}

// ihdr is a PNG with a header, valid to its checksum, and nothing behind.
func ihdr(width, height uint32, depth, colour byte) []byte {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR")
	b = binary.BigEndian.AppendUint32(b, width)
	b = binary.BigEndian.AppendUint32(b, height)
	b = append(b, depth, colour, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[12:]))
}

func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func FuzzDecode(f *testing.F) {
	img := paint(image.NewRGBA(image.Rect(0, 0, 9, 7)))
	f.Add(asPNG(f, img))
	f.Add(asPNG(f, paint(image.NewGray(image.Rect(0, 0, 9, 7)))))
	f.Add(asJPEG(f, img))
	f.Add(encoded(f, func(b *bytes.Buffer) error { return bmp.Encode(b, img) }))
	f.Add(encoded(f, func(b *bytes.Buffer) error { return tiff.Encode(b, img, nil) }))
	f.Add(ihdr(65535, 65535, 8, 6))
	l := limits{side: 256, pixels: 256 * 256, bytes: 1 << 16}
	f.Fuzz(func(t *testing.T, data []byte) {
		var fr frame.Frame
		defer fr.Release()
		if err := decode(&fr, data, l); err != nil {
			require.Nil(t, fr.Pix)
			return
		}
		if len(fr.Pix) != fr.Width*fr.Height*fr.Channels || fr.Width > l.side || fr.Height > l.side {
			t.Errorf("%dx%dx%d in %d bytes", fr.Width, fr.Height, fr.Channels, len(fr.Pix))
		}
	})
}

// A sheet in colour is as gray as its luma, without its planes of colour.
func TestOfAJPEGInColourOnlyTheLumaIsKeptIfAsked(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 37, 21))
	for y := range 21 {
		for x := range 37 {
			img.SetRGBA(x, y, color.RGBA{200, 100, 40, 255})
		}
	}
	var f frame.Frame
	defer f.Release()
	l := defaultLimits()
	l.gray = true
	require.NoError(t, decode(&f, asJPEG(t, img), l))
	require.Equal(t, [3]int{37, 21, 1}, [3]int{f.Width, f.Height, f.Channels})
	for _, v := range f.Pix {
		require.InDelta(t, 0.299*200+0.587*100+0.114*40, float64(v), 3)
	}
	require.NoError(t, decode(&f, asPNG(t, img), l))
	require.Equal(t, 3, f.Channels, "all else stays what it is")
}
