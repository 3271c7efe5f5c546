package line_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
)

// compared is a configuration of a station that compares boards with their golden templates.
func compared(t *testing.T, broker, camera string) (path string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "sightline.yaml")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `place: acme/dongguan/smt
mqtt: {local: %q, client_id: e2e}
state_dir: %q
health: {listen: "off"}
stations:
  - name: line3/aoi-1
    camera: %q
    method: compare
    recipe: panel-7
    trigger: {mode: mqtt, deadline: 10s}
`, broker, filepath.Join(dir, "state"), camera), 0o600))
	return path
}

// captureTemplate makes the golden template of the station's recipe of good boards, and returns its digest.
func captureTemplate(t *testing.T, path, camera string) string {
	t.Helper()
	program := filepath.Join(programs, "sightline-agent")
	command := exec.CommandContext(t.Context(), program, "template", "capture", path,
		"--camera", camera, "-o", "json")
	command.Stderr = t.Output()
	out, err := command.Output()
	require.NoError(t, err)
	var made struct{ Digest string }
	require.NoError(t, json.Unmarshal(out, &made))
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", made.Digest)
	return made.Digest
}

// From good boards to verdicts, without a model: those of the simulation itself.
func TestBoardsComparedWithTheirTemplateGetTheVerdictThatIsTrue(t *testing.T) {
	const parts = 30
	for name, c := range map[string]struct{ camera, good string }{
		"captured": {camera: "sim:?product=3", good: "sim:?product=3&clean=1"},
		"brought":  {camera: "sim:?product=3&template=true"},
	} {
		t.Run(name, func(t *testing.T) {
			line := servers.StartMosquitto(t, servers.MosquittoOptions{})
			path, digest := compared(t, line.URL(), c.camera), ""
			if c.good != "" {
				digest = captureTemplate(t, path, c.good)
			}
			startProgram(t, "sightline-agent", "run", path)
			p := newPLC(t, line.URL())
			p.until("TriggerReady", func() bool { return p.ready })
			for i := range parts {
				p.trigger(fmt.Sprintf("board-%03d", i))
				p.until("a result", func() bool { return len(p.results) > i })
			}
			kinds := map[event.Verdict]int{}
			for _, in := range p.results {
				want := event.Pass
				if len(in.Truth) > 0 {
					want = event.Fail
				}
				require.Equal(t, want, in.Verdict, "%s: %s %s: %v was drawn, %v is found", in.PartID,
					in.Reason, in.Detail, in.Truth, in.Defects)
				require.Equal(t, digest, in.Model.Template)
				require.Equal(t, "compare", in.Model.Name)
				require.Empty(t, in.Model.Digest)
				require.Equal(t, "panel-7", in.RecipeID)
				kinds[in.Verdict]++
			}
			require.Greater(t, kinds[event.Pass], parts/5)
			require.Greater(t, kinds[event.Fail], parts/5)
		})
	}
}
