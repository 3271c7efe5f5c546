// Command benchsheet draws a large simulated sheet, lets sightline-agent inspect it in tiles, and judges
// time, memory, and what became of the defects on seams.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/sightline-edge/sightline/agent/internal/fsutil"
	"github.com/sightline-edge/sightline/agent/internal/worker/camera/sim"
	"github.com/sightline-edge/sightline/agent/internal/worker/tiles"
)

// The bars: of an inspection's time to that of the model alone, and of the worker's memory.
const (
	maxRatio = 1.1
	maxPeak  = 3 << 29
)

var errBar = errors.New("a bar is missed")

type settings struct {
	dir, agent, bundle string
	overlap            int
	line               sim.Options
	quality            int
}

// report is what is needed of that of `sightline-agent sheet`.
type report struct {
	Tile    [2]int   `json:"tile"`
	Overlap int      `json:"overlap"`
	Threads int      `json:"threads"`
	Peak    int64    `json:"worker_peak_rss_bytes"`
	Sheets  []result `json:"sheets"`
}

type result struct {
	Reason       string   `json:"reason"`
	Tiles        int      `json:"tiles"`
	Dropped      int      `json:"dropped"`
	ReadMs       float64  `json:"read_ms"`
	InspectionMs float64  `json:"inspection_ms"`
	ModelMs      float64  `json:"model_ms"`
	Detections   []defect `json:"detections"`
}

type defect struct {
	Class string     `json:"class"`
	Box   [4]float32 `json:"box"`
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
	renderer, err := sim.NewRenderer(s.line)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(progress, "benchsheet: drawing a sheet of %d × %d px\n", s.line.Width, s.line.Height)
	sheet := image.NewGray(image.Rect(0, 0, s.line.Width, s.line.Height))
	truth := renderer.Render(0, sheet.Pix, nil)
	file := filepath.Join(s.dir, "sheet.jpg")
	seen, err := s.save(file, sheet)
	if err != nil {
		return err
	}
	r, err := s.inspect(progress, file)
	if err != nil {
		return err
	}
	seams, err := newSeams(s.line, r)
	if err != nil {
		return err
	}
	v := verdict{report: r, seeded: len(truth)}
	v.judge(truth, seams)
	if err := s.blame(progress, seen, &v); err != nil {
		return err
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
	f.StringVar(&s.bundle, "bundle", "models/pcb-defects", "folder of the bundle")
	f.IntVar(&s.overlap, "overlap", 96, "of the tiles, in pixels")
	f.Uint64Var(&s.line.Seed, "seed", 20, "of the sheet")
	f.Float64Var(&s.line.Defects, "defects", 1500, "mean number on the sheet")
	f.IntVar(&s.quality, "quality", 75, "of the JPEG, 1 to 100")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q: everything is a flag, see -help", f.Arg(0))
	}
	s.line.Width, s.line.Height = *side, *side
	return s, nil
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

// inspect runs the agent on images.
func (s *settings) inspect(progress io.Writer, images ...string) (*report, error) {
	args := append([]string{
		"sheet", "--log-level", "error", "--bundle", s.bundle, "--overlap",
		strconv.Itoa(s.overlap), "-o", "json",
	}, images...)
	//nolint:gosec,noctx // the caller's own program, which ends by itself
	command := exec.Command(s.agent, args...)
	command.Stderr = progress
	raw, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %v: %w", s.agent, args[:1], err)
	}
	r := &report{}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("read the agent's report: %w", err)
	}
	if len(r.Sheets) != len(images) {
		return nil, fmt.Errorf("the agent reports %d of %d images", len(r.Sheets), len(images))
	}
	return r, nil
}

// blame looks again at each defect that was missed, in the middle of a tile of its own: what the model does
// not find there either is not the seam's fault. Those far from seams tell how much of it is mere chance.
func (s *settings) blame(progress io.Writer, seen *image.Gray, v *verdict) error {
	for _, t := range []*tally{&v.seam, &v.inside} {
		if err := s.centre(progress, seen, v.report.Tile, t); err != nil {
			return err
		}
	}
	return nil
}

// centre fills in which missed defects are found in the middle of a tile.
func (s *settings) centre(progress io.Writer, seen *image.Gray, tile [2]int, t *tally) error {
	if len(t.missed) == 0 {
		return nil
	}
	names, at := make([]string, 0, len(t.missed)), make([]image.Point, 0, len(t.missed))
	for i, box := range t.missed {
		crop := around(seen.Rect, box, tile)
		var out bytes.Buffer
		if err := png.Encode(&out, seen.SubImage(crop)); err != nil {
			return fmt.Errorf("encode crop: %w", err)
		}
		name := filepath.Join(s.dir, fmt.Sprintf("missed-%04d.png", i))
		if err := fsutil.WriteFile(fsutil.OS{}, name, out.Bytes(), 0o600); err != nil {
			return err
		}
		names, at = append(names, name), append(at, crop.Min)
	}
	r, err := s.inspect(progress, names...)
	if err != nil {
		return err
	}
	for i, box := range t.missed {
		x, y := float32(at[i].X), float32(at[i].Y)
		moved := [4]float32{box[0] - x, box[1] - y, box[2] - x, box[3] - y}
		if matches(moved, r.Sheets[i].Detections) > 0 {
			t.centred = append(t.centred, box)
		}
	}
	return nil
}

// around is a tile with the box in its middle, inside of the sheet.
func around(sheet image.Rectangle, box [4]float32, tile [2]int) image.Rectangle {
	place := func(low, high float32, side, limit int) int {
		return min(max(int(low+high)/2-side/2, 0), max(limit-side, 0))
	}
	corner := image.Pt(place(box[0], box[2], tile[0], sheet.Dx()), place(box[1], box[3], tile[1], sheet.Dy()))
	return image.Rectangle{corner, corner.Add(image.Pt(tile[0], tile[1]))}.Intersect(sheet)
}

// seams are where tiles end within the sheet.
type seams struct{ xs, ys map[int]bool }

func newSeams(o sim.Options, r *report) (seams, error) {
	s := seams{map[int]bool{}, map[int]bool{}}
	p, err := tiles.NewPlan(o.Width, o.Height, r.Tile[0], r.Tile[1], r.Overlap)
	if err != nil {
		return s, err
	}
	for i := range p.Len() {
		t := p.Tile(i)
		s.xs[t.X], s.xs[t.X+t.Width] = true, true
		s.ys[t.Y], s.ys[t.Y+t.Height] = true, true
	}
	return s, nil
}

// cut says whether a seam goes through the box.
func (s seams) cut(box [4]float32) bool {
	return crosses(s.xs, box[0], box[2]) || crosses(s.ys, box[1], box[3])
}

func crosses(at map[int]bool, low, high float32) bool {
	for v := int(low) + 1; v < int(high); v++ {
		if at[v] {
			return true
		}
	}
	return false
}
