package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/recipe"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

// looking is one image under the recipe of a station, and what the worker made of it on the way.
type looking struct {
	image, station, template, binarize, folder string
}

func (l *looking) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&l.image, "frame", "", "inspect this image instead, and show what is made of it on the way")
	f.StringVar(&l.station, "station", "", "with --frame: line/station; default: the only one")
	f.StringVar(&l.template, "template", "",
		"with --frame: recipe, recipe@version or a picture; default: the station's golden template")
	f.StringVar(&l.binarize, "binarize", "",
		"with --frame: otsu, or the least gray that becomes white; default: as the station does")
	f.StringVar(&l.folder, "previews", "",
		"with --frame: a new folder for the pictures; default: preview-IMAGE below the current one")
}

// goes says which of the flags have no part in what is asked for.
func (l *looking) goes(c *cobra.Command) error {
	if l.image != "" {
		if c.Flags().Changed("load") {
			return errors.New("--load has no part in a look at one frame, which is always inspected: " +
				"leave --load or --frame out")
		}
		if c.Flags().Changed("parity") {
			return errors.New("--parity has no part in a look at one frame: leave --parity or --frame out")
		}
		return nil
	}
	for _, name := range []string{"station", "template", "binarize", "previews"} {
		if c.Flags().Changed(name) {
			return fmt.Errorf("--%s goes with --frame: name an image with --frame, or leave it out", name)
		}
	}
	return nil
}

// looked is what check --frame says.
type looked struct {
	Image    string         `json:"image"`
	Recipe   string         `json:"recipe"`
	Provider string         `json:"provider"`
	Template string         `json:"template,omitempty"` // recipe@version, or a path
	Verdict  event.Verdict  `json:"verdict"`
	Reason   string         `json:"reason,omitempty"`
	Detail   string         `json:"detail,omitempty"`
	Defects  []event.Defect `json:"defects"`
	Ms       float64        `json:"ms"` // from a frame in memory to its detections
	Binarize string         `json:"binarize,omitempty"`
	Preview  wire.Preview   `json:"preview"`
	Folder   string         `json:"folder"` // of the pictures
}

// frame inspects one image with the recipe of a station of a configuration, or with a bundle.
func (k *checker) frame(path string) error {
	image, err := plainFile(k.look.image)
	if err != nil {
		return err
	}
	cfg, at, err := k.recipes(path)
	if err != nil {
		return err
	}
	s := &cfg.Stations[at]
	s.Camera = "file:?" + url.Values{"path": {image}}.Encode()
	r, err := recipe.Load(&cfg.Config, at)
	if err != nil {
		return k.lacks(cfg.Locate(at, err), err)
	}
	rules, err := verdict.Compile(s.Verdict, &r.Manifest)
	if err != nil {
		return cfg.Locate(at, err)
	}
	seen := &looked{Image: image, Recipe: r.ID, Binarize: s.Binarize}
	if seen.Binarize == "" {
		seen.Binarize = r.Manifest.Preprocess.Binarize
	}
	if s.Method == config.MethodCompare && seen.Binarize == "" {
		seen.Binarize = bundle.Otsu
	}
	if r.Template != nil {
		seen.Template = r.Template.Name()
	}
	if err = k.inspect(s, r, rules, seen); err != nil {
		return err
	}
	if err = k.preview(s, r, rules, bundle.Find(s.Bundle, cfg.BundleDir), seen); err != nil {
		return err
	}
	return k.print(k.command.OutOrStdout(), seen, seen.table)
}

// lacks says what to do about a template that is not there, which here may be any picture.
func (k *checker) lacks(located, err error) error {
	faults, ok := errors.AsType[strictyaml.Faults](err)
	if ok && faults[0].Path == "template" && k.look.template == "" {
		return fmt.Errorf("the frame is compared with a golden template, and there is none: name a picture "+
			"with --template, or capture one with sightline-agent template capture: %s", faults[0].Problem)
	}
	return located
}

func plainFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("no such image: name one with --frame that this user can read: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("--frame %s is no file: name one image", path)
	}
	return filepath.Abs(path)
}

// recipes reads the configuration, or makes one of a bundle, and changes in it what flags say.
func (k *checker) recipes(path string) (*config.Loaded, int, error) {
	cfg, at, err := k.stations(path)
	if err != nil {
		return nil, 0, err
	}
	s := &cfg.Stations[at]
	if k.look.binarize != "" {
		s.Binarize = k.look.binarize
		if err = checkBinarize(s.Binarize); err != nil {
			return nil, 0, err
		}
	}
	if t := k.look.template; t != "" {
		s.Template = t
		if _, err := os.Stat(t); err == nil && !strings.ContainsRune(t, '/') {
			s.Template = "./" + t // a picture, no recipe
		}
	}
	return cfg, at, nil
}

func (k *checker) stations(path string) (cfg *config.Loaded, at int, err error) {
	folder, err := bundleFolder(path)
	if err != nil {
		return nil, 0, err
	}
	if folder != "" && k.look.station != "" {
		return nil, 0, fmt.Errorf("--station %s: a bundle has no stations: leave it out, or name a "+
			"configuration", k.look.station)
	}
	if folder != "" {
		path, err = filepath.Abs(folder)
		cfg = &config.Loaded{Config: config.Config{Stations: []config.Station{{Name: "check", Bundle: path}}}}
		return cfg, 0, err
	}
	if cfg, err = config.Load(path); err != nil {
		return nil, 0, err
	}
	if at, err = pick(cfg, k.look.station); err != nil {
		return nil, 0, err
	}
	k.adopt(cfg)
	return cfg, at, nil
}

// patience is how long a look at one frame may take.
func patience(s *config.Station) time.Duration {
	if s.Tiles.Overlap > 0 {
		return answerLimit + sheetLimit
	}
	return answerLimit
}

// answerWithin bounds what a ready worker is asked for.
func answerWithin(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("the worker has not answered for %s: look for "+
		"what else this machine does, or try again with --log-level debug", limit))
}

// inspect lets a worker inspect the image as it would a part, in as much memory as a bundle is tried in.
func (k *checker) inspect(s *config.Station, r *recipe.Recipe, rules *verdict.Rules, seen *looked) error {
	log, err := k.quiet(k.command)
	if err != nil {
		return err
	}
	ctx := k.command.Context()
	i, err := k.inspector(ctx, log, s, r, k.memory, loading(k.command, r.ID))
	if err != nil {
		return err
	}
	defer i.Close()
	state, err := i.Ready(ctx)
	if err != nil {
		return err
	}
	if err = i.Ask(); err != nil {
		return err
	}
	ctx, cancel := answerWithin(ctx, patience(s))
	defer cancel()
	answer, err := i.Answer(ctx)
	if err != nil {
		return err
	}
	out, took := judge(answer, rules)
	seen.Provider, seen.Ms = state.GetProvider(), took
	seen.Verdict, seen.Reason, seen.Detail, seen.Defects = out.Verdict, out.Reason, out.Detail, out.Defects
	return nil
}

// preview lets the worker's program draw what it made of the image on the way.
func (k *checker) preview(
	s *config.Station, r *recipe.Recipe, rules *verdict.Rules, model string, seen *looked,
) error {
	path, err := vision.Find(k.worker)
	if err != nil {
		return err
	}
	if seen.Folder, err = k.look.newFolder(); err != nil {
		return err
	}
	order := wire.PreviewOrder{
		Frame: seen.Image, Binarize: s.Binarize, Folder: seen.Folder, Verdict: string(seen.Verdict),
		Title: s.Name + "   " + filepath.Base(seen.Image), Overlap: s.Tiles.Overlap,
	}
	if s.Method != config.MethodCompare {
		order.Bundle = model
	}
	if r.Template != nil {
		order.Template = r.Template.Path
	}
	for _, d := range seen.Defects {
		order.Defects = append(order.Defects, wire.PreviewDefect{
			Class: slices.Index(rules.Classes(), d.Class), Name: d.Class, Score: d.Score, Box: d.Box,
		})
	}
	in, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("encode what to preview: %w", err)
	}
	ctx, cancel := answerWithin(k.command.Context(), patience(s))
	defer cancel()
	//nolint:gosec // the path is the operator's own configuration
	command := exec.CommandContext(ctx, path, "preview")
	var said bytes.Buffer
	command.Stdin, command.Stderr = bytes.NewReader(in), &said
	out, err := command.Output()
	if err != nil {
		_ = os.Remove(seen.Folder) // fails when there is a picture in it
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("preview: %s: %w", strings.TrimSpace(said.String()), err)
	}
	if err = json.Unmarshal(out, &seen.Preview); err != nil {
		return fmt.Errorf("the worker's answer is not understood; is it of the agent's version? %w", err)
	}
	return nil
}

const (
	maxFolders = 1000
	sheetLimit = 10 * time.Minute // of 16,384 × 16,384 pixels on a busy machine
)

// newFolder makes one that was not there before.
func (l *looking) newFolder() (string, error) {
	if l.folder != "" {
		if err := os.Mkdir(l.folder, 0o755); err != nil { //nolint:gosec // to be looked at
			return "", fmt.Errorf("--previews names a folder that is to be made: %w", err)
		}
		return filepath.Abs(l.folder)
	}
	base := filepath.Base(l.image)
	name := "preview-" + strings.TrimSuffix(base, filepath.Ext(base))
	for n := 1; n <= maxFolders; n++ {
		folder := name
		if n > 1 {
			folder = fmt.Sprintf("%s-%d", name, n)
		}
		err := os.Mkdir(folder, 0o755) //nolint:gosec // to be looked at
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("make a folder for the previews, or name one with --previews: %w", err)
		}
		return filepath.Abs(folder)
	}
	return "", fmt.Errorf("%d folders %s-N are there: remove some, or name one with --previews", maxFolders,
		name)
}
