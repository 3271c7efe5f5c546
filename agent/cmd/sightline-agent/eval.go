package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/eval"
	"github.com/sightline-edge/sightline/models/bundle"
)

func evalCommand(l *logging) *cobra.Command {
	t := tool{logging: l}
	var e evaluation
	c := &cobra.Command{
		Use:   "eval {--bundle DIR | --method compare} --data DIR",
		Short: "Measure a bundle on labelled images",
		Long: "Sends every image through a real worker, with the bundle's own thresholds and\n" +
			"suppression, and prints map_iou33 and f_iou33 (IoU over 0.33, as the DeepPCB paper\n" +
			"measures), map50 and map50_95 (COCO), how many images without a label have a detection\n" +
			"(clean_alarmed of clean), and the time of the model's own run (ms_p50, ms_p99) and of a\n" +
			"whole inspection from a frame in memory.\n\n" +
			"A bundle that looks at pairs gets each board's golden template, and so does --method\n" +
			"compare, which needs no bundle and tells no classes apart. In every layout that is\n" +
			"X_temp.* beside an image X_test.*, else the file on the same way below templates/\n" +
			"instead of images/.\n\n" +
			"Layouts of --data:\n" +
			"  deeppcb  images/<id>_test.jpg and labels/<id>.txt, or the data set as it is published\n" +
			"  coco     one JSON file of annotations, in annotations/ or beside the images\n" +
			"  yolo     images/ and labels/, names of classes in data.yaml or classes.txt",
		Example: "  sightline-agent eval --bundle models/pcb-defects --data deeppcb -o json\n" +
			"  sightline-agent eval --bundle models/pcb-defects --data boards --layout yolo --split val",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return t.eval(c, e)
		},
	}
	t.flags(c)
	f := c.Flags()
	f.StringVar(&e.bundle, "bundle", "", "folder of the bundle")
	f.StringVar(&e.method, "method", "", "compare: without a bundle, each board with its golden template")
	f.StringVar(&e.binarize, "binarize", "", "otsu or a threshold, 1 to 255; default: the bundle's, or otsu")
	f.StringVar(&e.source.Dir, "data", "", "folder of the data set")
	f.StringVar(&e.source.Layout, "layout", eval.LayoutDeepPCB, "of the data set: deeppcb, coco or yolo")
	f.StringVar(&e.source.Split, "split", "", "part of the data set, such as val or test; default: all of it")
	f.StringVar(&e.source.Annotations, "annotations", "", "coco: the file; default: the only one in --data")
	f.StringVar(&e.spinning, "spinning", config.SpinAlways,
		"when threads of inference wait busily: run (as on a line), always (ONNX Runtime's own), never")
	f.IntVar(&e.source.Limit, "limit", 0, "so many images only, spread evenly; 0: all")
	if err := c.MarkFlagRequired("data"); err != nil {
		panic(err) // a flag that was not declared above
	}
	return c
}

// evaluation is what to measure on what.
type evaluation struct {
	bundle, method, binarize, spinning string
	source                             eval.Source
}

// load reads bundle and data set; a nil bundle compares.
func (e *evaluation) load() (*bundle.Bundle, *eval.Dataset, error) {
	if err := checkBinarize(e.binarize); err != nil {
		return nil, nil, err
	}
	if !slices.Contains([]string{config.SpinRun, config.SpinAlways, config.SpinNever}, e.spinning) {
		return nil, nil, fmt.Errorf("--spinning: %q: write run, always or never", e.spinning)
	}
	switch {
	case e.method == config.MethodCompare && e.bundle == "":
		e.source.OneClass, e.source.Templates = true, true
		set, err := eval.Load(e.source)
		return nil, set, err
	case e.method != "":
		return nil, nil, errors.New("--method is compare, without --bundle; with a bundle it is left out")
	case e.bundle == "":
		return nil, nil, errors.New("say what to measure: --bundle DIR, or --method compare")
	}
	model, err := bundle.Load(e.bundle)
	if err != nil {
		return nil, nil, err
	}
	switch m := &model.Manifest; m.Task {
	case bundle.TaskClassification:
		return nil, nil, fmt.Errorf("bundle %s is for task %s, which finds no boxes: eval measures boxes",
			m.Name, m.Task)
	case bundle.TaskAnomaly:
		return nil, nil, fmt.Errorf("bundle %s is for task %s, which is right or wrong about images, and "+
			"whose boxes are what hangs together on its map: eval measures boxes around defects", m.Name,
			m.Task)
	}
	e.source.Classes, e.source.Templates = model.ClassNames(), model.Manifest.Input.Template
	set, err := eval.Load(e.source)
	return model, set, err
}

func (t *tool) eval(c *cobra.Command, e evaluation) error {
	if err := t.check(); err != nil {
		return err
	}
	log, err := t.quiet(c)
	if err != nil {
		return err
	}
	model, set, err := e.load()
	if err != nil {
		return err
	}
	launch, err := t.launch(log)
	if err != nil {
		return err
	}
	report, err := eval.Run(c.Context(), eval.Options{
		Bundle: model, Binarize: e.binarize, Data: set, Launch: launch, ONNXRuntime: t.library,
		Threads: t.threads, Spinning: e.spinning,
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

// evalTable writes the figures of all classes, and then those of each. The columns of a block are its own.
func evalTable(w *tabwriter.Writer, r *eval.Report) {
	row := func(format string, values ...any) { _, _ = fmt.Fprintf(w, format+"\n", values...) }
	row("bundle\t%s %s on %s, %d threads, spinning %s", r.Bundle, r.Version, r.Provider, r.Threads,
		r.Spinning)
	row("data\t%s", evalData(r))
	if r.Task != bundle.TaskDetection {
		row("task\t%s: measured by the upright boxes around what is found, not by outlines", r.Task)
	}
	row("")
	row("map_iou33\t%.4f\tmean average precision, IoU over 0.33", r.MAPIoU33)
	row("f_iou33\t%.4f\tat the bundle's thresholds: precision %.4f, recall %.4f",
		r.FIoU33, r.Precision, r.Recall)
	if r.Clean > 0 {
		row("clean_alarmed\t%d\tof %d images without a label: with a detection at the bundle's thresholds",
			r.CleanAlarmed, r.Clean)
	}
	row("map50\t%.4f\tCOCO's, IoU 0.50", r.MAP50)
	row("map50_95\t%.4f\tCOCO's, mean of IoU 0.50 to 0.95", r.MAP5095)
	row("model\t%.1f ms\tp50 of its own run; p99 %.1f ms", r.MsP50, r.MsP99)
	row("inspection\t%.1f ms\tp50 from a frame in memory; p99 %.1f ms; %.1f images a second",
		r.InspectionMsP50, r.InspectionMsP99, r.FPS)
	row("")
	row("class\tlabels\tap_iou33\tap50\tap50_95\tprecision\trecall\tf\tthreshold")
	for _, k := range r.Classes {
		row("%s\t%6d\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.2f",
			k.Class, k.Labels, k.APIoU33, k.AP50, k.AP5095, k.Precision, k.Recall, k.F, k.Threshold)
	}
}

// evalData says what was evaluated, and what of it a person may not have expected.
func evalData(r *eval.Report) string {
	words := []string{fmt.Sprintf("%s: %d images, %d labels", r.Layout, r.Images, r.Labels)}
	if r.Ignored > 0 {
		words = append(words, fmt.Sprintf("%d ignored regions", r.Ignored))
	}
	if r.Unlabelled > 0 {
		words = append(words,
			fmt.Sprintf("%d images without a file of labels, taken as free of defects", r.Unlabelled))
	}
	classes := "classes by " + r.ClassesBy
	if r.ClassesBy == "none" {
		classes = "all of one class"
	}
	return strings.Join(append(words, classes), ", ")
}
