package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/inspector"
	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

const (
	sheetOverlap = 96
	sheetRead    = 5 * time.Minute // a scan of 268 megapixels takes seconds to decode
	sheetLink    = "sheet-"
	sheetRuns    = 2 // tiles that are inferred side by side: a run on each of two cores beats one on both
	pictureWidth = 2000
)

// sheets is what to inspect, and how.
type sheets struct {
	tool
	bundle, picture string
	template        string
	overlap, width  int

	model  *bundle.Bundle
	rules  *verdict.Rules // the model's own
	images []string
	report sheetReport
}

// sheetReport is what a person or a script reads.
type sheetReport struct {
	Bundle   string        `json:"bundle"`
	Version  string        `json:"version"`
	Provider string        `json:"provider"`
	Threads  int           `json:"threads"`
	Tile     [2]int        `json:"tile"` // width and height in pixels
	Overlap  int           `json:"overlap"`
	PeakRSS  int64         `json:"worker_peak_rss_bytes"`
	Sheets   []sheetResult `json:"sheets"`
}

// sheetResult is one sheet. Read is from the file to the frame in memory, inspection from there to the
// detections, and model the sum of the model's own runs, one for each tile, of which some go side by side.
type sheetResult struct {
	Image        string        `json:"image"`
	Reason       string        `json:"reason,omitempty"` // why it was not inspected
	Width        int           `json:"width"`
	Height       int           `json:"height"`
	Tiles        int           `json:"tiles"`
	Dropped      int           `json:"dropped"` // findings beyond the most that are kept
	ReadMs       float64       `json:"read_ms"`
	InspectionMs float64       `json:"inspection_ms"`
	ModelMs      float64       `json:"model_ms"`
	Detections   []sheetDefect `json:"detections"` // by descending score
}

type sheetDefect struct {
	Class string     `json:"class"`
	Score float32    `json:"score"`
	Box   [4]float32 `json:"box"` // x1, y1, x2, y2 in pixels of the sheet
}

func sheetCommand(l *logging) *cobra.Command {
	s := sheets{tool: tool{logging: l}}
	c := &cobra.Command{
		Use:   "sheet IMAGE... --bundle DIR",
		Short: "Inspect images that are larger than the model's input, tile by tile",
		Long: "Sees each image at its full resolution, up to 16,384 × 16,384 pixels, in tiles of the size\n" +
			"of the model's input that overlap. A defect on a seam is one detection. Choose an overlap\n" +
			"that is larger than the largest defect.\n\n" +
			"A bundle that looks at a board beside its golden template takes that of the sheet with\n" +
			"--template.\n\n" +
			"Prints the detections that reach their class's threshold, the number of tiles, the time of\n" +
			"the inspection and of the model's runs, and the most memory that the worker had.",
		Example: "  sightline-agent sheet scan.png --bundle models/pcb-defects --picture scan-found.jpg\n" +
			"  sightline-agent sheet scan.png --bundle models/pcb-defects-pair --template good.png\n" +
			"  sightline-agent sheet scans/*.jpg --bundle models/pcb-defects --overlap 160 -o json",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s.images = args
			return s.run(c)
		},
	}
	s.flags(c)
	f := c.Flags()
	f.StringVar(&s.bundle, "bundle", "", "folder of the bundle")
	f.IntVar(&s.overlap, "overlap", sheetOverlap, "pixels that neighbouring tiles have in common")
	f.StringVar(&s.template, "template", "", "picture of a good sheet, for a bundle that compares")
	f.StringVar(&s.picture, "picture", "", "JPEG to draw the image and its detections into, reduced")
	f.IntVar(&s.width, "picture-width", pictureWidth, "of that picture, in pixels")
	if err := c.MarkFlagRequired("bundle"); err != nil {
		panic(err) // a flag that was not declared above
	}
	return c
}

func (s *sheets) check() error {
	if err := s.tool.check(); err != nil {
		return err
	}
	model, err := bundle.Load(s.bundle)
	if err != nil {
		return err
	}
	s.model = model
	if s.rules, err = verdict.Compile(config.Verdict{}, &model.Manifest); err != nil {
		return err
	}
	in := model.Manifest.Input
	most := min(in.Width, in.Height) / 2
	switch {
	case model.Manifest.Task != bundle.TaskDetection:
		return fmt.Errorf("bundle %s is for task %s, whose findings in several tiles are not joined: take a "+
			"bundle for task detection", model.Manifest.Name, model.Manifest.Task)
	case in.Template && s.template == "":
		return fmt.Errorf("bundle %s looks at boards beside their golden template: give the sheet's with "+
			"--template, or take a bundle that looks at the image alone", model.Manifest.Name)
	case !in.Template && s.template != "":
		return fmt.Errorf("bundle %s takes no golden template: leave --template out", model.Manifest.Name)
	case s.overlap < config.MinOverlap || s.overlap > most:
		return fmt.Errorf("--overlap is %d; it must be from %d pixels to half of the model's input, %d",
			s.overlap, config.MinOverlap, most)
	case s.picture != "" && len(s.images) > 1:
		return errors.New("--picture shows one image; name one, or leave it out")
	case s.width < 100 || s.width > 16384:
		return fmt.Errorf("--picture-width is %d; it must be from 100 to 16384 pixels", s.width)
	}
	return nil
}

func (s *sheets) run(c *cobra.Command) error {
	if err := s.check(); err != nil {
		return err
	}
	log, err := s.quiet(c)
	if err != nil {
		return err
	}
	launch, err := s.launch(log)
	if err != nil {
		return err
	}
	dir, err := s.link()
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // links only
	camera, err := inspector.Folder(dir, sheetLink+"*")
	if err != nil {
		return err
	}
	progress := &sheetProgress{command: c}
	i := inspector.Open(c.Context(), inspector.Options{
		Launch: launch, Log: log, Progress: progress.show, Loading: loading(c, s.model.Dir),
		Configure: &wire.Configure{
			Stations:         []*wire.StationConfig{s.station(camera)},
			InferenceThreads: uint32(s.threads), ParallelRuns: uint32(min(s.threads, sheetRuns)),
			OnnxruntimeLibrary: s.library,
		},
	})
	defer i.Close()
	state, err := i.Ready(c.Context())
	if err != nil {
		return err
	}
	if err := s.inspect(c.Context(), i, progress); err != nil {
		return err
	}
	return s.finish(c, i, state)
}

func (s *sheets) station(camera string) *wire.StationConfig {
	c := &wire.StationConfig{
		Name: "sheet", Camera: camera, BundleDir: s.model.Dir, TileOverlap: int32(s.overlap),
		OpenTimeoutNs: sheetRead.Nanoseconds(), ReadTimeoutNs: sheetRead.Nanoseconds(),
	}
	if s.template != "" {
		c.Method, c.Template = config.MethodPair, &wire.Template{Path: s.template}
	}
	return c
}

func linkName(n int) string { return fmt.Sprintf(sheetLink+"%08d", n) }

// link puts a link to each image into a folder, so that a folder camera brings these in this order.
func (s *sheets) link() (dir string, err error) {
	dir, err = os.MkdirTemp("", "sightline-sheets-")
	if err != nil {
		return "", fmt.Errorf("make a folder of links to the images: %w", err)
	}
	for n, image := range s.images {
		target, err := filepath.Abs(image)
		if err == nil {
			_, err = os.Stat(target)
		}
		if err == nil {
			err = os.Symlink(target, filepath.Join(dir, linkName(n)))
		}
		if err != nil {
			return "", errors.Join(fmt.Errorf("open image: %w", err), os.RemoveAll(dir))
		}
	}
	return dir, nil
}

func (s *sheets) inspect(ctx context.Context, i *inspector.Inspector, progress *sheetProgress) error {
	for n, image := range s.images {
		progress.begin(filepath.Base(image))
		asked := monotime.Now()
		if err := i.Ask(); err != nil {
			return err
		}
		answer, err := i.Answer(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", image, err)
		}
		now := monotime.Now()
		progress.end()
		if source := answer.GetSource(); source != "" && filepath.Base(source) != linkName(n) {
			return fmt.Errorf("the worker inspected %s where %s was due, which is %s: reading it took "+
				"longer than %s", source, linkName(n), image, sheetRead)
		}
		result := s.result(image, answer)
		if exposed := answer.GetExposedNs(); exposed != 0 {
			result.ReadMs = inspector.Milliseconds(exposed - asked)
			result.InspectionMs = inspector.Milliseconds(now - exposed)
		}
		s.report.Sheets = append(s.report.Sheets, result)
	}
	return nil
}

func (s *sheets) result(image string, a *wire.Inspected) sheetResult {
	r := sheetResult{
		Image: image, Width: int(a.GetWidth()), Height: int(a.GetHeight()), Tiles: int(a.GetTiles()),
		Dropped: int(a.GetDropped()), ModelMs: inspector.Milliseconds(a.GetInferenceNs()),
		Detections: []sheetDefect{},
	}
	if out, _ := judge(a, s.rules); out.Verdict == event.Unknown {
		r.Reason = out.Detail
		return r
	}
	classes := s.model.Manifest.Classes
	for _, d := range a.GetDetections() {
		class := int(d.GetClass())
		if class < 0 || class >= len(classes) || float64(d.GetScore()) < classes[class].Threshold ||
			s.model.Manifest.Dismisses(class) {
			continue
		}
		r.Detections = append(r.Detections, sheetDefect{
			Class: classes[class].Name, Score: d.GetScore(),
			Box: [4]float32{d.GetX1(), d.GetY1(), d.GetX2(), d.GetY2()},
		})
	}
	return r
}

func (s *sheets) finish(c *cobra.Command, i *inspector.Inspector, state *wire.StationState) error {
	p, m := &s.report, &s.model.Manifest
	p.Bundle, p.Version, p.Provider = m.Name, m.Version, state.GetProvider()
	p.Threads, p.Overlap, p.Tile = s.threads, s.overlap, [2]int{m.Input.Width, m.Input.Height}
	var err error
	if p.PeakRSS, err = i.PeakMemory(); err != nil {
		return err
	}
	if err := s.print(c.OutOrStdout(), p, func(w *tabwriter.Writer) { sheetTable(w, p) }); err != nil {
		return err
	}
	if s.picture != "" && p.Sheets[0].Reason == "" {
		if err := drawSheet(s.picture, s.images[0], s.width, p.Sheets[0].Detections); err != nil {
			return err
		}
	}
	for i := range p.Sheets {
		if p.Sheets[i].Reason != "" {
			return errFound
		}
	}
	return nil
}

func sheetTable(w *tabwriter.Writer, p *sheetReport) {
	say := func(format string, values ...any) { _, _ = fmt.Fprintf(w, format, values...) }
	for i := range p.Sheets {
		s := &p.Sheets[i]
		if s.Reason != "" {
			say("%s\tnot inspected: %s\n", s.Image, s.Reason)
			continue
		}
		say("%s\t%d × %d px\t%d tiles\t%d defects\n", s.Image, s.Width, s.Height, s.Tiles, len(s.Detections))
		for _, d := range s.Detections {
			b := &d.Box
			say("  %s\t%.2f\t%.0f, %.0f – %.0f, %.0f\n", d.Class, d.Score, b[0], b[1], b[2], b[3])
		}
		if s.Dropped > 0 {
			say("  and %d findings that were less certain than the most that are kept\n", s.Dropped)
		}
		say("  read\t%.2f s\n", s.ReadMs/1000)
		say("  inspection\t%.2f s\tthe model's runs, side by side, %.2f s, %.2f ms a tile\n",
			s.InspectionMs/1000, s.ModelMs/1000, s.ModelMs/float64(max(s.Tiles, 1)))
	}
	say("%s %s on %s, %d threads, tiles of %d × %d px that overlap by %d or more\n",
		p.Bundle, p.Version, p.Provider, p.Threads, p.Tile[0], p.Tile[1], p.Overlap)
	say("the worker's peak memory\t%d MiB\n", p.PeakRSS>>20)
}

// sheetProgress draws a bar on a terminal, and elsewhere writes a line every few seconds.
type sheetProgress struct {
	command *cobra.Command
	name    string
	drawn   func(done, total int)
	total   int
	said    time.Time
}

const sheetLine = 5 * time.Second

func (p *sheetProgress) begin(name string) {
	p.name, p.drawn, p.total, p.said = name, bar(p.command, name), 0, time.Now()
}

func (p *sheetProgress) show(done, total int) {
	p.total = total
	p.drawn(done, total)
	if !terminal(p.command) && time.Since(p.said) >= sheetLine {
		p.said = time.Now()
		p.command.PrintErrf("%s: %d of %d tiles\n", p.name, done, total)
	}
}

// end leaves no bar behind.
func (p *sheetProgress) end() {
	if p.total > 0 {
		p.drawn(p.total, p.total)
	}
}
