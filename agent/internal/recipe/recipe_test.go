package recipe_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/recipe"
	"github.com/sightline-edge/sightline/agent/internal/template"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

// bundles writes five: frames looks at gray frames, colours at colour, pairs beside a template; kinds
// classifies, and anomalies finds what is odd.
func bundles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, input := range map[string]string{
		"frames":  "{width: 64, height: 64, channels: 1}",
		"colours": "{width: 64, height: 64, channels: 3}",
		"pairs":   "{width: 64, height: 64, channels: 2, template: true}\npreprocess: {binarize: otsu}",
		"kinds": "{width: 64, height: 64}\ntask: classification\ndecoder: {family: classifier, " +
			"activation: none}\nclasses: [{name: ok, threshold: 0.5, good: true}]\n",
		"anomalies": "{width: 64, height: 64}\ndecoder: {family: anomaly, anomaly: {normalized: true}}\n" +
			"classes: [{name: odd}]\n",
	} {
		folder := filepath.Join(dir, name)
		require.NoError(t, os.Mkdir(folder, 0o750))
		manifest := fmt.Sprintf("name: %s\nversion: 1.0.0\nserial: 1\ninput: %s\n", name, input)
		if !strings.Contains(input, "decoder") {
			manifest += "decoder: {family: yolov8}\nclasses: [{name: open, threshold: 0.5}]\n"
		}
		require.NoError(t, os.WriteFile(filepath.Join(folder, bundle.ManifestFile), []byte(manifest), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(folder, bundle.ModelFile), nil, 0o600))
	}
	return dir
}

// station reads a configuration whose only station begins on line 5; its text is added from line 7 on.
func station(t *testing.T, bundleDir, templateDir, text string) *config.Loaded {
	t.Helper()
	cfg, err := config.Parse(fmt.Appendf(nil, `place: acme/dongguan/smt
bundle_dir: %s
template_dir: %s
stations:
  - name: line3/aoi-1
%s`, bundleDir, templateDir, text))
	require.NoError(t, err)
	return cfg
}

func saved(t *testing.T, dir, name string, versions int) (newest *template.Template) {
	t.Helper()
	for v := range versions {
		var err error
		newest, err = template.Save(dir, name, fmt.Appendf(nil, "%s %d", name, v), template.Info{})
		require.NoError(t, err)
	}
	return newest
}

func TestWhatDoesNotFitABundleIsToldOnItsLine(t *testing.T) {
	models, templates := bundles(t), t.TempDir()
	saved(t, templates, "pairs", 2)
	for name, c := range map[string]struct{ text, says string }{
		"detect with pairs": {
			"    camera: \"sim:\"\n    bundle: pairs\n    method: detect\n",
			"line 8: stations[0].method: bundle pairs looks at frames beside a golden template " +
				"(use method: pair, or leave it out)",
		},
		"pair with frames": {
			"    camera: \"sim:\"\n    bundle: frames\n    method: pair\n",
			"line 8: stations[0].method: bundle frames takes no golden template " +
				"(use method: detect, or a bundle with input.template)",
		},
		"template for frames": {
			"    camera: \"sim:\"\n    template: pairs\n    bundle: frames\n",
			"line 7: stations[0].template: bundle frames takes no golden template (leave it out)",
		},
		"black and white for colours": {
			"    camera: \"sim:\"\n    binarize: 128\n    bundle: colours\n",
			"line 7: stations[0].binarize: the model of bundle colours takes colours, which are not made " +
				"black and white (leave it out, or take a bundle that takes gray)",
		},
		"tiles of a whole frame": {
			"    camera: \"sim:\"\n    tiles: {overlap: 32}\n    bundle: kinds\n",
			"line 7: stations[0].tiles: bundle kinds is for task classification, whose findings in several " +
				"tiles are not joined (leave it out, or take a bundle for task detection)",
		},
		"no template": {
			"    camera: \"sim:\"\n    bundle: pairs\n    recipe: panel-7\n",
			"line 5: stations[0].template: golden template: recipe panel-7 has none in " + templates,
		},
		"no such version": {
			"    camera: \"sim:\"\n    bundle: pairs\n    template: pairs@7\n",
			"line 8: stations[0].template: golden template: recipe pairs has versions [1 2], and no 7 " +
				"(run sightline-agent template capture with this configuration and --station line3/aoi-1, " +
				"or name another)",
		},
		"no such picture": {
			"    camera: \"sim:\"\n    bundle: pairs\n    template: ./none.png\n",
			"line 8: stations[0].template: golden template: read picture: stat ",
		},
		"no name of a recipe": {
			"    camera: \"sim:\"\n    method: compare\n    recipe: panel 7\n",
			`line 5: stations[0].template: golden template: recipe "panel 7": 1 to 64 letters`,
		},
		"compare without a template": {
			"    camera: \"sim:?template=false\"\n    method: compare\n    recipe: panel-7\n",
			"line 5: stations[0].template: golden template: recipe panel-7 has none in ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := station(t, models, templates, c.text)
			_, err := recipe.Load(&cfg.Config, 0)
			require.ErrorAs(t, err, &strictyaml.Faults{})
			require.ErrorContains(t, cfg.Locate(0, err), c.says)
		})
	}
	cfg := station(t, models, templates, "    camera: \"sim:\"\n    bundle: none\n")
	_, err := recipe.Load(&cfg.Config, 0)
	require.False(t, errors.As(err, &strictyaml.Faults{}))
	require.ErrorContains(t, err, "load bundle: ")
}

func TestATemplateIsTheNewestOfItsRecipeUnlessItIsNamed(t *testing.T) {
	models, templates := bundles(t), t.TempDir()
	picture := filepath.Join(t.TempDir(), "picture.png")
	require.NoError(t, os.WriteFile(picture, []byte("of no recipe"), 0o600))
	pairs, panel := saved(t, templates, "pairs", 3), saved(t, templates, "panel-7", 2)
	first, err := template.Find("panel-7@1", templates)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		text, id, path string
	}{
		"of the bundle": {"", "pairs", pairs.Path},
		"of the recipe": {"    recipe: panel-7\n", "panel-7", panel.Path},
		"named":         {"    recipe: anything\n    template: panel-7\n", "anything", panel.Path},
		"pinned":        {"    template: panel-7@1\n", "pairs", first.Path},
		"a picture":     {"    template: " + picture + "\n", "pairs", picture},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := station(t, models, templates, "    camera: \"sim:\"\n    bundle: pairs\n"+c.text)
			r, err := recipe.Load(&cfg.Config, 0)
			require.NoError(t, err)
			require.Equal(t, c.id, r.ID)
			require.Equal(t, c.path, r.Template.Path)
			require.Regexp(t, `^sha256:[0-9a-f]{64}$`, r.Template.Digest)
			require.NotEmpty(t, r.Digest)
			require.Equal(t, "open", r.Manifest.Classes[0].Name)
		})
	}
}

func TestCamerasThatBringTemplatesNeedNoOther(t *testing.T) {
	models, templates := bundles(t), t.TempDir()
	for camera, brings := range map[string]bool{
		"sim:?template=true": true, "sim:?seed=3&template=1": true, "dir:boards?template=_test:_temp": true,
		"sim:?template=false": false, "sim:?template=0": false, "sim:?template=": false, "sim:": false,
		"dir:boards": false, "rtsp://camera/1?template=1": false, "file:a.png": false,
	} {
		cfg := station(t, models, templates, fmt.Sprintf("    camera: %q\n    bundle: pairs\n", camera))
		r, err := recipe.Load(&cfg.Config, 0)
		require.Equal(t, brings, err == nil, "%s: %v", camera, err)
		if brings {
			require.Nil(t, r.Template)
		}
	}
}

func TestTheWorkerIsToldWhatItNeeds(t *testing.T) {
	models, templates := bundles(t), t.TempDir()
	golden := saved(t, templates, "panel-7", 1)
	tell := func(text string) *wire.StationConfig {
		cfg := station(t, models, templates, text)
		r, err := recipe.Load(&cfg.Config, 0)
		require.NoError(t, err)
		c := &wire.StationConfig{Name: "line3/aoi-1", MaxCrops: 3}
		r.Tell(c)
		require.EqualValues(t, 3, c.GetMaxCrops(), "what is not of the recipe stays")
		return c
	}
	c := tell("    camera: \"sim:\"\n    method: compare\n    recipe: panel-7\n    binarize: 90\n" +
		"    compare: {tolerance: 3, min_area: 20}\n")
	require.Equal(t, "compare", c.GetMethod())
	require.Equal(t, "90", c.GetBinarize())
	require.Empty(t, c.GetBundleDir())
	require.Equal(t, golden.Path, c.GetTemplate().GetPath())
	require.Equal(t, golden.Digest, c.GetTemplate().GetDigest())
	require.EqualValues(t, 3, c.GetCompare().GetTolerance())
	require.EqualValues(t, 20, c.GetCompare().GetMinArea())

	c = tell("    camera: \"sim:\"\n    bundle: frames\n    provider: require\n")
	require.Equal(t, filepath.Join(models, "frames"), c.GetBundleDir())
	require.Equal(t, "require", c.GetProviderPolicy())
	require.Nil(t, c.GetTemplate())
	require.Nil(t, c.GetCompare())

	c = tell("    camera: \"sim:?template=1\"\n    bundle: pairs\n    method: pair\n")
	require.Equal(t, "pair", c.GetMethod())
	require.Nil(t, c.GetTemplate())
}

// A map is kept for the pictures of parts that may fail by any rule of the station, and of no others.
func TestTheWorkerIsToldFromWhichScoreAnAnomalyMayCount(t *testing.T) {
	models := bundles(t)
	for rules, want := range map[string]float32{
		"":                                  0.5,
		"classes: {odd: {threshold: 0.8}}":  0.8,
		"classes: {odd: {verdict: rework}}": 0.5,
		"zones: [{name: a, polygon: [[0, 0], [9, 0], [9, 9]], classes: {odd: {threshold: 0.3}}}]": 0.3,
		"zones: [{name: a, polygon: [[0, 0], [9, 0], [9, 9]], classes: {odd: {threshold: 0.9}}}]": 0.5,
	} {
		cfg := station(t, models, t.TempDir(),
			fmt.Sprintf("    camera: \"sim:\"\n    bundle: anomalies\n    verdict: {%s}\n", rules))
		r, err := recipe.Load(&cfg.Config, 0)
		require.NoError(t, err)
		var c wire.StationConfig
		r.Tell(&c)
		require.InDelta(t, want, c.GetHeatFrom(), 1e-6, rules)
	}
}
