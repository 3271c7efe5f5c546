package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"

	_ "golang.org/x/image/bmp" // what a worker reads
	"golang.org/x/image/draw"
	_ "golang.org/x/image/tiff"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
)

const (
	maxSheetSide   = 16384 // as the worker's
	leastMark      = 12    // pixels of a mark's side, so that it is seen in the reduced picture
	markWidth      = 2
	pictureQuality = 90
)

// drawSheet writes a reduced copy of an image that a worker has read, with the detections framed.
func drawSheet(to, from string, width int, found []sheetDefect) error {
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("open image: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	size, _, err := image.DecodeConfig(f)
	if err != nil {
		return fmt.Errorf("draw %s: %w", from, err)
	}
	if size.Width > maxSheetSide || size.Height > maxSheetSide {
		return fmt.Errorf("draw %s: it has %d×%d pixels; at most %d a side are read", from, size.Width,
			size.Height, maxSheetSide)
	}
	if _, err = f.Seek(0, 0); err != nil {
		return fmt.Errorf("read image: %w", err)
	}
	sheet, _, err := image.Decode(f)
	if err != nil {
		return fmt.Errorf("draw %s: %w", from, err)
	}
	var out bytes.Buffer
	picture := reduced(sheet, width, found)
	if err := jpeg.Encode(&out, picture, &jpeg.Options{Quality: pictureQuality}); err != nil {
		return fmt.Errorf("encode picture: %w", err)
	}
	return fsutil.WriteFile(fsutil.OS{}, to, out.Bytes(), 0o600)
}

func reduced(sheet image.Image, width int, found []sheetDefect) *image.RGBA {
	size := sheet.Bounds().Size()
	scale := min(float64(width)/float64(size.X), 1)
	side := func(pixels int) int { return max(int(float64(pixels)*scale), 1) }
	small := image.NewRGBA(image.Rect(0, 0, side(size.X), side(size.Y)))
	draw.ApproxBiLinear.Scale(small, small.Rect, sheet, sheet.Bounds(), draw.Src, nil)
	for i := range found {
		b := &found[i].Box
		at := func(v float32) int { return int(float64(v) * scale) }
		mark(small, image.Rect(at(b[0]), at(b[1]), at(b[2]), at(b[3])))
	}
	return small
}

// mark frames a box, from outside.
func mark(small *image.RGBA, box image.Rectangle) {
	grow := image.Pt(max(leastMark-box.Dx(), 0)/2+markWidth, max(leastMark-box.Dy(), 0)/2+markWidth)
	outer := image.Rectangle{box.Min.Sub(grow), box.Max.Add(grow)}
	inner := outer.Inset(markWidth)
	ink := image.NewUniform(color.RGBA{213, 60, 0, 255})
	for _, side := range []image.Rectangle{
		{outer.Min, image.Pt(outer.Max.X, inner.Min.Y)},
		{image.Pt(outer.Min.X, inner.Max.Y), outer.Max},
		{outer.Min, image.Pt(inner.Min.X, outer.Max.Y)},
		{image.Pt(inner.Max.X, outer.Min.Y), outer.Max},
	} {
		draw.Draw(small, side, ink, image.Point{}, draw.Src)
	}
}
