package line_test

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/cloud/e2e/servers"
)

// goodBoards copies real boards without a defect, and the same as they look when the lamp is dim.
func goodBoards(t *testing.T, n int) (bright, dim string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dataset(t), "*_temp.jpg"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(names), n)
	bright, dim = t.TempDir(), t.TempDir()
	for i := range n {
		raw, err := os.ReadFile(names[i*len(names)/n])
		require.NoError(t, err)
		board, err := jpeg.Decode(bytes.NewReader(raw))
		require.NoError(t, err)
		write := func(dir string, light float64) {
			size := board.Bounds()
			picture := image.NewGray(size)
			for y := range size.Dy() {
				for x := range size.Dx() {
					gray, _, _, _ := board.At(x, y).RGBA()
					picture.Pix[y*picture.Stride+x] = uint8(float64(gray>>8) * light)
				}
			}
			var b bytes.Buffer
			require.NoError(t, png.Encode(&b, picture))
			name := filepath.Join(dir, fmt.Sprintf("board-%03d.png", i))
			require.NoError(t, os.WriteFile(name, b.Bytes(), 0o600))
		}
		write(bright, 1)
		write(dim, 0.3)
	}
	return bright, dim
}

// A reference that the real worker made of real boards tells, in the station's state, that a lamp has gone
// dim while the model goes on giving verdicts.
func TestALampThatGoesDimIsToldInTheState(t *testing.T) {
	line, dir := servers.StartMosquitto(t, servers.MosquittoOptions{}), t.TempDir()
	bright, dim := goodBoards(t, 45)
	bundle, program := filepath.Join(dir, "pcb-defects"), filepath.Join(programs, "sightline-agent")
	require.NoError(t, os.CopyFS(bundle, os.DirFS("../../../models/pcb-defects")))
	command := exec.CommandContext(t.Context(), program, "reference", "--bundle", bundle, "--images", bright)
	command.Stderr = t.Output()
	reference, err := command.Output()
	require.NoError(t, err)
	manifest := filepath.Join(bundle, "bundle.yaml")
	before, err := os.ReadFile(manifest)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(manifest, append(before, reference...), 0o600))

	for _, c := range []struct{ name, boards, says string }{
		{"bright", bright, ""}, {"dim", dim, "darker"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sightline.yaml")
			require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `place: acme/dongguan/smt
mqtt: {local: %q, client_id: %q}
state_dir: %q
health: {listen: "off"}
stations:
  - name: line3/aoi-1
    camera: %q
    bundle: %q
    trigger: {mode: mqtt, deadline: 10s}
`, line.URL(), c.name, t.TempDir(), "dir:"+c.boards+"?loop=true", bundle), 0o600))
			startProgram(t, "sightline-agent", "run", path)
			p := newPLC(t, line.URL())
			p.until("Ready", func() bool { return p.ready && p.state.Heartbeat > 0 })
			for n := range 60 {
				p.trigger(fmt.Sprintf("%s-%d", c.name, n))
				p.until("its result", func() bool { return len(p.results) == n+1 })
			}
			if c.says != "" {
				p.until("the sentence", func() bool { return strings.Contains(p.state.Drift, c.says) })
			}
			beats := p.state.Heartbeat
			p.until("another state", func() bool { return p.state.Heartbeat > beats })
			require.Equal(t, c.says == "", p.state.Drift == "", p.state.Drift)
			require.True(t, p.ready, "it goes on taking triggers")
		})
	}
}
