package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/inspector"
	"github.com/sightline-edge/sightline/agent/internal/recipe"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

const replayRead = 10 * time.Second // at least: nobody waits for a part

// replayed is one image under the station's rules.
type replayed struct {
	Image   string         `json:"image"`
	Verdict event.Verdict  `json:"verdict"`
	Reason  string         `json:"reason,omitempty"`
	Detail  string         `json:"detail,omitempty"`
	Defects []event.Defect `json:"defects"`
	Ms      float64        `json:"ms"` // from a frame in memory to its detections
}

func replayCommand(l *logging) *cobra.Command {
	t := tool{logging: l}
	var name, images, glob string
	c := &cobra.Command{
		Use:   "replay CONFIGURATION --images DIR",
		Short: "Show the verdict that a station would give to each image of a folder",
		Long: "Sends recorded images through the station's bundle and verdict rules, without PLC or\n" +
			"broker: to see what a changed threshold, zone or model would have decided.",
		Example: "  sightline-agent replay sightline.yaml --station line3/aoi-1 --images recorded -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return t.replay(c, args[0], name, images, glob)
		},
	}
	t.flags(c)
	f := c.Flags()
	f.StringVar(&name, "station", "", "line/station; default: the configuration's only one")
	f.StringVar(&images, "images", "", "folder of images, taken in the order of their names")
	f.StringVar(&glob, "glob", "", "which of them, such as *_test.jpg; default: all images")
	if err := c.MarkFlagRequired("images"); err != nil {
		panic(err) // a flag that was not declared above
	}
	return c
}

func (t *tool) replay(c *cobra.Command, path, name, images, glob string) error {
	if err := t.check(); err != nil {
		return err
	}
	log, err := t.quiet(c)
	if err != nil {
		return err
	}
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	at, err := pick(cfg, name)
	if err != nil {
		return err
	}
	s := &cfg.Stations[at]
	// The station's own camera may bring templates, the images do not: the recipe's is taken then.
	if s.Camera, err = inspector.Folder(images, glob); err != nil {
		return err
	}
	r, err := recipe.Load(&cfg.Config, at)
	if err != nil {
		return cfg.Locate(at, err)
	}
	rules, err := verdict.Compile(s.Verdict, &r.Manifest)
	if err != nil {
		return cfg.Locate(at, err)
	}
	t.adopt(c, cfg)
	i, err := t.inspector(c.Context(), log, s, r, uint64(cfg.Worker.MemoryLimit), loading(c, r.ID))
	if err != nil {
		return err
	}
	defer i.Close()
	if _, err = i.Ready(c.Context()); err != nil {
		return err
	}
	all, err := replayAll(c, i, rules)
	if len(all) == 0 {
		return err
	}
	return errors.Join(t.print(c.OutOrStdout(), all, func(w *tabwriter.Writer) { replayTable(w, all) }), err)
}

// pick returns the index of the named station.
func pick(cfg *config.Loaded, name string) (int, error) {
	names := make([]string, 0, len(cfg.Stations))
	for i := range cfg.Stations {
		if s := &cfg.Stations[i]; s.Name == name || name == "" && len(cfg.Stations) == 1 {
			return i, nil
		}
		names = append(names, cfg.Stations[i].Name)
	}
	return 0, fmt.Errorf("no station %q: choose with --station one of %s", name, strings.Join(names, ", "))
}

// replayAll inspects one image after the other until there are no more. With an error it returns what came
// before it, too.
func replayAll(c *cobra.Command, i *inspector.Inspector, rules *verdict.Rules) ([]replayed, error) {
	var all []replayed
	seen := map[string]bool{}
	for {
		if err := i.Ask(); err != nil {
			return all, err
		}
		answer, err := i.Answer(c.Context())
		if err != nil {
			return all, err
		}
		switch source := answer.GetSource(); {
		case answer.GetFault() == wire.Fault_FAULT_END && len(all) == 0:
			return nil, errors.New("no image was found in the folder")
		case answer.GetFault() == wire.Fault_FAULT_END:
			return all, nil
		case answer.GetFault() == wire.Fault_FAULT_NO_FRAME:
			return all, fmt.Errorf("after %d images the worker brings no more: %s", len(all),
				answer.GetFaultText())
		case source != "" && seen[source]:
			return all, fmt.Errorf("after %d images the worker began anew with %s: reading the next one "+
				"took too long; take it out of the folder, or give the station a longer read_timeout",
				len(all), source)
		default:
			seen[source] = true
		}
		out, took := judge(answer, rules)
		all = append(all, replayed{
			Image: filepath.Base(answer.GetSource()), Verdict: out.Verdict, Reason: out.Reason,
			Detail: out.Detail, Defects: out.Defects, Ms: took,
		})
	}
}

func replayTable(w *tabwriter.Writer, all []replayed) {
	count := map[event.Verdict]int{}
	for _, r := range all {
		count[r.Verdict]++
		words := []string{}
		for _, d := range r.Defects {
			words = append(words, fmt.Sprintf("%s %.2f", d.Class, d.Score))
		}
		if r.Reason != "" {
			words = append(words, r.Reason+": "+r.Detail)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.1f ms\t%s\n", r.Image, r.Verdict, r.Ms, strings.Join(words, ", "))
	}
	_, _ = fmt.Fprintf(w, "%d images\tPASS %d, FAIL %d, REWORK %d, UNKNOWN %d\n",
		len(all), count[event.Pass], count[event.Fail], count[event.Rework], count[event.Unknown])
}
