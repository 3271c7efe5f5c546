package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/inspector"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

const (
	answerLimit = 2 * time.Minute // of a worker that is ready
	memoryLimit = "memory-limit"  // flag, and the worker's own
)

// finding is one thing that check looked at.
type finding struct {
	What string            `json:"what"`
	OK   bool              `json:"ok"`
	Warn bool              `json:"warn,omitempty"` // it is well, and will not work as it is meant
	Says string            `json:"says,omitempty"` // one sentence
	List strictyaml.Faults `json:"faults,omitempty"`

	Parity *wire.Parity `json:"parity,omitempty"` // with --parity
}

// checker collects findings; nothing stops at the first fault.
type checker struct {
	*tool
	command  *cobra.Command
	load     bool
	compares bool // with the golden samples and with the CPU, in figures
	memory   uint64
	parallel int    // runs side by side, as the configuration has them
	spinning string // as well
	findings []finding
	seen     map[string]bool // bundles already checked: digest and policy, or the folder of a faulty one
	camera   string          // of the worker that tries a bundle; empty: no run is timed
	runs     map[string]run  // timed, by digest and policy
	look     looking         // at one image instead
}

func checkCommand(l *logging) *cobra.Command {
	t := tool{logging: l}
	k := checker{tool: &t, parallel: 1, seen: map[string]bool{}, runs: map[string]run{}}
	c := &cobra.Command{
		Use:   "check FILE|DIR",
		Short: "Say everything that is wrong with a configuration or a bundle, and how to mend it",
		Long: "Checks a configuration with every bundle and rule in it, or one bundle: keys, values,\n" +
			"files, and, in a worker of its own with bounded memory, that the model loads, has the\n" +
			"shapes that the manifest says, and brings out what its golden samples expect on this\n" +
			"machine's execution provider.\n\n" +
			"With --parity it says in figures how far the findings of this machine's provider are from\n" +
			"the golden samples, and from what the CPU finds with the same model.\n\n" +
			"With --frame it inspects one image as the station would, and shows what is made of it on the\n" +
			"way: grays and threshold, black and white, the golden template moved onto it, what differs.\n" +
			"Of a station with tiles it says how the template fits the tile that it fits worst.",
		Example: "  sightline-agent check sightline.yaml\n  sightline-agent check models/pcb-defects\n" +
			"  sightline-agent check sightline.yaml --station line3/aoi-1 --frame board.png",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			k.command = c
			return k.run(args[0])
		},
	}
	t.flags(c)
	k.look.flags(c)
	c.Flags().BoolVar(&k.load, "load", true, "load each bundle in a worker and run its golden samples")
	c.Flags().BoolVar(&k.compares, "parity", false,
		"say how far this machine's execution provider is from the golden samples, and from the CPU")
	c.Flags().Uint64Var(&k.memory, memoryLimit, 8<<30,
		"bytes of address space for that worker, 0: none; default: worker.memory_limit, else 8 GiB")
	return c
}

func (k *checker) run(path string) error {
	if err := errors.Join(k.check(), k.look.goes(k.command)); err != nil {
		return err
	}
	if k.look.image != "" {
		return k.frame(path)
	}
	if k.compares && !k.load {
		return errors.New("--parity loads the bundle: leave --load=false out")
	}
	folder, err := bundleFolder(path)
	if err != nil {
		return err
	}
	if folder != "" {
		k.folder(folder)
	} else {
		k.config(path)
	}
	if err := k.print(k.command.OutOrStdout(), k.findings, k.table); err != nil {
		return err
	}
	for _, f := range k.findings {
		if !f.OK {
			return errFound
		}
	}
	return nil
}

// bundleFolder is the folder of the bundle that a path names, itself or by its manifest; empty: a
// configuration.
func bundleFolder(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("nothing to check: name a configuration, such as sightline.yaml, or the "+
			"folder of a bundle, that this user can read: %w", err)
	case info.IsDir():
		return path, nil
	case filepath.Base(path) == bundle.ManifestFile:
		return filepath.Dir(path), nil
	default:
		return "", nil
	}
}

func (k *checker) table(w *tabwriter.Writer) {
	for _, f := range k.findings {
		state := "ok"
		switch {
		case !f.OK:
			state = "FAULT"
		case f.Warn:
			state = "warn"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", state, f.What, f.Says)
		for _, fault := range f.List {
			_, _ = fmt.Fprintf(w, "\t\t%s\n", fault)
		}
		if f.Parity != nil {
			parityTable(w, f.Parity)
		}
	}
}

func (k *checker) found(what, says string, err error) {
	f := finding{What: what, OK: err == nil, Says: says}
	if err != nil && !errors.As(err, &f.List) {
		f.Says = err.Error()
	}
	if len(f.List) > 0 {
		f.Says = fmt.Sprintf("%d to mend", len(f.List))
	}
	k.findings = append(k.findings, f)
}

// warn notes what is no fault of the file.
func (k *checker) warn(what string, faults strictyaml.Faults) {
	f := finding{What: what, OK: true, Warn: true, Says: "to consider", List: faults}
	k.findings = append(k.findings, f)
}

// manifest reports the faults of a bundle once, whatever number of stations use it.
func (k *checker) manifest(dir string, err error) {
	if !k.seen[dir] {
		k.found(dir, "", err)
	}
	k.seen[dir] = true
}

func (k *checker) folder(dir string) {
	model, err := bundle.Load(dir)
	if err != nil {
		k.manifest(dir, err)
		return
	}
	k.model(model, "")
}

// model reports a bundle that is in order, and lets a worker try it, once for each provider policy.
func (k *checker) model(model *bundle.Bundle, policy string) {
	if k.seen[model.Digest+policy] {
		return
	}
	k.seen[model.Digest+policy] = true
	k.found(model.Dir, fmt.Sprintf("%s %s, %d classes, %s",
		model.Manifest.Name, model.Manifest.Version, len(model.Manifest.Classes), model.Digest), nil)
	if !k.load {
		return
	}
	state, took, err := k.try(model, policy)
	k.runs[model.Digest+policy] = run{took: took, provider: state.GetProvider()}
	says := ""
	if err == nil {
		says = fmt.Sprintf("runs on %s, %d golden samples agree", state.GetProvider(),
			len(model.Manifest.Golden.Samples))
		if state.GetFellBack() {
			says += "; fell back: " + state.GetFallbackReason()
		}
	}
	k.found(model.Dir+" in a worker", says, err)
	if k.compares {
		k.compare(model, policy)
	}
}

// try loads the bundle in a worker whose memory is bounded, so that a hostile model takes only that worker
// down. With a camera it also says how long the model takes for a picture; 0: not known.
func (k *checker) try(model *bundle.Bundle, policy string) (
	state *wire.StationState, took time.Duration, err error,
) {
	log, err := k.quiet(k.command)
	if err != nil {
		return nil, 0, err
	}
	launch, err := k.launch(log, "--"+memoryLimit, strconv.FormatUint(k.memory, 10))
	if err != nil {
		return nil, 0, err
	}
	ctx := k.command.Context()
	i := inspector.Open(ctx, inspector.Options{
		Launch: launch, Log: log, Loading: loading(k.command, model.Dir), Configure: &wire.Configure{
			Stations: []*wire.StationConfig{
				{Name: "check", Camera: k.camera, BundleDir: model.Dir, ProviderPolicy: policy},
			},
			InferenceThreads:   uint32(k.threads),
			ParallelRuns:       uint32(k.parallel),
			Spinning:           k.spinning,
			OnnxruntimeLibrary: k.library,
		},
	})
	defer i.Close()
	if state, err = i.Ready(ctx); err == nil && k.camera != "" {
		took, err = fastest(ctx, i)
	}
	return state, took, err
}
