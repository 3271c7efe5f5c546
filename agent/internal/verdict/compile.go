package verdict

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/models/bundle"
)

// Compile checks the configured rules against the bundle's classes. The error holds every mistake.
func Compile(cfg config.Verdict, classes []bundle.Class) (*Rules, error) {
	r := &Rules{}
	for _, c := range classes {
		r.names = append(r.names, c.Name)
		r.plain = append(r.plain, rule{
			threshold: float32(c.Threshold), minSize: float32(cfg.MinSize), verdict: event.Fail,
		})
	}
	faults := r.apply("verdict.classes", r.plain, cfg.Classes)
	for _, z := range cfg.Zones {
		faults = append(faults, r.addZone(z)...)
	}
	return r, errors.Join(faults...)
}

func (r *Rules) addZone(z config.Zone) []error {
	rules := slices.Clone(r.plain)
	faults := r.apply(fmt.Sprintf("verdict.zones: zone %q", z.Name), rules, z.Classes)
	if z.Ignore {
		clear(rules)
	}
	r.zones = append(r.zones, zone{name: z.Name, polygon: z.Polygon, rules: rules})
	return faults
}

// apply changes the rules of the classes that are named; what a class rule leaves out stays as it is.
func (r *Rules) apply(where string, rules []rule, changes map[string]config.ClassRule) []error {
	var faults []error
	for name, change := range changes {
		i := slices.Index(r.names, name)
		if i < 0 {
			faults = append(faults, fmt.Errorf("%s: the bundle has no class %q: it knows %s",
				where, name, strings.Join(r.names, ", ")))
			continue
		}
		if err := rules[i].change(change); err != nil {
			faults = append(faults, fmt.Errorf("%s: class %q: %w", where, name, err))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
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
