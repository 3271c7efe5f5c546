// Package recipe says how a station inspects: which model or none, beside which golden template, and what its
// worker is told of it.
package recipe

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/template"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

// Recipe is how one station inspects. Immutable.
type Recipe struct {
	ID       string // recipeId of results
	Manifest bundle.Manifest
	Digest   string             // of the bundle; empty without a model
	Template *template.Template // nil: none, or each frame brings its own
	Shadow   *Recipe            // of what else sees the station's parts; nil: nothing does

	station *config.Station
	dir     string // of the bundle
}

// Load reads the bundle and the template that a station names. What the configuration says wrongly of them is
// strictyaml.Faults, by paths below the station.
func Load(c *config.Config, station int) (*Recipe, error) {
	r, err := load(c, station)
	if err != nil || c.Stations[station].Shadow == nil {
		return r, err
	}
	if r.Shadow, err = shadow(c, station); err != nil {
		return nil, err
	}
	return r, nil
}

// shadow loads what a station's shadow names, as if it were the station's own.
func shadow(c *config.Config, station int) (*Recipe, error) {
	s := c.Stations[station]
	s.Bundle, s.Template, s.Method, s.Binarize = s.Shadow.Bundle, s.Shadow.Template, "", ""
	s.Compare, s.Shadow = config.Compare{}, nil
	alone := *c
	alone.Stations = []config.Station{s}
	r, err := load(&alone, 0)
	if faults, ok := errors.AsType[strictyaml.Faults](err); ok {
		below := slices.Clone(faults)
		for i := range below {
			below[i].Path = "shadow." + below[i].Path
		}
		return nil, below
	}
	if err != nil {
		return nil, fmt.Errorf("shadow: %w", err)
	}
	return r, nil
}

func load(c *config.Config, station int) (*Recipe, error) {
	s := &c.Stations[station]
	if s.Method == config.MethodCompare {
		return New(c, station, nil)
	}
	model, err := bundle.Load(bundle.Find(s.Bundle, c.BundleDir))
	if err != nil {
		return nil, fmt.Errorf("load bundle: %w", err)
	}
	return New(c, station, model)
}

// New is Load for a bundle that is loaded already; nil for method compare.
func New(c *config.Config, station int, model *bundle.Bundle) (*Recipe, error) {
	s := &c.Stations[station]
	r := &Recipe{ID: s.Recipe, Manifest: bundle.Comparison(), station: s}
	paired := true
	if model != nil {
		r.Manifest, r.Digest, r.dir = model.Manifest, model.Digest, model.Dir
		paired = model.Manifest.Input.Template
	}
	if r.ID == "" {
		r.ID = r.Manifest.Name
	}
	switch {
	case paired && s.Method == config.MethodDetect:
		return nil, fault("method",
			fmt.Sprintf("bundle %s looks at frames beside a golden template", s.Bundle),
			"use method: pair, or leave it out")
	case !paired && s.Method == config.MethodPair:
		return nil, fault("method", fmt.Sprintf("bundle %s takes no golden template", s.Bundle),
			"use method: detect, or a bundle with input.template")
	case model != nil && s.Binarize != "" && r.Manifest.Preprocess.Color != bundle.ColorGray:
		return nil, fault("binarize", fmt.Sprintf("the model of bundle %s takes colours, which are not made "+
			"black and white", s.Bundle), "leave it out, or take a bundle that takes gray")
	case s.Tiles.Overlap > 0 && r.Manifest.Task != bundle.TaskDetection:
		return nil, fault("tiles", fmt.Sprintf("bundle %s is for task %s, whose findings in several tiles "+
			"are not joined", s.Bundle, r.Manifest.Task), "leave it out, or take a bundle for task detection")
	case s.Tiles.Overlap > side(r.Manifest.Input)/2:
		return nil, fault("tiles.overlap", fmt.Sprintf("tiles are as large as the model's input, %d×%d, and "+
			"overlap by %d", r.Manifest.Input.Width, r.Manifest.Input.Height, s.Tiles.Overlap),
			fmt.Sprintf("at most half of it: %d", side(r.Manifest.Input)/2))
	case !paired && s.Template != "":
		return nil, fault("template", fmt.Sprintf("bundle %s takes no golden template", s.Bundle),
			"leave it out")
	case !paired || brought(s.Camera):
		return r, nil
	}
	name := s.Template
	if name == "" {
		name = r.ID
	}
	found, err := template.Find(name, c.TemplateDir)
	if err != nil {
		return nil, fault("template", err.Error(), fmt.Sprintf("run sightline-agent template capture with "+
			"this configuration and --station %s, or name another", s.Name))
	}
	r.Template = found
	return r, nil
}

// side is the shorter one of a model's input, in pixels.
func side(in bundle.Input) int { return min(in.Width, in.Height) }

func fault(path, problem, remedy string) error {
	return strictyaml.Faults{{Path: path, Problem: problem, Remedy: remedy}}
}

// brought says that the camera brings a template with each frame.
func brought(camera string) bool {
	scheme, rest, _ := strings.Cut(camera, ":")
	_, options, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(options)
	wanted := values.Get("template")
	switch {
	case err != nil:
		return false
	case scheme == "sim":
		yes, err := strconv.ParseBool(wanted)
		return err == nil && yes
	}
	return scheme == "dir" && wanted != ""
}

// Tell writes into a worker's configuration what it needs to know.
func (r *Recipe) Tell(c *wire.StationConfig) {
	c.BundleDir, c.BundleDigest, c.ProviderPolicy = r.dir, r.Digest, r.station.Provider
	c.Method, c.Binarize = r.station.Method, r.station.Binarize
	c.TileOverlap, c.HeatFrom = int32(r.station.Tiles.Overlap), r.heatFrom()
	if r.Template != nil {
		c.Template = &wire.Template{Path: r.Template.Path, Digest: r.Template.Digest}
	}
	if r.Shadow != nil {
		c.Shadow = &wire.StationConfig{Name: c.GetName(), Share: r.station.Shadow.Share}
		c.Shadow.EvidenceQuality, c.Shadow.MaxCrops = c.GetEvidenceQuality(), c.GetMaxCrops()
		r.Shadow.Tell(c.Shadow)
	}
	if s := r.station.Compare; s != (config.Compare{}) {
		c.Compare = &wire.Compare{Tolerance: int32(s.Tolerance), MinArea: int32(s.MinArea)}
	}
}

// heatFrom is the least score with which an anomaly may count at this station; 0: it is no such bundle.
func (r *Recipe) heatFrom() float32 {
	if r.Manifest.Task != bundle.TaskAnomaly {
		return 0
	}
	name, least := r.Manifest.Classes[0].Name, r.Manifest.Classes[0].Threshold
	if t := r.station.Verdict.Classes[name].Threshold; t != nil {
		least = *t
	}
	for _, z := range r.station.Verdict.Zones {
		if t := z.Classes[name].Threshold; t != nil {
			least = min(least, *t)
		}
	}
	return float32(least)
}
