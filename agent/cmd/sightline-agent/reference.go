package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/drift"
	"github.com/sightline-edge/sightline/agent/internal/inspector"
	"github.com/sightline-edge/sightline/agent/internal/recipe"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
)

const asYAML = "yaml"

// referring is what to make a reference of.
type referring struct {
	tool
	bundle, images, glob, template string
}

func referenceCommand(l *logging) *cobra.Command {
	r := referring{tool: tool{logging: l}}
	c := &cobra.Command{
		Use:   "reference --bundle DIR --images DIR",
		Short: "Tell what good images look like to a bundle, for its manifest",
		Long: "Sends images of good parts, as the line's camera takes them, through a real worker and\n" +
			"prints the key reference: of bundle.yaml. A station of that bundle then says when its light,\n" +
			"contrast, sharpness or scores have drifted away from these. Images that the bundle's own\n" +
			"thresholds reject are left out and named: are they good? At least 30 must be left.",
		Example: "  sightline-agent reference --bundle models/solder --images good >reference.yaml\n" +
			"  cat reference.yaml >>models/solder/bundle.yaml",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return r.run(c) },
	}
	r.flags(c)
	f := c.Flags()
	f.Lookup("output").Usage = "yaml or json"
	f.Lookup("output").DefValue = asYAML
	r.output = asYAML
	f.StringVar(&r.bundle, "bundle", "", "folder of the bundle")
	f.StringVar(&r.images, "images", "", "folder of images of good parts")
	f.StringVar(&r.glob, "glob", "", "only images of these names, such as '*_test.jpg'")
	f.StringVar(&r.template, "template", "",
		"for a bundle that takes golden templates: how their names differ, such as _test:_temp")
	for _, name := range []string{"bundle", "images"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that was not declared above
		}
	}
	return c
}

func (r *referring) run(c *cobra.Command) error {
	if r.output != asYAML && r.output != asJSON {
		return fmt.Errorf("output %q is neither yaml nor json", r.output)
	}
	log, err := r.quiet(c)
	if err != nil {
		return err
	}
	made, err := r.make(c, log)
	if err != nil {
		return err
	}
	return r.write(c.OutOrStdout(), made)
}

// make sends all images through a worker.
func (r *referring) make(c *cobra.Command, log *slog.Logger) (*bundle.Reference, error) {
	model, err := bundle.Load(r.bundle)
	if err != nil {
		return nil, err
	}
	if model.Manifest.Reference.Images > 0 {
		return nil, fmt.Errorf("%s has a reference: take the key out of its bundle.yaml first", r.bundle)
	}
	cfg, err := r.configure(model)
	if err != nil {
		return nil, err
	}
	as, err := recipe.New(cfg, 0, model)
	if err != nil {
		return nil, err
	}
	rules, err := verdict.Compile(config.Verdict{}, &model.Manifest)
	if err != nil {
		return nil, err
	}
	i, err := r.inspector(c.Context(), log, &cfg.Stations[0], as, 0, loading(c, model.Manifest.Name))
	if err != nil {
		return nil, err
	}
	defer i.Close()
	if _, err = i.Ready(c.Context()); err != nil {
		return nil, err
	}
	files, err := fs.Glob(os.DirFS(r.images), cmp.Or(r.glob, "*"))
	if err != nil {
		return nil, fmt.Errorf("--glob: %w", err)
	}
	g := gathering{rules: rules, said: c.ErrOrStderr(), progress: bar(c, "inspecting"), total: len(files)}
	if err := g.all(c.Context(), i); err != nil {
		return nil, err
	}
	return g.reference()
}

// configure is a station that takes the images one by one.
func (r *referring) configure(model *bundle.Bundle) (*config.Config, error) {
	camera, err := inspector.Folder(r.images, r.glob)
	if err != nil {
		return nil, err
	}
	switch takes := model.Manifest.Input.Template; {
	case takes && r.template == "":
		return nil, errors.New("the bundle takes golden templates: say with --template how they are named")
	case !takes && r.template != "":
		return nil, errors.New("--template: the bundle takes no golden template")
	case takes:
		camera += "&template=" + url.QueryEscape(r.template)
	}
	return &config.Config{Stations: []config.Station{{
		Name: "reference", Camera: camera, Bundle: model.Dir,
		OpenTimeout: config.DefaultOpenTimeout, ReadTimeout: config.DefaultReadTimeout,
	}}}, nil
}

// gathering is what was seen so far.
type gathering struct {
	rules    *verdict.Rules
	said     io.Writer
	progress func(done, total int)
	total    int

	seen                            int
	scores                          [bundle.ReferenceBins]int
	brightness, contrast, sharpness []float64
}

func (g *gathering) all(ctx context.Context, i *inspector.Inspector) error {
	for {
		if err := i.Ask(); err != nil {
			return err
		}
		answer, err := i.Answer(ctx)
		if err != nil {
			return err
		}
		if answer.GetFault() == wire.Fault_FAULT_END {
			return nil
		}
		g.seen++
		g.progress(g.seen, max(g.total, g.seen))
		g.add(answer)
	}
}

func (g *gathering) add(answer *wire.Inspected) {
	out, _ := judge(answer, g.rules)
	if out.Verdict != event.Pass {
		_, _ = fmt.Fprintf(g.said, "left out: %s is %s %s\n", answer.GetSource(), out.Verdict, out.Reason)
		return
	}
	g.scores[drift.Bin(g.rules.Highest(answer))]++
	g.brightness = append(g.brightness, float64(answer.GetInputMean()))
	g.contrast = append(g.contrast, float64(answer.GetInputDeviation()))
	g.sharpness = append(g.sharpness, float64(answer.GetInputSharpness()))
}

func (g *gathering) reference() (*bundle.Reference, error) {
	if n := len(g.brightness); n < bundle.MinReference {
		return nil, fmt.Errorf("%d of %d images are good, and at least %d are needed: take more", n, g.seen,
			bundle.MinReference)
	}
	return &bundle.Reference{
		Images: len(g.brightness), Scores: g.scores[:], Brightness: spread(g.brightness),
		Contrast: spread(g.contrast), Sharpness: spread(g.sharpness),
	}, nil
}

// spread rounds to what a person can read.
func spread(values []float64) bundle.Spread {
	const hundredths = 100
	n, sum, squares := float64(len(values)), 0.0, 0.0
	for _, v := range values {
		sum += v
	}
	mean := sum / n
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	return bundle.Spread{
		Mean:      math.Round(mean*hundredths) / hundredths,
		Deviation: math.Round(math.Sqrt(squares/(n-1))*hundredths) / hundredths,
	}
}

func (r *referring) write(w io.Writer, made *bundle.Reference) error {
	if r.output == asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(made)
	}
	scores, err := json.Marshal(made.Scores)
	if err != nil {
		return fmt.Errorf("print reference: %w", err)
	}
	_, err = fmt.Fprintf(w, "reference:\n  images: %d\n  scores: %s\n", made.Images, scores)
	for _, s := range []struct {
		name string
		is   bundle.Spread
	}{{"brightness", made.Brightness}, {"contrast", made.Contrast}, {"sharpness", made.Sharpness}} {
		if err == nil {
			_, err = fmt.Fprintf(w, "  %s: {mean: %g, deviation: %g}\n", s.name, s.is.Mean, s.is.Deviation)
		}
	}
	return err
}
