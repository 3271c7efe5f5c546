package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/recipe"
	"github.com/sightline-edge/sightline/agent/internal/verdict"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

func (k *checker) config(path string) {
	cfg, err := config.Read(path)
	k.found(path, "configuration", err)
	if cfg == nil {
		return
	}
	if exposed := cfg.Exposed(); len(exposed) > 0 {
		k.warn(path, exposed)
	}
	k.adopt(cfg)
	k.camera = timeCamera
	if k.load {
		k.cameras(cfg)
	}
	for i := range cfg.Stations {
		k.station(cfg, i, err == nil)
	}
}

// adopt takes the worker's part of the configuration for what no flag says.
func (k *checker) adopt(cfg *config.Loaded) {
	k.tool.adopt(k.command, cfg)
	w := &cfg.Worker
	limit := w.MemoryLimit
	if limit != 0 && !cfg.Faulty("worker.memory_limit") && !k.command.Flags().Changed(memoryLimit) {
		k.memory = uint64(limit)
	}
	if !cfg.Faulty("worker.parallel") { // each run has its share of the threads, and a model in memory
		k.parallel = w.Parallel
	}
	if !cfg.Faulty("worker.spinning") {
		k.spinning = w.Spinning
	}
}

// station looks at what a station names: its bundle, and the rules about it. Where the file is faulty
// elsewhere, nothing is said to be well.
func (k *checker) station(cfg *config.Loaded, i int, well bool) {
	s := &cfg.Stations[i]
	at := fmt.Sprintf("stations[%d].", i)
	if cfg.Faulty(at + "method") {
		return
	}
	if s.Method == config.MethodCompare {
		k.recipe(cfg, i, nil, well)
		return
	}
	dir := bundle.Find(s.Bundle, cfg.BundleDir)
	unplaced := dir != s.Bundle && (cfg.Faulty("bundle_dir") || cfg.Faulty("state_dir"))
	if unplaced || cfg.Faulty(at+"bundle") {
		return
	}
	model, err := bundle.Load(dir)
	if _, ok := errors.AsType[strictyaml.Faults](err); ok {
		k.manifest(dir, err)
		return
	}
	if err != nil {
		k.found(stationName(cfg, i), "", cfg.Locate(i, noBundle(s.Bundle, cfg.BundleDir, err)))
		return
	}
	policy := s.Provider
	if cfg.Faulty(at + "provider") {
		policy = ""
	}
	k.model(model, policy)
	k.deadline(cfg, i, k.runs[model.Digest+policy])
	k.recipe(cfg, i, model, well)
}

// recipe looks at how method, golden template and rules fit each other and the bundle, nil for none.
func (k *checker) recipe(cfg *config.Loaded, i int, model *bundle.Bundle, well bool) {
	says := "its rules fit the bundle"
	if model == nil {
		says = "its rules fit, and each frame brings its golden template"
	}
	r, err := recipe.New(&cfg.Config, i, model)
	if err == nil {
		_, err = verdict.Compile(cfg.Stations[i].Verdict, &r.Manifest)
		if r.Template != nil {
			says = fmt.Sprintf("its rules fit, and its golden template is %s (%.19s)", r.Template.Name(),
				r.Template.Digest)
		}
	}
	if err = cfg.Locate(i, err); err != nil || well {
		k.found(stationName(cfg, i), says, err)
	}
}

// stationName is what findings call a station; it may have no name yet.
func stationName(cfg *config.Loaded, i int) string {
	if name := cfg.Stations[i].Name; name != "" {
		return "station " + name
	}
	return fmt.Sprintf("stations[%d]", i)
}

// noBundle is the fault of a station whose bundle has no manifest to look at.
func noBundle(name, dir string, err error) strictyaml.Faults {
	remedy := fmt.Sprintf("put it below bundle_dir, %s, or write a path, such as ./%s", dir, name)
	if strings.ContainsRune(name, '/') {
		remedy = fmt.Sprintf("write the path of a folder with %s in it, or the name of one below "+
			"bundle_dir, %s", bundle.ManifestFile, dir)
	}
	return strictyaml.Faults{{
		Path: "bundle", Problem: fmt.Sprintf("bundle %q cannot be used: %v", name, err), Remedy: remedy,
	}}
}
