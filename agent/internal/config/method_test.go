package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/config"
)

// oneStation is a configuration whose station has these lines from line 5 on.
func oneStation(lines string) []byte {
	return []byte(`place: acme/dongguan/smt
stations:
  - name: line3/aoi-1
    camera: "sim:"
` + lines)
}

func TestMethodsAreReadWithTheirSettings(t *testing.T) {
	c, err := config.Parse(oneStation(`    method: compare
    recipe: panel-7
    template: panel-7@2
    binarize: 128
    compare: {tolerance: 3, min_area: 40}
`))
	require.NoError(t, err)
	s := c.Stations[0]
	require.Equal(t, config.MethodCompare, s.Method)
	require.Equal(t, "panel-7@2", s.Template)
	require.Equal(t, "128", s.Binarize)
	require.Equal(t, config.Compare{Tolerance: 3, MinArea: 40}, s.Compare)
	require.Equal(t, "/var/lib/sightline/templates", c.TemplateDir)

	for _, lines := range []string{
		"    bundle: b\n    method: pair\n    template: p\n    binarize: otsu\n",
		"    bundle: b\n    method: detect\n",
		"    bundle: b\n    binarize: \"200\"\n",
	} {
		_, err = config.Parse(oneStation(lines))
		require.NoError(t, err, lines)
	}
	c, err = config.Parse(append(oneStation("    bundle: b\n"), "state_dir: /srv/s\n"...))
	require.NoError(t, err)
	require.Equal(t, "/srv/s/templates", c.TemplateDir)
}

func TestFaultsOfAMethodAreToldOnTheirLine(t *testing.T) {
	for name, c := range map[string]struct{ lines, says string }{
		"unknown": {"    method: comparing\n", "line 5: stations[0].method: "},
		"model for a comparison": {
			"    recipe: r\n    method: compare\n    bundle: b\n",
			"line 7: stations[0].bundle: method compare uses no model (leave bundle out, " +
				"or use method: pair)",
		},
		"no recipe": {
			"    method: compare\n",
			"line 3: stations[0].recipe: no recipe is named (say what is inspected: " +
				"templates belong to recipes)",
		},
		"no model": {
			"    method: pair\n",
			"line 3: stations[0].bundle: no bundle is named (the name of a bundle in bundle_dir, or a path)",
		},
		"settings of another method": {
			"    bundle: b\n    compare: {min_area: 5}\n",
			"line 6: stations[0].compare: settings of method compare (leave them out, " +
				"or use method: compare)",
		},
		"template of a detection": {
			"    bundle: b\n    method: detect\n    template: t\n",
			"line 7: stations[0].template: method detect uses no template (leave it out, " +
				"or use method: pair)",
		},
		"binarize": {
			"    bundle: b\n    binarize: 300\n",
			`line 6: stations[0].binarize: not a way to binarize: "300" is no threshold ` +
				"(otsu, or the least gray that becomes white, 1 to 255)",
		},
		"tolerance": {
			"    method: compare\n    recipe: r\n    compare:\n      tolerance: 17\n",
			"line 8: stations[0].compare.tolerance: ",
		},
		"area": {
			"    method: compare\n    recipe: r\n    compare:\n      min_area: -1\n",
			"line 8: stations[0].compare.min_area: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse(oneStation(c.lines))
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "\n", "one fault is told once")
		})
	}
}
