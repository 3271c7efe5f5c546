package app_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/app"
	"github.com/sightline-edge/sightline/agent/internal/broker/brokertest"
	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/agent/internal/template"
	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

// comparing returns a configuration of one station that compares, and the folder of its templates.
func comparing(t *testing.T, port int) (cfg *config.Loaded, templates string) {
	t.Helper()
	dir := t.TempDir()
	cfg, err := config.Parse(fmt.Appendf(nil, `
place: acme/dongguan/smt
mqtt: {local: "tcp://127.0.0.1:%d", client_id: node-7}
state_dir: %s
health: {listen: "off"}
stations:
  - name: line3/aoi-1
    camera: "sim:?product=3"
    method: compare
    recipe: panel-7
    binarize: 90
    compare: {tolerance: 3, min_area: 20}
    trigger: {mode: mqtt, deadline: 2s}
`, port, dir))
	require.NoError(t, err)
	return cfg, filepath.Join(dir, "templates")
}

func TestAStationThatComparesRunsWithoutABundle(t *testing.T) {
	port := brokertest.FreePort(t)
	t.Cleanup(serveMQTT(t, port))
	cfg, templates := comparing(t, port)
	old, err := template.Save(templates, "panel-7", []byte("an older one"), template.Info{})
	require.NoError(t, err)
	golden, err := template.Save(templates, "panel-7", []byte("a picture"), template.Info{})
	require.NoError(t, err)
	require.NotEqual(t, old.Digest, golden.Digest)
	asked := make(chan *wire.StationConfig, 1)
	p := connectPLC(t, port)
	runAgent(t, app.Options{
		Config: cfg, Log: slog.New(slog.DiscardHandler),
		Launch: fakeworker.Launch(fakeworker.Script{
			Configured: func(p *fakeworker.Peer, m *wire.Configure) {
				s := m.GetStations()[0]
				asked <- s
				p.Send(wire.KindStationState, &wire.StationState{
					Phase: wire.Phase_PHASE_READY, Provider: "cpu", Generation: s.GetGeneration(),
					Model: &wire.Model{Name: "compare", Template: s.GetTemplate().GetDigest()},
				})
			},
			Inspect: func(p *fakeworker.Peer, m *wire.Inspect) {
				p.Answer(m, &wire.Detection{Score: 0.9, X1: 5, Y1: 5, X2: 20, Y2: 20})
			},
		}),
	})
	told := <-asked
	require.Equal(t, config.MethodCompare, told.GetMethod())
	require.Empty(t, told.GetBundleDir())
	require.Equal(t, golden.Path, told.GetTemplate().GetPath(), "the newest one")
	require.Equal(t, "90", told.GetBinarize())
	require.EqualValues(t, 3, told.GetCompare().GetTolerance())
	require.EqualValues(t, 20, told.GetCompare().GetMinArea())
	p.awaitState(event.Ready)
	p.trigger("P1")
	in := p.await(1)[0]
	require.Equal(t, event.Fail, in.Verdict)
	require.Equal(t, "difference", in.Defects[0].Class)
	require.Equal(t, "panel-7", in.RecipeID)
	require.Equal(t, golden.Digest, in.Model.Template)
	require.Empty(t, in.Model.Digest)
}

func TestAnAgentWithoutItsTemplateSaysWhatToDo(t *testing.T) {
	cfg, templates := comparing(t, 1)
	run := func() error {
		return app.Run(t.Context(), app.Options{
			Config: cfg, Log: slog.New(slog.DiscardHandler), Launch: fakeworker.Launch(fakeworker.Script{}),
		})
	}
	err := run()
	require.ErrorAs(t, err, &strictyaml.Faults{})
	require.ErrorContains(t, err, "stations[0].template: golden template: recipe panel-7 has none in ")
	require.ErrorContains(t, err, templates)
	require.ErrorContains(t, err, "run sightline-agent template capture with this configuration and "+
		"--station line3/aoi-1")
	require.NoError(t, os.MkdirAll(filepath.Join(templates, "panel-7", "1"), 0o750))
	require.ErrorContains(t, run(), "read panel-7@1")
}
