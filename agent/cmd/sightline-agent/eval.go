package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/eval"
	"github.com/sightline-edge/sightline/models/bundle"
)

func evalCommand(l *logging) *cobra.Command {
	t := tool{logging: l}
	var dir, data, layout string
	c := &cobra.Command{
		Use:   "eval --bundle DIR --data DIR",
		Short: "Measure a bundle on labelled images",
		Long: "Sends every image through a real worker, with the bundle's own thresholds and\n" +
			"suppression, and prints map_iou33 and f_iou33 (IoU over 0.33, as the DeepPCB paper\n" +
			"measures), map50 and map50_95 (COCO), and the time of the model's own run (ms_p50,\n" +
			"ms_p99) and of a whole inspection from a frame in memory.",
		Example: "  sightline-agent eval --bundle models/pcb-defects --data deeppcb --layout deeppcb -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return t.eval(c, dir, data, layout)
		},
	}
	t.flags(c)
	f := c.Flags()
	f.StringVar(&dir, "bundle", "", "folder of the bundle")
	f.StringVar(&data, "data", "", "folder of the data set")
	f.StringVar(
		&layout,
		"layout",
		eval.LayoutDeepPCB,
		"of the data set: deeppcb (images/<id>_test.jpg, labels/<id>.txt)",
	)
	for _, name := range []string{"bundle", "data"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // a flag that was not declared above
		}
	}
	return c
}

func (t *tool) eval(c *cobra.Command, dir, data, layout string) error {
	if err := t.check(); err != nil {
		return err
	}
	log, err := t.quiet(c)
	if err != nil {
		return err
	}
	model, err := bundle.Load(dir)
	if err != nil {
		return err
	}
	set, err := eval.Load(data, layout, len(model.Manifest.Classes))
	if err != nil {
		return err
	}
	launch, err := t.launch(log)
	if err != nil {
		return err
	}
	report, err := eval.Run(c.Context(), eval.Options{
		Bundle: model, Data: set, Launch: launch, ONNXRuntime: t.library, Threads: t.threads,
		Progress: bar(c, "inspecting"), Log: log,
	})
	if err != nil {
		return err
	}
	if err := t.print(
		c.OutOrStdout(),
		report,
		func(w *tabwriter.Writer) { evalTable(w, report) },
	); err != nil {
		return err
	}
	if n := len(report.Failed); n > 0 {
		return fmt.Errorf("%d images were not inspected, the first is %s: %s",
			n, report.Failed[0].Image, report.Failed[0].Reason)
	}
	return nil
}

func evalTable(w *tabwriter.Writer, r *eval.Report) {
	row := func(format string, values ...any) { _, _ = fmt.Fprintf(w, format+"\n", values...) }
	row("bundle\t%s %s", r.Bundle, r.Version)
	row("provider\t%s, %d threads", r.Provider, r.Threads)
	row("images\t%d", r.Images)
	row("map_iou33\t%.4f", r.MAPIoU33)
	row("f_iou33\t%.4f", r.FIoU33)
	row("map50\t%.4f", r.MAP50)
	row("map50_95\t%.4f", r.MAP5095)
	row("model\t%.1f ms p50, %.1f ms p99", r.MsP50, r.MsP99)
	row("inspection\t%.1f ms p50, %.1f ms p99, %.1f a second", r.InspectionMsP50, r.InspectionMsP99, r.FPS)
	row("")
	row("class\tlabels\tap_iou33\tap50\tap50_95\tprecision\trecall\tf\tthreshold")
	for _, k := range r.Classes {
		row("%s\t%d\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.2f",
			k.Class, k.Labels, k.APIoU33, k.AP50, k.AP5095, k.Precision, k.Recall, k.F, k.Threshold)
	}
}
