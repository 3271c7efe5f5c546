package main

import (
	"errors"
	"fmt"
	"slices"
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
			"Bundles for classification and anomalies are measured by what whole images show: accuracy\n" +
			"and confusion, or AUROC and F-score of images, and AUROC and AUPRO of pixels where there\n" +
			"are masks; and by how many parts a line would reject or accept falsely.\n\n" +
			"Layouts of --data:\n" +
			"  deeppcb  images/<id>_test.jpg and labels/<id>.txt, or the data set as it is published\n" +
			"  coco     one JSON file of annotations, in annotations/ or beside the images\n" +
			"  yolo     images/ and labels/, names of classes in data.yaml or classes.txt\n" +
			"  folders  one folder for each class, or good/ and one for each kind of defect, perhaps with\n" +
			"           masks in ground_truth/, as MVTec AD has it: for classification and anomalies",
		Example: "  sightline-agent eval --bundle models/pcb-defects --data deeppcb -o json\n" +
			"  sightline-agent eval --bundle models/pcb-defects --data boards --layout yolo --split val\n" +
			"  sightline-agent eval --bundle patchcore-bottle --data mvtec/bottle",
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
	f.StringVar(&e.source.Layout, "layout", "", "of the data set: deeppcb, coco, yolo or folders; default: "+
		"folders for classification and anomalies, else deeppcb")
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
		e.usual()
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
	e.source.Task = model.Manifest.Task
	e.source.Classes, e.source.Templates = model.ClassNames(), model.Manifest.Input.Template
	e.usual()
	set, err := eval.Load(e.source)
	return model, set, err
}

// usual chooses the layout where nobody has.
func (e *evaluation) usual() {
	switch {
	case e.source.Layout != "":
	case e.source.Task == bundle.TaskClassification || e.source.Task == bundle.TaskAnomaly:
		e.source.Layout = eval.LayoutFolders
	default:
		e.source.Layout = eval.LayoutDeepPCB
	}
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
