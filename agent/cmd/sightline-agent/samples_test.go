package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/eval"
	"github.com/sightline-edge/sightline/agent/internal/samples"
)

// ofSamples runs one of the commands, which need no worker.
func ofSamples(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := root()
	c.SetArgs(append([]string{"samples"}, args...))
	c.SetOut(&out)
	c.SetErr(t.Output())
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

// sampled makes a store with three samples, an hour apart, and a configuration that names it.
func sampled(t *testing.T) (cfg string) {
	t.Helper()
	dir := t.TempDir()
	s, err := samples.Open(samples.Options{Dir: filepath.Join(dir, "samples")})
	require.NoError(t, err)
	var frame bytes.Buffer
	require.NoError(t, png.Encode(&frame, image.NewGray(image.Rect(0, 0, 100, 50))))
	for n := range 3 {
		id, err := event.NewID()
		require.NoError(t, err)
		s.Note(&samples.Record{
			ResultID: id, Station: "acme/hz/smt/line3/aoi-1", PartID: fmt.Sprintf("PCB-%d", n),
			Time: time.Now().Add(time.Duration(n-2) * time.Hour), Reason: samples.Uncertain,
			Margin: 0.01, Verdict: event.Fail, Classes: []string{"open", "short"},
			Detections: []samples.Detection{
				{Class: "short", Score: 0.6, Box: [4]float32{10, 10, 30, float32(20 + n)}, Counted: true},
			},
		})
		require.NoError(t, s.Sampled(id, samples.Chunks{frame.Bytes()}))
	}
	require.NoError(t, s.Close())
	cfg = filepath.Join(dir, "sightline.yaml")
	require.NoError(t, os.WriteFile(cfg, fmt.Appendf(nil, "place: acme/hz/smt\nstate_dir: %s\nstations:\n"+
		"  - {name: line3/aoi-1, camera: 'sim:', bundle: pcb-defects}\n", dir), 0o600))
	return cfg
}

func TestSamplesAreListedAndChosen(t *testing.T) {
	cfg := sampled(t)
	out, err := ofSamples(t, "list", cfg)
	require.NoError(t, err)
	require.Contains(t, out, "PCB-0")
	require.Contains(t, out, "3 samples")
	out, err = ofSamples(t, "list", "--samples", filepath.Join(filepath.Dir(cfg), "samples"),
		"--since", "90m", "-o", "json")
	require.NoError(t, err)
	var some []samples.Record
	require.NoError(t, json.Unmarshal([]byte(out), &some))
	require.Len(t, some, 2)
	out, err = ofSamples(t, "list", cfg, "--reason", "override", "-o", "json")
	require.NoError(t, err)
	require.JSONEq(t, "[]", out)
}

func TestWhatIsExportedEvalReads(t *testing.T) {
	cfg := sampled(t)
	for layout, box := range map[string][4]float32{
		eval.LayoutCOCO: {10, 10, 30, 22}, eval.LayoutYOLO: {.1, .2, .3, .44},
	} {
		t.Run(layout, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "export")
			out, err := ofSamples(t, "export", cfg, "--format", layout, "--out", to, "-o", "json")
			require.NoError(t, err)
			var done samples.Exported
			require.NoError(t, json.Unmarshal([]byte(out), &done))
			require.Equal(t, 3, done.Images)
			require.Equal(t, 3, done.ToReview)
			set, err := eval.Load(eval.Source{
				Dir: to, Layout: layout, Classes: []string{"spur", "open", "short"}, // another model's order
			})
			require.NoError(t, err)
			require.Len(t, set.Samples, 3)
			last := set.Samples[2].Labels
			require.Len(t, last, 1)
			require.Equal(t, 2, last[0].Class)
			for i := range box {
				require.InDelta(t, box[i], last[0].Corners[i], 1e-5)
			}
		})
	}
}

func TestSamplesNeedARightOrder(t *testing.T) {
	cfg := sampled(t)
	off := filepath.Join(t.TempDir(), "off.yaml")
	raw, err := os.ReadFile(cfg)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(off, append(raw, "samples: {dir: \"off\"}\n"...), 0o600))
	for _, c := range []struct {
		want string
		args []string
	}{
		{"say where the samples are", []string{"list"}},
		{"not both", []string{"list", cfg, "--samples", "x"}},
		{"keeps no samples: samples.dir is off", []string{"list", off}},
		{
			`--reason: "bad" is none of uncertain, unsure, disagreement, override`,
			[]string{"list", cfg, "--reason", "bad"},
		},
		{`--since: "yesterday" is neither an age`, []string{"list", cfg, "--since", "yesterday"}},
		{
			`the formats are coco and yolo, not "voc"`,
			[]string{"export", cfg, "--format", "voc", "--out", t.TempDir()},
		},
		{`required flag(s) "out" not set`, []string{"export", cfg}},
		{"no samples", []string{"export", cfg, "--station", "line9/x", "--out", t.TempDir()}},
	} {
		_, err := ofSamples(t, c.args...)
		require.ErrorContains(t, err, c.want)
	}
}
