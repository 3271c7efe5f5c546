package line_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
	"github.com/sightline-edge/sightline/models/bundle"
)

// The shadow is the reference bundle with thresholds that nothing reaches: it passes what the line fails. Its
// pictures say so; verdicts are those of the line.
func TestAShadowSeesTheLinesPartsWithoutASay(t *testing.T) {
	blind := t.TempDir()
	require.NoError(t, os.CopyFS(blind, os.DirFS("../../../models/pcb-defects")))
	manifest := filepath.Join(blind, bundle.ManifestFile)
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	changed := regexp.MustCompile(`threshold: [0-9.]+`).ReplaceAll(text, []byte("threshold: 1"))
	changed, _, found := bytes.Cut(changed, []byte("\ngolden:")) // which list what is found
	require.True(t, found)
	require.NoError(t, os.WriteFile(manifest, changed, 0o600))
	_, err = bundle.Load(blind)
	require.NoError(t, err)

	line, health, state := servers.StartMosquitto(t, servers.MosquittoOptions{}), freeAddress(t), t.TempDir()
	seeing, err := filepath.Abs("../../../models/pcb-defects")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "sightline.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `place: acme/dongguan/smt
mqtt: {local: %q, client_id: e2e}
state_dir: %q
health: {listen: %q}
stations:
  - name: line3/aoi-1
    camera: "sim:?width=640&height=640&seed=11&clean=0"
    read_timeout: 5s
    bundle: %q
    shadow: {bundle: %q, share: 0.5}
    trigger: {mode: mqtt, deadline: 10s}
`, line.URL(), state, health, seeing, blind), 0o600))
	startProgram(t, "sightline-agent", "run", file)
	p := newPLC(t, line.URL())
	p.until("TriggerReady", func() bool { return p.ready })
	require.Equal(t, event.CandidateShadow, p.state.Candidate.Phase)
	sent := 0
	seen := func() float64 { return shadowed(t, health, "FAIL/PASS") }
	drawn := func() int {
		pictures, err := filepath.Glob(filepath.Join(state, "evidence", "*", "line3-aoi-1", "*-1000.jpg"))
		require.NoError(t, err)
		return len(pictures)
	}
	for limit := time.Now().Add(patience); sent < 10 || seen() < 3 || drawn() == 0; {
		require.True(t, time.Now().Before(limit), "the shadow sees parts")
		sent = p.one(sent)
		in := &p.results[sent-1]
		require.NotEqual(t, event.Unknown, in.Verdict, "%s %s", in.Reason, in.Detail)
		require.Equal(t, "pcb-defects", in.Model.Name)
	}
	failed := 0
	for i := range p.results {
		if p.results[i].Verdict == event.Fail {
			failed++
		}
	}
	require.Greater(t, failed, sent/2, "each board has defects")
	require.LessOrEqual(t, seen(), float64(failed))
}

// shadowed is how many parts had these two verdicts, by the line and by the shadow.
func shadowed(t *testing.T, health, verdicts string) float64 {
	t.Helper()
	n, _ := sumOf(t, health, `sightline_station_total{label="`+verdicts+
		`",station="acme/dongguan/smt/line3/aoi-1",what="shadow"}`)
	return n
}
