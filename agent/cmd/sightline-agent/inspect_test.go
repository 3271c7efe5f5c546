package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/models/bundle"
	"github.com/sightline-edge/sightline/models/draft"
)

// drafted runs the command, which needs no worker.
func drafted(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := root()
	c.SetArgs(append([]string{"inspect"}, args...))
	c.SetOut(&out)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func TestInspectDraftsABundleThatOnlyNeedsFillingIn(t *testing.T) {
	model := filepath.Join(reference, bundle.ModelFile)
	out, err := drafted(t, model)
	require.NoError(t, err)
	require.Regexp(t, `model +model.onnx: pytorch \S+, opset 17, float32`, out)
	require.Regexp(t, `decoder +dfl: scores \[\? 6 80 80\]`, out)
	require.Regexp(t, `to do 2 +classes: names of 6`, out)
	require.Contains(t, out, "decoder: {family: dfl")

	out, err = drafted(t, model, "-o", "json")
	require.NoError(t, err)
	var d draft.Draft
	require.NoError(t, json.Unmarshal([]byte(out), &d))
	require.Equal(t, "dfl", d.Guesses[0].Family)

	dir := filepath.Join(t.TempDir(), "connectors")
	out, err = drafted(t, model, "--out", dir)
	require.NoError(t, err)
	require.Contains(t, out, "then run `sightline-agent check "+dir+"`")
	b, err := bundle.Load(dir)
	require.NoError(t, err)
	require.Len(t, b.Manifest.Classes, 6)
	_, err = drafted(t, model, "--out", dir)
	require.ErrorContains(t, err, "is there already: name a folder that is not")
}

func TestInspectRefusesWhatIsNoModel(t *testing.T) {
	dir := t.TempDir()
	text, pipe := filepath.Join(dir, "notes.onnx"), filepath.Join(dir, "pipe")
	require.NoError(t, os.WriteFile(text, []byte("<html>404</html>"), 0o600))
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	huge := filepath.Join(dir, "huge.onnx")
	require.NoError(t, os.WriteFile(huge, nil, 0o600))
	require.NoError(t, os.Truncate(huge, 2<<30))
	for path, says := range map[string]string{
		filepath.Join(dir, "absent.onnx"): "no such file",
		text:                              "it is cut off or no ONNX file",
		pipe:                              "is no plain file: name an ONNX file",
		dir:                               "is no plain file",
		huge:                              "has 2048 MiB, over 512: a bundle's model is one file",
	} {
		_, err := drafted(t, path)
		require.ErrorContains(t, err, says)
	}
	_, err := drafted(t, text, "-o", "yaml")
	require.ErrorContains(t, err, "neither table nor json")
}
