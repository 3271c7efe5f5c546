package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/png" // the worker's pictures
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/template"
	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

const defaultBoards = 5

func templateCommand(l *logging) *cobra.Command {
	c := &cobra.Command{
		Use:   "template",
		Short: "Capture and list golden templates",
		Long: "A golden template shows what a good board of a recipe looks like. The methods pair and\n" +
			"compare look at each board beside it. Each capture makes a new version; a station takes\n" +
			"the newest one of its recipe when it starts, unless its configuration pins another\n" +
			"(template: recipe@version).",
	}
	c.AddCommand(captureCommand(l), listTemplatesCommand(l))
	return c
}

// taking is a capture: what to take, and for which recipe.
type taking struct {
	tool
	station, recipe, camera string
	boards                  int
	wait                    time.Duration
	ask                     bool
	bundle                  string // of a station that sees its boards in tiles
	overlap                 int
}

func captureCommand(l *logging) *cobra.Command {
	t := taking{tool: tool{logging: l}}
	c := &cobra.Command{
		Use:   "capture CONFIGURATION",
		Short: "Make a golden template of several good boards",
		Long: "Takes boards with the station's camera, moves each onto the first one, and keeps what most\n" +
			"of them show: a defect of one board is outvoted by the others. Boards that do not fit the\n" +
			"first one are left out and named. The agent need not be stopped for a camera that two\n" +
			"programs can open; stop it for any other.",
		Example: "  sightline-agent template capture sightline.yaml --station line3/aoi-1 --ask\n" +
			"  sightline-agent template capture sightline.yaml --camera 'dir:good-boards' --boards 10",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return t.run(c, args[0]) },
	}
	f := c.Flags()
	f.StringVarP(&t.output, "output", "o", "table", "table or json")
	f.StringVar(&t.worker, "worker", "",
		"sightline-worker to use; default: beside this program, then in PATH")
	f.StringVar(&t.station, "station", "", "line/station; default: the configuration's only one")
	f.StringVar(&t.recipe, "recipe", "", "whose template it is; default: the station's recipe")
	f.StringVar(&t.camera, "camera", "", "source URI; default: the station's camera")
	f.IntVar(&t.boards, "boards", defaultBoards, "how many, 1 to 64; from 3 up a defect of one is outvoted")
	f.DurationVar(&t.wait, "wait", 10*time.Second, "for each frame")
	f.BoolVar(&t.ask, "ask", false, "wait for Enter before each board, to put it in place")
	return c
}

func (t *taking) run(c *cobra.Command, path string) error {
	t.threads = 1
	if err := t.check(); err != nil {
		return err
	}
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	s, binarize, err := t.resolve(cfg)
	if err != nil {
		return err
	}
	if t.worker == "" {
		t.worker = cfg.Worker.Path
	}
	dir, err := os.MkdirTemp("", "sightline-capture-")
	if err != nil {
		return fmt.Errorf("make a folder for the picture: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	picture := filepath.Join(dir, template.ImageFile)
	boards, err := t.capture(c, binarize, picture)
	if err != nil {
		return err
	}
	saved, err := t.save(cfg, picture, boards)
	if err != nil {
		return err
	}
	result := struct {
		*template.Template
		Boards []wire.CapturedBoard `json:"boards"`
	}{saved, boards}
	return t.print(c.OutOrStdout(), result, func(w *tabwriter.Writer) {
		_, _ = fmt.Fprintf(w, "%s\t%d boards, %d left out, mean difference %.2f %% from the first\n%s\t%s\n",
			saved.Name(), saved.Info.Boards, saved.Info.LeftOut, percent*saved.Info.Residual, saved.Path,
			saved.Digest)
		_, _ = fmt.Fprintf(w, "station %s takes it when the agent starts again\t\n", s.Name)
	})
}

const percent = 100

// resolve fills in what no flag says, and finds how the station makes black and white.
func (t *taking) resolve(cfg *config.Loaded) (s *config.Station, binarize string, err error) {
	at, err := pick(cfg, t.station)
	if err != nil {
		return nil, "", err
	}
	s = &cfg.Stations[at]
	if t.camera == "" {
		t.camera = s.Camera
	}
	binarize = bundle.Otsu
	if t.recipe == "" {
		t.recipe = s.Recipe
	}
	if s.Bundle != "" {
		model, err := bundle.Load(bundle.Find(s.Bundle, cfg.BundleDir))
		if err != nil {
			return nil, "", err
		}
		if s.Tiles.Overlap > 0 && model.Manifest.Input.Template {
			t.bundle, t.overlap = model.Dir, s.Tiles.Overlap
		}
		if way := model.Manifest.Preprocess.Binarize; way != "" {
			binarize = way
		}
		if t.recipe == "" {
			t.recipe = model.Manifest.Name
		}
	}
	if s.Binarize != "" {
		binarize = s.Binarize
	}
	return s, binarize, template.Check(t.recipe)
}

// capture lets the worker, which alone opens cameras, take the boards.
func (t *taking) capture(c *cobra.Command, binarize, picture string) ([]wire.CapturedBoard, error) {
	path, err := vision.Find(t.worker)
	if err != nil {
		return nil, err
	}
	//nolint:gosec // the path is the operator's own configuration
	command := exec.CommandContext(c.Context(), path, "capture")
	command.Stderr = c.ErrOrStderr()
	in, err := command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	if err = command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	told := &conversation{}
	told.begin(out)
	if t.ask {
		told.ask(c.InOrStdin())
	}
	boards, err := t.take(c, json.NewEncoder(in), told, &wire.CaptureOrder{
		Camera: t.camera, Boards: t.boards, Binarize: binarize, Wait: t.wait, Ask: t.ask, Picture: picture,
		Bundle: t.bundle, Overlap: t.overlap,
	})
	_ = in.Close() // the worker may have ended
	ended := command.Wait()
	told.end()
	if ended != nil && !errors.Is(err, errLeft) && !errors.Is(err, errStopped) { // the worker knows the cause
		return nil, fmt.Errorf("capture: see the worker's words above: %w", ended)
	}
	return boards, err
}

func (t *taking) take(
	c *cobra.Command, in *json.Encoder, told *conversation, order *wire.CaptureOrder,
) ([]wire.CapturedBoard, error) {
	if err := in.Encode(order); err != nil {
		return nil, fmt.Errorf("tell the worker what to capture: %w", err)
	}
	said := c.ErrOrStderr()
	var boards []wire.CapturedBoard
	for n := range t.boards {
		if t.ask {
			_, _ = fmt.Fprintf(said, "put board %d of %d in place and press Enter ", n+1, t.boards)
			if err := told.enter(c.Context()); err != nil {
				return nil, unfinished(c, err, n, t.boards)
			}
			if err := in.Encode(true); err != nil {
				return nil, fmt.Errorf("tell the worker to go on: %w", err)
			}
		}
		b, err := told.board(c.Context())
		if err != nil {
			return nil, unfinished(c, err, n, t.boards)
		}
		boards = append(boards, *b)
		_, _ = fmt.Fprintf(said, "board %d of %d  %s\n", n+1, t.boards, line(b, n))
	}
	return boards, nil
}

func line(b *wire.CapturedBoard, n int) string {
	switch {
	case n == 0:
		return b.Source + "  the others are moved onto it"
	case !b.Fits:
		return b.Source + "  left out: " + b.Why
	default:
		return fmt.Sprintf("%s  moved by %.1f, %.1f px, %.2f %% of the pixels differ", b.Source, b.ShiftX,
			b.ShiftY, percent*b.Residual)
	}
}

func (t *taking) save(
	cfg *config.Loaded, path string, boards []wire.CapturedBoard,
) (*template.Template, error) {
	picture, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the picture: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the picture: %w", err)
	}
	size, _, err := image.DecodeConfig(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read the picture: %w", err)
	}
	info := template.Info{
		Captured: time.Now().UTC().Truncate(time.Second), Camera: t.camera, Width: size.Width,
		Height: size.Height,
	}
	for _, b := range boards {
		if !b.Fits {
			info.LeftOut++
			continue
		}
		info.Boards++
		info.Residual += b.Residual
	}
	info.Residual /= float64(max(info.Boards-1, 1)) // the first differs from itself by nothing
	return template.Save(cfg.TemplateDir, t.recipe, picture, info)
}

func listTemplatesCommand(l *logging) *cobra.Command {
	t := tool{logging: l, threads: 1}
	c := &cobra.Command{
		Use:   "list CONFIGURATION",
		Short: "List the golden templates of all recipes",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := t.check(); err != nil {
				return err
			}
			cfg, err := config.Load(args[0])
			if err != nil {
				return err
			}
			all, err := template.List(cfg.TemplateDir)
			if err != nil {
				return err
			}
			if all == nil {
				all = []*template.Template{} // of JSON: no null
			}
			return t.print(c.OutOrStdout(), all, func(w *tabwriter.Writer) { templateTable(w, all, cfg) })
		},
	}
	c.Flags().StringVarP(&t.output, "output", "o", "table", "table or json")
	return c
}

func templateTable(w *tabwriter.Writer, all []*template.Template, cfg *config.Loaded) {
	if len(all) == 0 {
		_, _ = fmt.Fprintf(w, "no golden templates in %s: make one with sightline-agent template capture\n",
			cfg.TemplateDir)
		return
	}
	_, _ = fmt.Fprintln(w, "template\tcaptured\tboards\tpixels\tdifference\tdigest")
	for _, t := range all {
		i := &t.Info
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d of %d\t%d×%d\t%.2f %%\t%.19s\n", t.Name(),
			i.Captured.Format("2006-01-02 15:04"), i.Boards, i.Boards+i.LeftOut, i.Width, i.Height,
			percent*i.Residual, t.Digest)
	}
}
