package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/internal/template"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// realWorker builds the vision worker; without a C compiler, OpenCV and ONNX Runtime there is none.
func realWorker(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("the worker is built for this test, which is not short")
	}
	return program(t, "sightline-worker")
}

// program builds a command of this repository.
func program(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../"+name)
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s (. build/env.sh after make setup)", out)
	return path
}

// said runs the agent's command line and returns what it prints, and what it says beside.
func said(t *testing.T, stdin string, args ...string) (out, beside string, err error) {
	t.Helper()
	var stdout bytes.Buffer
	stderr := &spoken{}
	c := root()
	c.SetArgs(args)
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&stdout)
	c.SetErr(stderr)
	err = c.ExecuteContext(t.Context())
	return stdout.String(), string(stderr.text), err
}

// spoken is what agent and worker say, one at a time.
type spoken struct {
	mu   sync.Mutex
	text []byte
}

func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p...)
	return len(p), nil
}

// comparing is a configuration of one station that compares boards of a simulated product.
func comparing(t *testing.T) (path, templates string) {
	t.Helper()
	dir := t.TempDir()
	path = file(t, fmt.Sprintf(`place: acme/dongguan/smt
state_dir: %s
stations:
  - name: line3/aoi-1
    camera: "sim:?product=3&clean=1&width=256&height=256"
    method: compare
    recipe: panel-7
`, dir))
	return path, filepath.Join(dir, "templates")
}

func TestTemplatesAreCapturedByTheRealWorker(t *testing.T) {
	worker := realWorker(t)
	for name, test := range map[string]func(*testing.T, string){
		"versions count up, and are listed":  capturesVersions,
		"boards are waited for":              capturesOnEnter,
		"nobody presses Enter":               capturesNothingWhenLeft,
		"strangers are named":                capturesAndLeavesOut,
		"images are replayed beside it":      replaysBesideTemplates,
		"what is wrong is told":              capturesNothing,
		"boards that are not to be measured": evaluatesNothing,
	} {
		t.Run(name, func(t *testing.T) { test(t, worker) })
	}
}

func capturesVersions(t *testing.T, worker string) {
	t.Helper()
	path, templates := comparing(t)
	out, _, err := said(t, "", "template", "list", path)
	require.NoError(t, err)
	require.Contains(t, out, "no golden templates in "+templates)
	out, _, err = said(t, "", "template", "list", path, "-o", "json")
	require.NoError(t, err)
	require.JSONEq(t, "[]", out)
	for version := range 2 {
		capturesVersion(t, worker, path, templates, version+1)
	}
	f, err := os.Open(filepath.Join(templates, "panel-7", "2", template.ImageFile))
	require.NoError(t, err)
	picture, err := png.Decode(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, 256, picture.Bounds().Dx())
	out, _, err = said(t, "", "template", "list", path)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^panel-7@1 .* 3 of 3 .* 256×256 `, out)
	require.Regexp(t, `(?m)^panel-7@2 `, out)
	out, _, err = said(t, "", "template", "list", path, "-o", "json")
	require.NoError(t, err)
	var listed []template.Template
	require.NoError(t, json.Unmarshal([]byte(out), &listed))
	require.Len(t, listed, 2)
}

func capturesVersion(t *testing.T, worker, path, templates string, version int) {
	t.Helper()
	made, beside, err := said(t, "", "template", "capture", path, "--worker", worker, "--boards", "3",
		"-o", "json")
	require.NoError(t, err, beside)
	var got struct {
		template.Template

		Boards []wire.CapturedBoard `json:"boards"`
	}
	require.NoError(t, json.Unmarshal([]byte(made), &got))
	require.Equal(t, "panel-7", got.Recipe)
	require.Equal(t, version, got.Version)
	require.Equal(t, 3, got.Info.Boards)
	require.Zero(t, got.Info.LeftOut)
	require.Equal(t, [2]int{256, 256}, [2]int{got.Info.Width, got.Info.Height})
	require.Less(t, got.Info.Residual, 0.05)
	require.Len(t, got.Boards, 3)
	found, err := template.Find("panel-7", templates)
	require.NoError(t, err)
	require.Equal(t, got.Template, *found)
	require.Contains(t, beside, "board 1 of 3  0  the others are moved onto it")
	require.Regexp(t,
		`board 3 of 3  2  moved by -?\d+\.\d, -?\d+\.\d px, \d\.\d\d % of the pixels differ`, beside)
}

func TestCheckNamesTheGoldenTemplateOrItsAbsence(t *testing.T) {
	path, templates := comparing(t)
	out, err := command(t, "check", path)
	require.ErrorIs(t, err, errFound)
	require.Contains(t, out,
		"line 4: stations[0].template: golden template: recipe panel-7 has none in "+templates)
	made, err := template.Save(templates, "panel-7", []byte("a picture"), template.Info{})
	require.NoError(t, err)
	out, err = command(t, "check", path)
	require.NoError(t, err, out)
	require.Contains(t, out, "its golden template is panel-7@1 ("+made.Digest[:19]+")")
}

func capturesOnEnter(t *testing.T, worker string) {
	t.Helper()
	path, _ := comparing(t)
	out, beside, err := said(t, "\n\n", "template", "capture", path, "--worker", worker, "--boards", "2",
		"--ask", "--recipe", "other")
	require.NoError(t, err, beside)
	require.Contains(t, beside, "put board 1 of 2 in place and press Enter ")
	require.Contains(t, beside, "put board 2 of 2 in place and press Enter ")
	require.Regexp(t, `(?m)^other@1 +2 boards, 0 left out, mean difference \d\.\d\d %`, out)
	require.Contains(t, out, "station line3/aoi-1 takes it when the agent starts again")
}

func capturesNothingWhenLeft(t *testing.T, worker string) {
	t.Helper()
	path, templates := comparing(t)
	_, beside, err := said(t, "\n", "template", "capture", path, "--worker", worker, "--boards", "3", "--ask")
	require.ErrorContains(t, err, "standard input ended after 1 of 3 boards: no template is made", beside)
	require.NoDirExists(t, templates)
}

// boardPictures are pictures of one good board each, of the simulated products given by name.
func boardPictures(t *testing.T, worker string, products map[string]string) (folder string) {
	t.Helper()
	path, templates := comparing(t)
	folder = t.TempDir()
	for name, product := range products {
		_, beside, err := said(t, "", "template", "capture", path, "--worker", worker, "--boards", "1",
			"--camera", "sim:?clean=1&width=256&height=256&product="+product)
		require.NoError(t, err, beside)
		made, err := template.Find("panel-7", templates)
		require.NoError(t, err)
		require.NoError(t, os.Rename(made.Path, filepath.Join(folder, name)))
	}
	return folder
}

func replaysBesideTemplates(t *testing.T, worker string) {
	t.Helper()
	images := boardPictures(t, worker, map[string]string{"1.png": "3", "2.png": "4"})
	path, _ := comparing(t)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	brings := file(t, strings.Replace(string(raw), "sim:?", "sim:?template=true&", 1)) // the camera does
	for _, configuration := range []string{path, brings} {
		_, _, err = said(t, "", "replay", configuration, "--worker", worker, "--images", images)
		require.ErrorContains(t, err, "recipe panel-7 has none in")
	}
	_, beside, err := said(t, "", "template", "capture", path, "--worker", worker, "--boards", "3")
	require.NoError(t, err, beside)
	for _, configuration := range []string{path, brings} {
		out, beside, err := said(t, "", "replay", configuration, "--worker", worker, "--images", images,
			"-o", "json")
		require.NoError(t, err, beside)
		var all []replayed
		require.NoError(t, json.Unmarshal([]byte(out), &all))
		require.Len(t, all, 2)
		require.Equal(t, "1.png", all[0].Image)
		require.Equal(t, event.Pass, all[0].Verdict)
		require.Equal(t, "2.png", all[1].Image)
		require.Equal(t, event.Unknown, all[1].Verdict)
		require.Equal(t, "template_unaligned", all[1].Reason)
	}
}

func capturesAndLeavesOut(t *testing.T, worker string) {
	t.Helper()
	path, _ := comparing(t)
	boards := boardPictures(t, worker, map[string]string{"1.png": "3", "2.png": "3", "3.png": "4"})
	out, beside, err := said(t, "", "template", "capture", path, "--worker", worker, "--boards", "3",
		"--camera", "dir:"+boards)
	require.NoError(t, err, beside)
	require.Regexp(t, `board 3 of 3  .*3\.png  left out: it does not fit: \d+\.\d % of the pixels`, beside)
	require.Regexp(t, `(?m)^panel-7@1 +2 boards, 1 left out`, out)

	require.NoError(t, os.Rename(filepath.Join(boards, "3.png"), filepath.Join(boards, "0.png")))
	_, beside, err = said(t, "", "template", "capture", path, "--worker", worker, "--boards", "3",
		"--camera", "dir:"+boards)
	require.ErrorContains(t, err, "see the worker's words above")
	require.Contains(t, beside, "only 1 of 3 boards fit the first one: are they all of this recipe")
}

func capturesNothing(t *testing.T, worker string) {
	t.Helper()
	path, templates := comparing(t)
	for name, c := range map[string]struct {
		args []string
		says string // the error, or what stands above it
	}{
		"recipe with a space":  {[]string{"--recipe", "panel 7"}, `recipe "panel 7": 1 to 64 letters`},
		"recipe out of reach":  {[]string{"--recipe", "../panel"}, `recipe "../panel": 1 to 64 letters`},
		"recipe with version":  {[]string{"--recipe", "panel-7@3"}, `recipe "panel-7@3": 1 to 64 letters`},
		"no such station":      {[]string{"--station", "line9/aoi-9"}, "line9/aoi-9"},
		"no worker":            {[]string{"--worker", "/nonexistent/worker"}, "/nonexistent/worker"},
		"camera misspelt":      {[]string{"--camera", "sim:?prodct=1"}, `unknown option "prodct"`},
		"too few images":       {[]string{"--camera", "dir:" + t.TempDir()}, "dir"},
		"too many boards":      {[]string{"--boards", "65"}, "65 boards; take 1 to 64"},
		"no boards":            {[]string{"--boards", "0"}, "0 boards; take 1 to 64"},
		"no format":            {[]string{"-o", "xml"}, "xml"},
		"boards of no product": {[]string{"--camera", "sim:?clean=1&width=256"}, "only 1 of 5 boards"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"template", "capture", path, "--worker", worker}, c.args...)
			out, beside, err := said(t, "", args...)
			require.Error(t, err)
			require.Contains(t, beside+err.Error(), c.says)
			require.Empty(t, out)
			require.NoDirExists(t, templates)
		})
	}
}

func evaluatesNothing(t *testing.T, worker string) {
	t.Helper()
	for says, args := range map[string][]string{
		"say what to measure: --bundle DIR": {},
		"--method is compare, without":      {"--method", "compare", "--bundle", reference},
		"--binarize: not a way to binarize": {"--method", "compare", "--binarize", "300"},
	} {
		_, _, err := said(t, "", append([]string{"eval", "--data", t.TempDir()}, args...)...)
		require.ErrorContains(t, err, says)
	}
	empty := t.TempDir()
	for name, content := range map[string]string{"images/1_test.jpg": "", "labels/1.txt": "10 10 50 50 1\n"} {
		require.NoError(t, os.MkdirAll(filepath.Join(empty, filepath.Dir(name)), 0o750))
		require.NoError(t, os.WriteFile(filepath.Join(empty, name), []byte(content), 0o600))
	}
	_, _, err := said(t, "", "eval", "--worker", worker, "--method", "compare", "--data", empty)
	require.ErrorContains(t, err, "images/1_temp")
}
