package line_test

import (
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
)

// asPNG puts the first real board into a folder, and returns its pixels.
func asPNG(t *testing.T, dir string) image.Image {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dataset(t), "*_test.jpg"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	f, err := os.Open(names[0])
	require.NoError(t, err)
	board, err := jpeg.Decode(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	f, err = os.Create(filepath.Join(dir, "board.png"))
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, board))
	require.NoError(t, f.Close())
	return board
}

// From the camera through the real worker, mosquitto and the disk to a data set: what an operator says of a
// part is beside the very pixels that the model saw.
func TestAnOverriddenPartBecomesALabelledImage(t *testing.T) {
	line, dir := servers.StartMosquitto(t, servers.MosquittoOptions{}), t.TempDir()
	boards, kept, out := t.TempDir(), filepath.Join(dir, "samples"), filepath.Join(dir, "export")
	board := asPNG(t, boards)
	bundle, err := filepath.Abs("../../../models/pcb-defects")
	require.NoError(t, err)
	path := filepath.Join(dir, "sightline.yaml")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `place: acme/dongguan/smt
mqtt: {local: %q, client_id: e2e}
state_dir: %q
samples: {dir: %q}
health: {listen: "off"}
stations:
  - name: line3/aoi-1
    camera: %q
    bundle: %q
    trigger: {mode: mqtt, deadline: 10s}
`, line.URL(), filepath.Join(dir, "state"), kept, "dir:"+boards+"?loop=true", bundle), 0o600))
	startProgram(t, "sightline-agent", "run", path)
	p := newPLC(t, line.URL())
	p.until("Ready", func() bool { return p.ready })
	p.trigger("PCB-1")
	p.until("its result", func() bool { return len(p.results) == 1 })
	require.Equal(t, event.Fail, p.results[0].Verdict, "the board has defects")

	answers := make(chan event.OverrideAckMessage, 4)
	p.done(p.client.Subscribe(place().Topic(topic.OverrideAck), 1, func(_ mqtt.Client, m mqtt.Message) {
		var ack event.OverrideAckMessage
		if broken := json.Unmarshal(m.Payload(), &ack); broken != nil {
			t.Error(broken)
		}
		answers <- ack
	}))
	p.done(p.client.Publish(place().Topic(topic.Override), 1, false, `{"partId":"PCB-1","verdict":"FAIL",
		"operator":"mei","defects":[{"class":"scratch","box":[64,32,128,96]}]}`))
	ack := <-answers
	require.True(t, ack.Accepted, "%+v", ack)
	require.Equal(t, p.results[0].ResultID, ack.ResultID)

	// The picture may be on its way still: the sample gets it when it comes.
	picture := filepath.Join(kept, "line3-aoi-1", "*", ack.ResultID+".png")
	require.Eventually(t, func() bool {
		found, wrong := filepath.Glob(picture)
		return wrong == nil && len(found) == 1
	}, patience, 50*time.Millisecond)
	require.Eventually(t, func() bool { return exported(t, path, out) == 1 }, patience, 50*time.Millisecond)
	require.Equal(t, "data.yaml", filepath.Base(first(t, out, "*.yaml")))
	label, err := os.ReadFile(first(t, out, "labels", "*.txt"))
	require.NoError(t, err)
	size := board.Bounds().Size()
	require.Equal(t, fmt.Sprintf("6 %.6f %.6f %.6f %.6f\n", 96/float64(size.X), 64/float64(size.Y),
		64/float64(size.X), 64/float64(size.Y)), string(label), "the seventh class, behind the model's")
	f, err := os.Open(first(t, out, "images", "*.png"))
	require.NoError(t, err)
	got, err := png.Decode(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, board.Bounds(), got.Bounds())
	for y := range size.Y {
		for x := range size.X {
			want, _, _, _ := board.At(x, y).RGBA()
			is, _, _, _ := got.At(x, y).RGBA()
			require.Equal(t, want>>8, is>>8, "%d, %d", x, y)
		}
	}
}

// exported is how many images an export has that an operator labelled; a folder of an export before is
// removed.
func exported(t *testing.T, path, out string) int {
	t.Helper()
	require.NoError(t, os.RemoveAll(out))
	command := exec.CommandContext(t.Context(), filepath.Join(programs, "sightline-agent"), "samples",
		"export", path, "--format", "yolo", "--out", out, "-o", "json")
	raw, err := command.Output()
	if err != nil {
		return 0
	}
	var done struct{ Vouched int }
	require.NoError(t, json.Unmarshal(raw, &done))
	return done.Vouched
}

// first is the only file of a pattern.
func first(t *testing.T, parts ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(parts...))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}
