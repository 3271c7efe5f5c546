package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/samples"
)

func samplesCommand(l *logging) *cobra.Command {
	c := &cobra.Command{
		Use:   "samples",
		Short: "List and export the frames that a model can learn most from",
		Long: "The agent keeps the frames whose scores are close to a threshold, those of which a shadow\n" +
			"says another verdict, and those of parts that an operator overrode, as the camera gave\n" +
			"them (samples: in the configuration). They can be listed and exported while it runs.",
	}
	c.AddCommand(listSamplesCommand(l), exportSamplesCommand(l))
	return c
}

// choosing says which samples of which store.
type choosing struct {
	tool
	dir, since, station string
	reasons             []string
}

func (s *choosing) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&s.output, "output", "o", "table", "table or json")
	f.StringVar(&s.dir, "samples", "", "folder of the samples; instead of a configuration")
	f.StringVar(&s.since, "since", "", "only newer ones: 24h, 2026-11-01 or 2026-11-01T08:00:00Z")
	f.StringVar(&s.station, "station", "", "only of this one: line/station, or its whole path")
	f.StringSliceVar(&s.reasons, "reason", nil, "only for these: "+allReasons()+"; default: all")
}

func allReasons() string {
	var all []string
	for _, r := range samples.Reasons() {
		all = append(all, string(r))
	}
	return strings.Join(all, ", ")
}

// resolve finds the folder and reads the filter.
func (s *choosing) resolve(args []string, now time.Time) (samples.Filter, error) {
	f := samples.Filter{Station: strings.Trim(s.station, "/")}
	s.threads = 1
	if err := s.check(); err != nil {
		return f, err
	}
	switch {
	case len(args) == 1 && s.dir != "":
		return f, errors.New("name a configuration or --samples, not both")
	case len(args) == 0 && s.dir == "":
		return f, errors.New("say where the samples are: a configuration, or --samples DIR")
	case len(args) == 1:
		cfg, err := config.Load(args[0])
		if err != nil {
			return f, err
		}
		if cfg.Samples.Dir == config.Off {
			return f, fmt.Errorf("%s keeps no samples: samples.dir is off", args[0])
		}
		s.dir = cfg.Samples.Dir
	}
	for _, name := range s.reasons {
		reason := samples.Reason(name)
		if !slices.Contains(samples.Reasons(), reason) {
			return f, fmt.Errorf("--reason: %q is none of %s", name, allReasons())
		}
		f.Reasons = append(f.Reasons, reason)
	}
	var err error
	f.Since, err = since(s.since, now)
	return f, err
}

// since reads an age, a day of UTC or a time.
func since(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since: %q is neither an age such as 24h, nor a day such as "+
		"2026-11-01, nor a time such as 2026-11-01T08:00:00Z", text)
}

func listSamplesCommand(l *logging) *cobra.Command {
	s := choosing{tool: tool{logging: l}}
	c := &cobra.Command{
		Use:   "list {CONFIGURATION | --samples DIR}",
		Short: "List samples, oldest first",
		Example: "  sightline-agent samples list sightline.yaml --since 24h\n" +
			"  sightline-agent samples list sightline.yaml --reason override -o json",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			filter, err := s.resolve(args, time.Now())
			if err != nil {
				return err
			}
			listed, err := samples.List(c.Context(), s.dir, filter)
			if err != nil {
				return err
			}
			for _, why := range listed.Unread {
				_, _ = fmt.Fprintln(c.ErrOrStderr(), "not read:", why)
			}
			if more := listed.Damaged - len(listed.Unread); more > 0 {
				_, _ = fmt.Fprintln(c.ErrOrStderr(), "not read:", more, "others")
			}
			all := listed.Samples
			if all == nil {
				all = []*samples.Record{} // of JSON: no null
			}
			return s.print(c.OutOrStdout(), all, func(w *tabwriter.Writer) { samplesTable(w, all, s.dir) })
		},
	}
	s.flags(c)
	return c
}

func samplesTable(w *tabwriter.Writer, all []*samples.Record, dir string) {
	if len(all) == 0 {
		_, _ = fmt.Fprintf(w, "no samples in %s that fit\n", dir)
		return
	}
	var bytes int64
	_, _ = fmt.Fprintln(w, "time\tstation\tpart\treason\tmargin\tverdict\toverride\tpicture\tresult")
	for _, r := range all {
		said, picture := "-", "none"
		if r.Override != nil {
			said = string(r.Override.Verdict)
			if r.Override.Operator != "" {
				said += " by " + r.Override.Operator
			}
		}
		if p := r.Picture; p != nil {
			bytes += p.Bytes
			picture = fmt.Sprintf("%d×%d", p.Width, p.Height)
			if p.Annotated {
				picture += " evidence"
			}
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.3f\t%s\t%s\t%s\t%s\n", r.Time.UTC().Format(time.DateTime),
			r.Station, r.PartID, r.Reason, r.Margin, r.Verdict, said, picture, r.ResultID)
	}
	_, _ = fmt.Fprintf(w, "%d samples, %.1f MB of pictures\t\n", len(all), float64(bytes)/1e6)
}

func exportSamplesCommand(l *logging) *cobra.Command {
	s := choosing{tool: tool{logging: l}}
	var to samples.Exporting
	c := &cobra.Command{
		Use:   "export {CONFIGURATION | --samples DIR} --format {coco | yolo} --out DIR",
		Short: "Copy samples with their labels, for annotation and training",
		Long: "Writes images/ and, of coco, annotations/instances.json, or, of yolo, labels/ and\n" +
			"data.yaml. Labels are what an operator said or the simulation drew; of all other images\n" +
			"they are what the model found and counted, with its score in coco: review these before\n" +
			"you train on them. Samples without a frame are left out and counted. eval reads both.",
		Example: "  sightline-agent samples export sightline.yaml --format coco --out to-annotate\n" +
			"  sightline-agent samples export sightline.yaml --format yolo --out reviewed --reason override",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if to.Filter, err = s.resolve(args, time.Now()); err != nil {
				return err
			}
			to.From, to.Progress = s.dir, bar(c, "copying")
			done, err := samples.Export(c.Context(), to)
			if err != nil {
				return err
			}
			return s.print(c.OutOrStdout(), done, func(w *tabwriter.Writer) { exportTable(w, done) })
		},
	}
	s.flags(c)
	f := c.Flags()
	f.StringVar(&to.Format, "format", samples.FormatCOCO, "coco or yolo")
	f.StringVar(&to.Out, "out", "", "folder to write, empty or not there")
	if err := c.MarkFlagRequired("out"); err != nil {
		panic(err) // a flag that was not declared above
	}
	return c
}

func exportTable(w *tabwriter.Writer, e *samples.Exported) {
	_, _ = fmt.Fprintf(w, "%s\t%s: %d images, %d boxes of %d classes\n", e.Out, e.Format, e.Images, e.Boxes,
		len(e.Classes))
	_, _ = fmt.Fprintf(w, "vouched\t%d\tlabels of an operator or the simulation\n", e.Vouched)
	_, _ = fmt.Fprintf(w, "to review\t%d\tlabels are the model's own findings\n", e.ToReview)
	if e.LeftOut > 0 {
		_, _ = fmt.Fprintf(w, "left out\t%d\tsuch as %s\n", e.LeftOut, e.Because[0])
	}
}
