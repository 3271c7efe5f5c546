package verdict

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

// Compile checks the configured rules against the bundle's task and classes. An error is strictyaml.Faults
// with every mistake, its path below the station and without a line: config.Loaded.Locate knows that.
func Compile(cfg config.Verdict, m *bundle.Manifest) (*Rules, error) {
	r := &Rules{task: m.Task, own: len(m.First().Classes)}
	for _, one := range m.Measures() {
		r.measures = append(r.measures, event.Measure{Name: one.Name, Unit: one.Unit})
	}
	for _, c := range m.Classes {
		r.names = append(r.names, c.Name)
		made := rule{
			threshold: float32(c.Threshold), minSize: float32(cfg.MinSize), verdict: event.Fail, good: c.Good,
		}
		if c.Good {
			made.verdict = ""
		}
		r.plain = append(r.plain, made)
	}
	faults := r.refusePlaces(cfg)
	faults = append(faults, r.apply("verdict.classes", r.plain, cfg.Classes)...)
	for i, z := range cfg.Zones {
		faults = append(faults, r.addZone(i, z)...)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return r, nil
}

// refusePlaces finds rules of place and size for what has neither.
func (r *Rules) refusePlaces(cfg config.Verdict) strictyaml.Faults {
	if r.task != bundle.TaskClassification {
		return nil
	}
	var faults strictyaml.Faults
	refuse := func(path string) {
		faults = append(faults, strictyaml.Fault{
			Path: path, Problem: "the bundle classifies the frame as a whole", Remedy: "leave it out",
		})
	}
	if cfg.MinSize > 0 {
		refuse("verdict.min_size")
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Classes)) {
		if cfg.Classes[name].MinSize != nil {
			refuse("verdict.classes." + name + ".min_size")
		}
	}
	if len(cfg.Zones) > 0 {
		refuse("verdict.zones")
	}
	return faults
}

func (r *Rules) addZone(i int, z config.Zone) strictyaml.Faults {
	rules := slices.Clone(r.plain)
	faults := r.apply(fmt.Sprintf("verdict.zones[%d].classes", i), rules, z.Classes)
	if z.Ignore {
		clear(rules)
	}
	r.zones = append(r.zones, zone{name: z.Name, polygon: z.Polygon, rules: rules})
	return faults
}

// apply changes the rules of the classes that are named; what a class rule leaves out stays as it is.
func (r *Rules) apply(path string, rules []rule, changes map[string]config.ClassRule) strictyaml.Faults {
	var faults strictyaml.Faults
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		at := path + "." + name
		i := slices.Index(r.names, name)
		if i < 0 {
			faults = append(faults, strictyaml.Fault{
				Path: at, Problem: fmt.Sprintf("the bundle has no class %q", name),
				Remedy: "it knows " + strings.Join(r.names, ", "),
			})
			continue
		}
		if rules[i].good && changes[name].Verdict != "" {
			faults = append(faults, strictyaml.Fault{
				Path: at + ".verdict", Problem: fmt.Sprintf("class %q is good: it is no defect", name),
				Remedy: "leave verdict out, or good out of the bundle",
			})
			continue
		}
		if i >= r.own && changes[name].Threshold != nil {
			faults = append(faults, strictyaml.Fault{
				Path: at + ".threshold", Problem: fmt.Sprintf("class %q is of the bundle's second model, "+
					"which takes the place of what the first one found: a part could pass of which neither "+
					"is sure", name),
				Remedy: "leave it out, and change the threshold in bundle.yaml",
			})
			continue
		}
		if err := rules[i].change(changes[name]); err != nil {
			faults = append(faults, strictyaml.Fault{Path: at + ".verdict", Problem: err.Error()})
		}
	}
	return faults
}

func (u *rule) change(c config.ClassRule) error {
	if c.Threshold != nil {
		u.threshold = float32(*c.Threshold)
	}
	if c.MinSize != nil {
		u.minSize = float32(*c.MinSize)
	}
	switch c.Verdict {
	case "": // as it is
	case config.RuleFail:
		u.verdict = event.Fail
	case config.RuleRework:
		u.verdict = event.Rework
	case config.RuleIgnore:
		u.verdict = ""
	default:
		return fmt.Errorf("verdict %q is none of fail, rework, ignore", c.Verdict)
	}
	return nil
}
