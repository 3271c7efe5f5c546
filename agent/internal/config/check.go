package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

// The trigger modes.
const (
	ModeContinuous = "continuous"
	ModeInterval   = "interval"
	ModeMQTT       = "mqtt"
)

// The methods of inspection.
const (
	MethodDetect  = "detect"
	MethodPair    = "pair"
	MethodCompare = "compare"
)

// When the threads of inference wait busily.
const (
	SpinRun    = "run"
	SpinAlways = "always"
	SpinNever  = "never"
)

// What a class rule may say.
const (
	RuleFail   = "fail"
	RuleRework = "rework"
	RuleIgnore = "ignore"
)

const (
	minBudget   = 1 << 20
	maxStations = 64
	maxThreads  = 256
	maxParallel = 16
	maxCrops    = 64
	// A wandering edge of 16 pixels hides any defect, and a difference of 2^20 is a board of its own.
	maxTolerance = 16
	maxArea      = 1 << 20
	// maxOverlap is more than half of any model's input.
	maxOverlap   = 8192
	defaultShare = 0.1
	// leastShare of a shadow is of use: less is a part an hour, or none.
	leastShare = 0.001
	// leastRecycled is what any worker takes.
	leastRecycled = 64 << 20
	// minMemory is what the worker needs before it has loaded a model.
	minMemory = 1 << 30
)

// MinOverlap of tiles in pixels: in less, hardly any defect is whole.
const MinOverlap = 32

func (c *Config) check(doc *strictyaml.Document) {
	if _, err := topic.ParseStation(c.Place + "/line/station"); err != nil {
		doc.Add(
			"place",
			fmt.Sprintf("%q is not a place", c.Place),
			"write enterprise/site/area, such as acme/dongguan/smt",
		)
	}
	c.MQTT.check(doc)
	if len(c.Stations) == 0 || len(c.Stations) > maxStations {
		doc.Add(
			"stations",
			fmt.Sprintf("%d stations", len(c.Stations)),
			"one to 64, each with a name, a camera and, unless its method is compare, a bundle",
		)
	}
	clients := map[string]string{} // names by what the broker sees of them
	for i := range c.Stations {
		s := &c.Stations[i]
		at := fmt.Sprintf("stations[%d]", i)
		switch other, taken := clients[s.Client()]; {
		case s.Name == "" || !taken:
		case other == s.Name:
			doc.Add(at+".name", s.Name+" is there twice", "stations have different names")
		default:
			doc.Add(at+".name", fmt.Sprintf("%s and %s are both %s-%s at the broker", other, s.Name,
				c.MQTT.ClientID, s.Client()), "rename one: two clients of one id throw each other out")
		}
		clients[s.Client()] = s.Name
		c.checkStation(doc, at, s)
	}
	doc.Within("worker.threads", float64(c.Worker.Threads), 0, maxThreads)
	doc.Within("worker.parallel", float64(c.Worker.Parallel), 1, maxParallel)
	doc.OneOf("worker.spinning", c.Worker.Spinning, SpinRun, SpinAlways, SpinNever)
	if c.Worker.MemoryLimit != 0 {
		doc.Within("worker.memory_limit", float64(c.Worker.MemoryLimit), minMemory, math.MaxInt64)
	}
	if c.Worker.RecycleAbove != 0 {
		doc.Within("worker.recycle_above", float64(c.Worker.RecycleAbove), leastRecycled, math.MaxInt64)
	}
	doc.Within("outbox.max_bytes", float64(c.Outbox.MaxBytes), minBudget, math.MaxInt64)
	doc.Within("evidence.max_bytes", float64(c.Evidence.MaxBytes), minBudget, math.MaxInt64)
	doc.Within("evidence.max_crops", float64(*c.Evidence.MaxCrops), 0, maxCrops)
	doc.Within("evidence.quality", float64(c.Evidence.Quality), 1, 100)
	c.Samples.check(doc)
}

func (c *Config) checkStation(doc *strictyaml.Document, at string, s *Station) {
	if _, err := topic.ParseStation("a/b/c/" + s.Name); err != nil {
		doc.Add(
			at+".name",
			fmt.Sprintf("%q is not a station", s.Name),
			"write line/station, such as line3/aoi-1",
		)
	}
	checkCamera(doc, at+".camera", s.Camera)
	checkMethod(doc, at, s)
	checkTrigger(doc, at+".trigger", &s.Trigger)
	duration(doc, at+".open_timeout", s.OpenTimeout, 10*time.Millisecond, time.Minute)
	duration(doc, at+".read_timeout", s.ReadTimeout, 10*time.Millisecond, time.Minute)
	if s.Provider != "" {
		doc.OneOf(at+".provider", s.Provider, "require", "fallback")
	}
	checkVerdict(doc, at+".verdict", &s.Verdict)
	checkShadow(doc, at+".shadow", s)
}

func checkShadow(doc *strictyaml.Document, at string, s *Station) {
	switch {
	case s.Shadow == nil:
		return
	case s.Shadow.Bundle == "":
		doc.Add(at+".bundle", "no bundle is named", "the name of a bundle in bundle_dir, or a path")
	case s.Tiles.Overlap > 0:
		doc.Add(at, "frames in tiles have no shadow", "leave shadow or tiles out")
	}
	doc.Within(at+".share", s.Shadow.Share, leastShare, 1)
}

func checkMethod(doc *strictyaml.Document, at string, s *Station) {
	comparing := s.Method == MethodCompare
	if s.Method != "" {
		doc.OneOf(at+".method", s.Method, MethodDetect, MethodPair, MethodCompare)
	}
	switch {
	case doc.Faulty(at + ".method"): // whether a bundle is wanted is not known
	case comparing && s.Bundle != "":
		doc.Add(at+".bundle", "method compare uses no model", "leave bundle out, or use method: pair")
	case comparing && s.Recipe == "":
		doc.Add(at+".recipe", "no recipe is named", "say what is inspected: templates belong to recipes")
	case !comparing && s.Bundle == "":
		doc.Add(at+".bundle", "no bundle is named", "the name of a bundle in bundle_dir, or a path")
	case !comparing && s.Compare != Compare{}:
		doc.Add(at+".compare", "settings of method compare", "leave them out, or use method: compare")
	case s.Method == MethodDetect && s.Template != "":
		doc.Add(at+".template", "method detect uses no template", "leave it out, or use method: pair")
	}
	if _, _, err := (bundle.Preprocess{Binarize: s.Binarize}).Binary(); err != nil {
		doc.Add(at+".binarize", err.Error(), "otsu, or the least gray that becomes white, 1 to 255")
	}
	doc.Within(at+".compare.tolerance", float64(s.Compare.Tolerance), 0, maxTolerance)
	doc.Within(at+".compare.min_area", float64(s.Compare.MinArea), 0, maxArea)
	checkTiles(doc, at+".tiles", s)
}

func checkTiles(doc *strictyaml.Document, at string, s *Station) {
	switch {
	case s.Tiles == Tiles{}:
	case s.Method == MethodCompare:
		doc.Add(at, "method compare sees each frame as a whole", "leave tiles out")
	default:
		doc.Within(at+".overlap", float64(s.Tiles.Overlap), MinOverlap, maxOverlap)
	}
}

func checkTrigger(doc *strictyaml.Document, at string, t *Trigger) {
	doc.OneOf(at+".mode", t.Mode, ModeContinuous, ModeInterval, ModeMQTT)
	switch {
	case doc.Faulty(at + ".mode"): // what the interval means is not known
	case t.Mode == ModeInterval:
		duration(doc, at+".interval", t.Interval, time.Millisecond, time.Hour)
	case t.Interval != 0:
		doc.Add(at+".interval", "has no meaning in mode "+t.Mode, "use mode: interval, or leave it out")
	}
	duration(doc, at+".deadline", t.Deadline, time.Millisecond, time.Minute)
	duration(doc, at+".repeat_window", t.RepeatWindow, time.Millisecond, time.Minute)
}

// Cameras are checked by their scheme alone; the worker knows the rest.
func checkCamera(doc *strictyaml.Document, path, uri string) {
	scheme, rest, found := strings.Cut(uri, ":")
	known := []string{"v4l2", "gst", "rtsp", "rtsps", "file", "dir", "sim"}
	switch {
	case !found || !slices.Contains(known, scheme):
		doc.Add(path, fmt.Sprintf("%q is not a camera", uri),
			"one of v4l2:/dev/video0, gst:<pipeline>, rtsp://…, file:…, dir:…, sim:")
	case rest == "" && scheme != "sim":
		doc.Add(path, scheme+": names nothing", "say which device, pipeline, address or path")
	}
}

func checkVerdict(doc *strictyaml.Document, at string, v *Verdict) {
	doc.Within(at+".min_size", v.MinSize, 0, math.MaxUint16)
	checkRules(doc, at+".classes", v.Classes)
	for i, z := range v.Zones {
		zone := fmt.Sprintf("%s.zones[%d]", at, i)
		if z.Name == "" {
			doc.Add(zone+".name", "the zone has no name", "results name it")
		}
		if len(z.Polygon) < 3 {
			doc.Add(zone+".polygon", fmt.Sprintf("%d corners", len(z.Polygon)), "at least three [x, y]")
		}
		for _, corner := range z.Polygon {
			if math.IsNaN(corner[0]+corner[1]) || math.IsInf(corner[0]+corner[1], 0) {
				doc.Add(zone+".polygon", "a corner is not finite", "pixels of the frame")
			}
		}
		if z.Ignore && len(z.Classes) > 0 {
			doc.Add(zone+".classes", "rules in a zone that is ignored", "drop ignore or the rules")
		}
		checkRules(doc, zone+".classes", z.Classes)
	}
}

func checkRules(doc *strictyaml.Document, at string, rules map[string]ClassRule) {
	for _, class := range slices.Sorted(maps.Keys(rules)) {
		path, rule := at+"."+class, rules[class]
		if rule.Threshold != nil {
			doc.Within(path+".threshold", *rule.Threshold, 0, 1)
		}
		if rule.MinSize != nil {
			doc.Within(path+".min_size", *rule.MinSize, 0, math.MaxUint16)
		}
		if rule.Verdict != "" {
			doc.OneOf(path+".verdict", rule.Verdict, RuleFail, RuleRework, RuleIgnore)
		}
	}
}

func duration(doc *strictyaml.Document, path string, value, low, high time.Duration) {
	if value < low || value > high {
		doc.Add(path, fmt.Sprintf("%s is out of range", value), fmt.Sprintf("%s to %s", low, high))
	}
}
