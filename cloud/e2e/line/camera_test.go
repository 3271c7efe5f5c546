package line_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
)

// The camera is a folder, which can be taken away and brought back.
func TestACameraThatVanishesLeavesItsPartUnknownAndTheLineGoesOnWhenItIsBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "boards")
	require.NoError(t, os.Mkdir(dir, 0o700))
	boards, err := filepath.Glob("../../../models/pcb-defects/golden/*.png")
	require.NoError(t, err)
	require.NotEmpty(t, boards)
	raw, err := os.ReadFile(boards[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "1.png"), raw, 0o600))
	line := servers.StartMosquitto(t, servers.MosquittoOptions{})
	startAgent(t, agentConfig{local: line.URL(), camera: "dir:" + dir + "?loop=true", deadline: "20s"})
	p := newPLC(t, line.URL())
	p.until("TriggerReady", func() bool { return p.ready })
	sent := p.one(0)
	require.NotEqual(t, event.Unknown, p.results[0].Verdict, p.results[0].Reason)

	require.NoError(t, os.Rename(dir, dir+"-away"))
	sent = p.one(sent)
	lost := p.results[1]
	require.Equal(t, event.Unknown, lost.Verdict)
	require.Equal(t, "no_frame", lost.Reason)
	require.Contains(t, lost.Detail, "list images")
	p.until("the station to say so", func() bool { return !p.ready })

	require.NoError(t, os.Rename(dir+"-away", dir))
	p.until("TriggerReady", func() bool { return p.ready })
	p.one(sent)
	require.Equal(t, p.results[0].Verdict, p.results[2].Verdict)
	require.Equal(t, p.results[0].Defects, p.results[2].Defects)
}
