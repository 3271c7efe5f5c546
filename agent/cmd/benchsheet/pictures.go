package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"path/filepath"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

// pictures are of one board: whole or in part, as whoever reads the files sees it.
type pictures struct {
	board, template *image.Gray // template nil: none is wanted
}

// files are the names of pictures' files; template may be empty.
type files struct{ board, template string }

// draw draws the sheet, and its template where it is wanted, into files.
func (s *settings) draw(v *verdict) (drawn pictures, names files, err error) {
	renderer, err := sim.NewRenderer(s.line)
	if err != nil {
		return drawn, names, err
	}
	sheet := image.NewGray(image.Rect(0, 0, s.line.Width, s.line.Height))
	v.truth = renderer.Render(0, sheet.Pix, nil)
	names.board = filepath.Join(s.dir, "sheet.jpg")
	if drawn.board, err = s.save(names.board, sheet); err != nil || !s.template {
		return drawn, names, err
	}
	renderer.Template(0, sheet.Pix)
	names.template = filepath.Join(s.dir, "template.jpg")
	drawn.template, err = s.save(names.template, sheet)
	return drawn, names, err
}

// save writes a sheet, and returns it as whoever reads the file sees it.
func (s *settings) save(name string, sheet *image.Gray) (*image.Gray, error) {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, sheet, &jpeg.Options{Quality: s.quality}); err != nil {
		return nil, fmt.Errorf("encode sheet: %w", err)
	}
	if err := fsutil.WriteFile(fsutil.OS{}, name, out.Bytes(), 0o600); err != nil {
		return nil, err
	}
	read, err := jpeg.Decode(&out)
	if err != nil {
		return nil, fmt.Errorf("read sheet: %w", err)
	}
	seen, ok := read.(*image.Gray)
	if !ok {
		return nil, errors.New("read sheet: it is not gray")
	}
	return seen, nil
}

// crop writes a part of the pictures.
func (s *settings) crop(drawn *pictures, area image.Rectangle, number int) (names files, err error) {
	names.board = filepath.Join(s.dir, fmt.Sprintf("again-%04d.png", number))
	if err := writePNG(names.board, drawn.board.SubImage(area)); err != nil || drawn.template == nil {
		return names, err
	}
	names.template = filepath.Join(s.dir, fmt.Sprintf("again-%04d-template.png", number))
	return names, writePNG(names.template, drawn.template.SubImage(area))
}

func writePNG(name string, picture image.Image) error {
	var out bytes.Buffer
	if err := png.Encode(&out, picture); err != nil {
		return fmt.Errorf("encode crop: %w", err)
	}
	return fsutil.WriteFile(fsutil.OS{}, name, out.Bytes(), 0o600)
}

// around is a tile with the box in its middle, inside of the sheet.
func around(sheet image.Rectangle, box [4]float32, tile [2]int) image.Rectangle {
	place := func(low, high float32, side, limit int) int {
		return min(max(int(low+high)/2-side/2, 0), max(limit-side, 0))
	}
	corner := image.Pt(place(box[0], box[2], tile[0], sheet.Dx()), place(box[1], box[3], tile[1], sheet.Dy()))
	return image.Rectangle{corner, corner.Add(image.Pt(tile[0], tile[1]))}.Intersect(sheet)
}
