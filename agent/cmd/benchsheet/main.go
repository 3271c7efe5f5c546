// Command benchsheet draws a large simulated sheet, lets sightline-agent inspect it in tiles, and judges
// time, memory, and what became of the defects on seams.
package main

import (
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"os"
	"runtime"

	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
)

// The bars: of an inspection's time to that of the model alone, and of the worker's memory.
const (
	maxRatio = 1.1
	maxPeak  = 3 << 29
)

var errBar = errors.New("a bar is missed")

type settings struct {
	dir, agent, worker, bundle string
	overlap, threads           int
	template                   bool
	line                       sim.Options
	quality                    int
}

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "benchsheet:", err)
		os.Exit(1)
	}
}

func run(args []string, out, progress io.Writer) error {
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	if err = os.MkdirAll(s.dir, 0o750); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	_, _ = fmt.Fprintf(progress, "benchsheet: drawing a sheet of %d × %d px\n", s.line.Width, s.line.Height)
	var v verdict
	drawn, names, err := s.draw(&v)
	if err != nil {
		return err
	}
	if err = s.measure(progress, names, &v); err != nil {
		return err
	}
	cuts, err := newSeams(s.line, v.report)
	if err != nil {
		return err
	}
	v.judge(cuts)
	for _, t := range []*tally{&v.seam, &v.inside} {
		if err := s.centre(progress, &drawn, &v, t); err != nil {
			return err
		}
	}
	v.print(out)
	return v.bars()
}

func parse(args []string, progress io.Writer) (settings, error) {
	s := settings{line: sim.Options{Exact: true}}
	f := flag.NewFlagSet("benchsheet", flag.ContinueOnError)
	f.SetOutput(progress)
	side := f.Int("side", 16384, "width and height of the sheet in pixels")
	f.StringVar(&s.dir, "out", "build/sheet", "folder to write the sheet into")
	f.StringVar(&s.agent, "agent", "bin/sightline-agent", "program to measure")
	f.StringVar(&s.worker, "worker", "bin/sightline-worker", "its worker, which also runs the model alone")
	f.StringVar(&s.bundle, "bundle", "models/pcb-defects", "folder of the bundle")
	f.BoolVar(&s.template, "template", false, "draw the golden template, too, for a bundle of pairs")
	f.IntVar(&s.overlap, "overlap", 96, "of the tiles, in pixels")
	f.IntVar(&s.threads, "threads", runtime.GOMAXPROCS(0), "of one run of the model")
	f.Uint64Var(&s.line.Seed, "seed", 20, "of the sheet")
	f.Float64Var(&s.line.Defects, "defects", 1500, "mean number on the sheet")
	f.IntVar(&s.quality, "quality", 75, "of the JPEG, 1 to 100")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q: everything is a flag, see -help", f.Arg(0))
	}
	if s.line.Defects == 0 {
		return s, errors.New("-defects is 0, which leaves nothing to judge: draw at least 1")
	}
	s.line.Width, s.line.Height = *side, *side
	return s, nil
}

// measure inspects the sheet, with the model alone before and after.
func (s *settings) measure(progress io.Writer, sheet files, v *verdict) error {
	before, err := s.bare()
	if err != nil {
		return err
	}
	if v.report, err = s.inspect(progress, sheet.template, sheet.board); err != nil {
		return err
	}
	after, err := s.bare()
	v.bareMs = (before + after) / 2
	return err
}

// centre looks again at each defect that was not found once, in the middle of a tile of its own: what is not
// found once there either is not the seam's fault. Those far from seams tell how much of it is mere chance.
func (s *settings) centre(progress io.Writer, drawn *pictures, v *verdict, t *tally) error {
	var crops []files
	var corners []image.Point
	for i, number := range t.again {
		area := around(drawn.board.Rect, v.truth[number].Box, v.report.Tile)
		names, err := s.crop(drawn, area, i)
		if err != nil {
			return err
		}
		crops, corners = append(crops, names), append(corners, area.Min)
	}
	results, err := s.inspectAll(progress, crops)
	if err != nil {
		return err
	}
	for i, number := range t.again {
		became, _ := outcomes(within(v.truth, corners[i]), results[i].Detections)
		if became[number] == once {
			t.centred++
		}
	}
	return nil
}
