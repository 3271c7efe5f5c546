package bundle_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
)

func TestAReferenceIsWholeOrRefusedWithItsLine(t *testing.T) {
	const least = "name: a\nversion: 1.0.0\ninput: {width: 64, height: 64}\ndecoder: {family: yolov8}\n" +
		"classes: [{name: open, threshold: 0.5}]\nreference:\n"
	const good = "  images: 40\n  scores: [30, 4, 3, 2, 1, 0, 0, 0, 0, 0]\n" +
		"  brightness: {mean: 120, deviation: 4}\n"
	load := func(manifest string) error {
		dir := t.TempDir()
		for name, content := range map[string]string{"bundle.yaml": manifest, "model.onnx": "x"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		}
		_, err := bundle.Load(dir)
		return err
	}
	require.NoError(t, load(least+good))
	require.NoError(t, load(strings.TrimSuffix(least, "reference:\n")))
	for from, c := range map[string][2]string{
		"images: 40":      {"images: 29", "line 7: reference.images"},
		"[30, 4":          {"[31, 4", "line 8: reference.scores: 10 numbers with the sum 41, not 10 with"},
		"[30, 4, ":        {"[34, ", "line 8: reference.scores: 9 numbers"},
		"[30, 4, 3":       {"[30, -4, 11", "line 8: reference.scores[1]: -4 of 40 images"},
		"mean: 120":       {"mean: 256", "line 9: reference.brightness.mean"},
		"deviation: 4":    {"deviation: .nan", "line 9: reference.brightness.deviation"},
		"  images: 40\n":  {"", "reference.images"},
		"brightness: {me": {"brightnes: {me", "unknown key (did you mean brightness?)"},
	} {
		require.ErrorContains(t, load(least+strings.Replace(good, from, c[0], 1)), c[1], from)
	}
}
