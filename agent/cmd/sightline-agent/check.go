package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/inspector"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

const (
	loadLimit   = 2 * time.Minute // engines take long to build
	memoryLimit = "memory-limit"  // flag, and the worker's own
)

// finding is one thing that check looked at.
type finding struct {
	What string            `json:"what"`
	OK   bool              `json:"ok"`
	Says string            `json:"says,omitempty"` // one sentence
	List strictyaml.Faults `json:"faults,omitempty"`
}

// checker collects findings; nothing stops at the first fault.
type checker struct {
	*tool
	command  *cobra.Command
	load     bool
	memory   uint64
	findings []finding
	seen     map[string]bool // bundles already checked
}

func checkCommand(l *logging) *cobra.Command {
	t := tool{logging: l}
	k := checker{tool: &t, seen: map[string]bool{}}
	c := &cobra.Command{
		Use:   "check FILE|DIR",
		Short: "Say everything that is wrong with a configuration or a bundle, and how to mend it",
		Long: "Checks a configuration with every bundle and rule in it, or one bundle: keys, values,\n" +
			"files, and, in a worker of its own with bounded memory, that the model loads, has the\n" +
			"shapes that the manifest says, and brings out what its golden samples expect on this\n" +
			"machine's execution provider.",
		Example: "  sightline-agent check sightline.yaml\n  sightline-agent check models/pcb-defects",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			k.command = c
			return k.run(args[0])
		},
	}
	t.flags(c)
	c.Flags().BoolVar(&k.load, "load", true, "load each bundle in a worker and run its golden samples")
	c.Flags().Uint64Var(&k.memory, memoryLimit, 8<<30,
		"bytes of address space for that worker, 0: none; default: worker.memory_limit, else 8 GiB")
	return c
}

func (k *checker) run(path string) error {
	if err := k.check(); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("nothing to check: name a configuration, such as sightline.yaml, or the folder of "+
			"a bundle, that this user can read: %w", err)
	}
	switch {
	case info.IsDir():
		k.bundle(path, "", 0)
	case filepath.Base(path) == bundle.ManifestFile:
		k.bundle(filepath.Dir(path), "", 0)
	default:
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

func (k *checker) table(w *tabwriter.Writer) {
	for _, f := range k.findings {
		state := "ok"
		if !f.OK {
			state = "FAULT"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", state, f.What, f.Says)
		for _, fault := range f.List {
			_, _ = fmt.Fprintf(w, "\t\t%s\n", fault)
		}
	}
}

func (k *checker) found(what, says string, err error) bool {
	f := finding{What: what, OK: err == nil, Says: says}
	if err != nil && !errors.As(err, &f.List) {
		f.Says = err.Error()
	}
	if len(f.List) > 0 {
		f.Says = fmt.Sprintf("%d to mend", len(f.List))
	}
	k.findings = append(k.findings, f)
	return f.OK
}

func (k *checker) config(path string) {
	cfg, err := config.Load(path)
	if !k.found(path, "configuration", err) {
		return
	}
	if k.library == "" {
		k.library = cfg.Worker.ONNXRuntime
	}
	if k.worker == "" {
		k.worker = cfg.Worker.Path
	}
	if limit := cfg.Worker.MemoryLimit; limit != 0 && !k.command.Flags().Changed(memoryLimit) {
		k.memory = uint64(limit)
	}
	if k.load {
		k.cameras(cfg)
	}
	for i := range cfg.Stations {
		s := &cfg.Stations[i]
		model := k.bundle(bundle.Find(s.Bundle, cfg.BundleDir), s.Provider, cfg.Worker.Threads)
		if model == nil {
			continue
		}
		_, err := verdict.Compile(s.Verdict, model.Manifest.Classes)
		k.found("station "+s.Name, "its rules fit the bundle", cfg.Locate(i, err))
	}
}

func (k *checker) bundle(dir, policy string, threads int) *bundle.Bundle {
	model, err := bundle.Load(dir)
	if err != nil {
		k.found(dir, "", err)
		return nil
	}
	if k.seen[model.Digest+policy] {
		return model
	}
	k.seen[model.Digest+policy] = true
	k.found(dir, fmt.Sprintf("%s %s, %d classes, %s",
		model.Manifest.Name, model.Manifest.Version, len(model.Manifest.Classes), model.Digest), nil)
	if k.load {
		state, err := k.try(model, policy, threads)
		says := ""
		if err == nil {
			says = fmt.Sprintf(
				"runs on %s, %d golden samples agree",
				state.GetProvider(),
				len(model.Manifest.Golden.Samples),
			)
			if state.GetFellBack() {
				says += "; fell back: " + state.GetFallbackReason()
			}
		}
		k.found(dir+" in a worker", says, err)
	}
	return model
}

// try loads the bundle in a worker whose memory is bounded, so that a hostile model takes only that worker
// down.
func (k *checker) try(model *bundle.Bundle, policy string, threads int) (*wire.StationState, error) {
	log, err := k.quiet(k.command)
	if err != nil {
		return nil, err
	}
	launch, err := k.launch(log, "--"+memoryLimit, strconv.FormatUint(k.memory, 10))
	if err != nil {
		return nil, err
	}
	if threads == 0 {
		threads = k.threads
	}
	ctx, cancel := context.WithTimeout(k.command.Context(), loadLimit)
	defer cancel()
	i := inspector.Open(ctx, inspector.Options{Launch: launch, Log: log, Configure: &wire.Configure{
		Stations: []*wire.StationConfig{
			{Name: "check", BundleDir: model.Dir, ProviderPolicy: policy},
		},
		InferenceThreads:   uint32(threads),
		OnnxruntimeLibrary: k.library,
	}})
	defer i.Close()
	return i.Ready(ctx)
}
