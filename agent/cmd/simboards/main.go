// Command simboards writes simulated boards with their labels in the deeppcb layout, to train and to evaluate
// detectors on.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"

	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

type settings struct {
	out     string
	boards  uint64
	first   uint64
	quality [2]int // of the inspected board, of its template
	line    sim.Options
}

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "simboards:", err)
		os.Exit(1)
	}
}

func run(args []string, progress io.Writer) error {
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	r, err := sim.NewRenderer(s.line)
	if err != nil {
		return err
	}
	for _, dir := range []string{"images", "labels"} {
		if err := os.MkdirAll(filepath.Join(s.out, dir), 0o750); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	return export(s, r, progress)
}

func parse(args []string, progress io.Writer) (settings, error) {
	s := settings{line: sim.DefaultOptions()}
	f := flag.NewFlagSet("simboards", flag.ContinueOnError)
	f.SetOutput(progress)
	f.StringVar(&s.out, "out", "", "folder to write images/ and labels/ into")
	f.Uint64Var(&s.boards, "boards", 100, "number of boards")
	f.Uint64Var(&s.first, "first", 0, "index of the first board, to continue a set")
	f.IntVar(&s.quality[0], "quality", 75, "JPEG quality of the boards, 1 to 100")
	f.IntVar(&s.quality[1], "template-quality", 95, "JPEG quality of the templates, 1 to 100")
	f.Uint64Var(&s.line.Seed, "seed", 1, "seed of the line")
	f.Uint64Var(&s.line.Product, "product", 0, "all boards are of this one; 0: each has a layout of its own")
	f.Float64Var(&s.line.Defects, "defects", 3, "mean number on a defective board, 0 or at least 1")
	f.Float64Var(&s.line.Clean, "clean", 0.1, "share of boards without defects, 0 to 1")
	f.IntVar(&s.line.Width, "width", 640, "width in pixels")
	f.IntVar(&s.line.Height, "height", 640, "height in pixels")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	s.line.Exact = true // the JPEG encoder adds its own noise
	switch {
	case f.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q: everything is a flag, see -help", f.Arg(0))
	case s.out == "":
		return s, errors.New("-out is missing: name the folder to write to")
	case min(s.quality[0], s.quality[1]) < 1 || max(s.quality[0], s.quality[1]) > 100:
		return s, fmt.Errorf("qualities are %d and %d; they must be from 1 to 100",
			s.quality[0], s.quality[1])
	}
	return s, nil
}

func export(s settings, r *sim.Renderer, progress io.Writer) error {
	img := image.NewGray(image.Rect(0, 0, s.line.Width, s.line.Height))
	var truth []sim.Truth
	defects := 0
	for n := range s.boards {
		index := s.first + n
		base := filepath.Join(s.out, "images", id(s, index))
		truth = r.Render(index, img.Pix, truth[:0])
		if err := writeJPEG(base+"_test.jpg", img, s.quality[0]); err != nil {
			return err
		}
		r.Template(index, img.Pix)
		if err := writeJPEG(base+"_temp.jpg", img, s.quality[1]); err != nil {
			return err
		}
		if err := writeLabels(filepath.Join(s.out, "labels", id(s, index)+".txt"), truth); err != nil {
			return err
		}
		defects += len(truth)
		if (n+1)%100 == 0 || n+1 == s.boards {
			_, _ = fmt.Fprintf(progress, "simboards: %d of %d boards, %d defects\n", n+1, s.boards, defects)
		}
	}
	return nil
}

// id names a board by its seed, so that sets of different seeds can share a folder, and by its index.
func id(s settings, index uint64) string { return fmt.Sprintf("sim%d-%06d", s.line.Seed, index) }

func writeJPEG(path string, img image.Image, quality int) error {
	return write(path, func(w io.Writer) error {
		return jpeg.Encode(w, img, &jpeg.Options{Quality: quality})
	})
}

// writeLabels writes `x1 y1 x2 y2 class`: inclusive pixels, classes from 1.
func writeLabels(path string, truth []sim.Truth) error {
	return write(path, func(w io.Writer) error {
		for _, t := range truth {
			x1, y1, x2, y2 := int(t.Box[0]), int(t.Box[1]), int(t.Box[2])-1, int(t.Box[3])-1
			if _, err := fmt.Fprintln(w, x1, y1, x2, y2, t.Class+1); err != nil {
				return err
			}
		}
		return nil
	})
}

func write(path string, fill func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create file: %w", err)
	}
	b := bufio.NewWriter(f)
	err = errors.Join(fill(b), b.Flush(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
