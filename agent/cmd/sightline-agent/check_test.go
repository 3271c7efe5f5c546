package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/internal/vision/fakeworker"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

const (
	asWorker  = "SIGHTLINE_TEST_WORKER"
	toldArgs  = "SIGHTLINE_TEST_WORKER_ARGS"   // file for what the scripted worker is told
	takes     = "SIGHTLINE_TEST_WORKER_TAKES"  // for each run of the scripted worker
	brings    = "SIGHTLINE_TEST_WORKER_BRINGS" // names of images, over and over
	leavesOut = "SIGHTLINE_TEST_WORKER_CUTS"   // findings on the one image that there is
	reference = "../../../models/pcb-defects"
)

// TestMain lets the test binary be a scripted worker, too: it takes every bundle, and no camera whose URI has
// the word wrong in it.
func TestMain(m *testing.M) {
	if os.Getenv(asWorker) != "" {
		os.Exit(beWorker(os.Args[1:])) //nolint:forbidigo // it is the main of a worker now
	}
	goleak.VerifyTestMain(m)
}

func beWorker(args []string) int {
	if len(args) > 0 {
		switch args[0] {
		case "cameras":
			return beCameras()
		case "capture":
			return beCapture()
		case "preview":
			return 0 // and says nothing
		}
	}
	conn, err := net.FileConn(os.NewFile(3, "supervisor"))
	script := fakeworker.Script{Inspect: inspect, Configured: configured}
	if err != nil || fakeworker.Serve(conn, script) != nil {
		return 1
	}
	return 0
}

func beCameras() int {
	var uris []string
	if json.NewDecoder(os.Stdin).Decode(&uris) != nil {
		return 1
	}
	for i, uri := range uris {
		if uris[i] = ""; strings.Contains(uri, "wrong") {
			uris[i] = "it will not do"
		}
	}
	if json.NewEncoder(os.Stdout).Encode(uris) != nil {
		return 1
	}
	return 0
}

// beCapture waits for Enter and captures nothing; with the word wrong in the camera's URI it does not wait.
func beCapture() int {
	in := json.NewDecoder(os.Stdin)
	var order wire.CaptureOrder
	var next bool
	if in.Decode(&order) != nil || strings.Contains(order.Camera, "wrong") || in.Decode(&next) != nil {
		return 1
	}
	return 0
}

func configured(p *fakeworker.Peer, m *wire.Configure) {
	if path := os.Getenv(toldArgs); path != "" {
		var told strings.Builder
		fmt.Fprintf(&told, "%s library %s parallel %d threads %d spinning %s", strings.Join(os.Args[1:], " "),
			m.GetOnnxruntimeLibrary(), m.GetParallelRuns(), m.GetInferenceThreads(), m.GetSpinning())
		for _, s := range m.GetStations() {
			open, read := time.Duration(s.GetOpenTimeoutNs()), time.Duration(s.GetReadTimeoutNs())
			fmt.Fprintf(&told, " open %s read %s", open, read)
		}
		if os.WriteFile(path, []byte(told.String()), 0o600) != nil {
			p.Die()
			return
		}
	}
	p.State(0, wire.Phase_PHASE_READY, "")
}

// inspect finds one defect on each of three images, of which it cannot read the second, and then has no more.
func inspect(p *fakeworker.Peer, m *wire.Inspect) {
	if took, err := time.ParseDuration(os.Getenv(takes)); err == nil {
		p.Send(wire.KindInspected, &wire.Inspected{Job: m.GetJob(), InferenceNs: int64(took)})
		return
	}
	if names := strings.Fields(os.Getenv(brings)); len(names) > 0 {
		answer := &wire.Inspected{Job: m.GetJob(), Source: names[(m.GetJob()-1)%uint64(len(names))]}
		if answer.GetSource() == "gone" {
			answer.Source, answer.Fault, answer.FaultText = "", wire.Fault_FAULT_NO_FRAME, "2 captures hang"
		}
		p.Send(wire.KindInspected, answer)
		return
	}
	if os.Getenv(leavesOut) != "" && m.GetJob() == 1 {
		p.Expose(m)
		p.Send(wire.KindInspected, &wire.Inspected{
			Job: m.GetJob(), ExposedNs: 1, Dropped: 7, DroppedScore: 0.9,
			Detections: []*wire.Detection{{Score: 0.1, X2: 9, Y2: 9}},
		})
		return
	}
	switch m.GetJob() {
	case 1, 3:
		p.Answer(m, &wire.Detection{Class: 0, Score: 0.9, X1: 10, Y1: 10, X2: 51, Y2: 51})
	case 2:
		p.Fault(m, wire.Fault_FAULT_BAD_FRAME, "bad frame: 2.png: it is truncated")
	default:
		p.Fault(m, wire.Fault_FAULT_END, "")
	}
}

// command runs the agent's command line with the scripted worker.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	t.Setenv(asWorker, "1")
	var out bytes.Buffer
	c := root()
	c.SetArgs(append(args, "--worker", os.Args[0]))
	c.SetOut(&out)
	c.SetErr(t.Output())
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sightline.yaml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestCheckNamesEveryFaultOfBundlesRulesAndCamerasWithItsLine(t *testing.T) {
	dir, err := filepath.Abs(reference)
	require.NoError(t, err)
	path := file(t, fmt.Sprintf(`place: acme/dongguan/smt
stations:
  - name: line3/aoi-1
    camera: "sim:?wrong=1"
    bundle: %[1]s
    verdict: {classes: {scrath: {verdict: ignore}}}
  - name: line3/aoi-2
    camera: "rtsp://joe:secret@camera/1"
    bundle: %[1]s
  - name: line3/aoi-3
    camera: "sim:"
    bundle: ./no-such
`, dir))
	out, err := command(t, "check", path)
	require.ErrorIs(t, err, errFound)
	require.Contains(t, out, "line 4: stations[0].camera: it will not do")
	require.Contains(t, out, `line 6: stations[0].verdict.classes.scrath: the bundle has no class "scrath"`)
	require.Contains(t, out, `line 12: stations[2].bundle: bundle "./no-such" cannot be used: open`)
	require.Contains(t, out, "(write the path of a folder with bundle.yaml in it, or")
	require.NotContains(t, out, "secret")

	out, err = command(t, "check", path, "-o", "json")
	require.ErrorIs(t, err, errFound)
	var found []finding
	require.NoError(t, json.Unmarshal([]byte(out), &found))
	lines := map[int]bool{}
	for _, f := range found {
		for _, fault := range f.List {
			lines[fault.Line] = true
		}
	}
	require.Equal(t, map[int]bool{4: true, 6: true, 12: true}, lines)
}

// A fault of the configuration stops nothing: bundles, cameras and rules are looked at for whatever was
// understood, and what may only follow from a fault is not told.
func TestCheckGoesOnBehindFaultsOfTheConfiguration(t *testing.T) {
	dir, err := filepath.Abs(reference)
	require.NoError(t, err)
	bad := t.TempDir()
	manifest := []byte("nam: x\nversion: 1\n")
	require.NoError(t, os.WriteFile(filepath.Join(bad, "bundle.yaml"), manifest, 0o600))
	out, err := command(t, "check", "-o", "json", file(t, fmt.Sprintf(`place: acme
mqtt: {uplnk: tcp://127.0.0.1:1883}
worker: {threads: 999, memory_limit: 5}
stations:
  - name: line3/aoi-1
    camera: "sim:?wrong=1"
    bundle: %[1]s
    provider: maybe
    verdict: {classes: {scrath: {verdict: ignore, threshold: 2}, open: {verdict: maybe}}}
  - camera: "wrong"
    bundle: nob
  - name: line3/aoi-3
    camera: "sim:"
    bundel: nob
  - name: line3/aoi-4
    camera: "sim:"
    bundle: %[2]s
  - name: line3/aoi-5
    camera: "sim:"
    bundle: %[2]s
`, dir, bad)))
	require.ErrorIs(t, err, errFound)
	var found []finding
	require.NoError(t, json.Unmarshal([]byte(out), &found))
	got := map[string][]string{}
	for _, f := range found {
		require.NotContains(t, f.Says, "its rules fit")
		for _, fault := range f.List {
			what := filepath.Base(f.What)
			got[what] = append(got[what], fmt.Sprint(fault.Line, " ", fault.Path))
		}
	}
	require.Equal(t, map[string][]string{
		"sightline.yaml": {
			"1 place", "2 mqtt.uplnk", "3 worker.threads", "3 worker.memory_limit", "8 stations[0].provider",
			"9 stations[0].verdict.classes.open.verdict", "9 stations[0].verdict.classes.scrath.threshold",
			"10 stations[1].name", "10 stations[1].camera", "14 stations[2].bundel",
		},
		"aoi-1":       {"6 stations[0].camera", "9 stations[0].verdict.classes.scrath"},
		"stations[1]": {"11 stations[1].bundle"},
		filepath.Base(bad): {
			"0 input.width", "0 input.height", "0 decoder.family", "0 classes", "0 model", "1 nam",
			"2 version",
		},
	}, got)
	require.Contains(t, out, "runs on fake")
}

func TestCheckSaysNothingOfBundlesWhosePlaceIsInDoubt(t *testing.T) {
	out, err := command(t, "check", file(t, `place: acme/dongguan/smt
bundle_dri: models
stations:
  - {name: line3/aoi-1, camera: "sim:", bundle: nob}
`))
	require.ErrorIs(t, err, errFound)
	require.Contains(t, out, "1 to mend")
	require.NotContains(t, out, "nob")
}

func TestCheckSaysWhereAMissingBundleIsLookedFor(t *testing.T) {
	out, err := command(t, "check", file(t, `place: acme/dongguan/smt
bundle_dir: /nonexistent
stations:
  - {name: line3/aoi-1, camera: "sim:", bundle: nob}
`))
	require.ErrorIs(t, err, errFound)
	require.Regexp(t, `station line3/aoi-1 +1 to mend\n`+
		` +line 4: stations\[0\].bundle: bundle "nob" cannot be used: `+
		`open bundle folder: open /nonexistent/nob: no such file or directory `+
		`\(put it below bundle_dir, /nonexistent, or write a path, such as ./nob\)`, out)
}

func TestCheckLoadsBundlesAsTheConfigurationAndTheFlagsSay(t *testing.T) {
	dir, err := filepath.Abs(reference)
	require.NoError(t, err)
	told := filepath.Join(t.TempDir(), "args")
	t.Setenv(toldArgs, told)
	t.Setenv("SIGHTLINE_ONNXRUNTIME", "/environment.so")
	for _, c := range []struct {
		key, flag, want string
	}{
		{"", "", "--memory-limit 8589934592"},
		{"worker: {memory_limit: 4294967296}\n", "", "--memory-limit 4294967296"},
		{"worker: {memory_limit: 4294967296}\n", "--memory-limit=0", "--memory-limit 0"},
		{"", "", "library /environment.so"},
		{"", "", "parallel 1"},
		{"worker: {parallel: 2}\n", "", "parallel 2"},
		{"", "", "spinning run"},
		{"worker: {spinning: never}\n", "", "spinning never"},
		{"", "--threads=5", "threads 5 "},
		{"worker: {threads: 3}\n", "", "threads 3 "},
		{"worker: {threads: 3}\n", "--threads=5", "threads 5 "},
		{"worker: {onnxruntime: /file.so}\n", "", "library /file.so"},
		{"worker: {onnxruntime: /file.so}\n", "--onnxruntime=/flag.so", "library /flag.so"},
	} {
		path := file(t, fmt.Sprintf("place: acme/dongguan/smt\n%sstations:\n  - name: line3/aoi-1\n"+
			"    camera: \"sim:\"\n    bundle: %s\n", c.key, dir))
		args := []string{"check", path}
		if c.flag != "" {
			args = append(args, c.flag)
		}
		_, err := command(t, args...)
		require.NoError(t, err)
		raw, err := os.ReadFile(told)
		require.NoError(t, err)
		require.Contains(t, string(raw), c.want)
	}
}

func TestCheckOfAComparisonWhoseFramesBringTemplatesSpeaksOfNoBundle(t *testing.T) {
	out, err := command(t, "check", file(t, `place: acme/dongguan/smt
stations:
  - {name: line3/aoi-1, camera: "sim:?template=true", method: compare, recipe: panel-7}
`))
	require.NoError(t, err)
	require.Contains(t, out, "its rules fit, and each frame brings its golden template")
	require.NotContains(t, out, "bundle")
}

func TestRunRefusesAnOutputThatItDoesNotKnow(t *testing.T) {
	c := root()
	c.SetArgs([]string{"run", "nowhere.yaml", "-o", "xml"})
	require.EqualError(t, c.ExecuteContext(t.Context()), `output "xml" is neither text nor json`)
}

func TestCheckWarnsOfADeadlineThatTheModelCannotKeep(t *testing.T) {
	dir, err := filepath.Abs(reference)
	require.NoError(t, err)
	t.Setenv(takes, "41ms")
	path := file(t, fmt.Sprintf(`place: acme/dongguan/smt
stations:
  - {name: line3/aoi-1, camera: "sim:", bundle: %[1]s, trigger: {deadline: 41ms}}
  - {name: line3/aoi-2, camera: "sim:", bundle: %[1]s, trigger: {deadline: 40ms}}
`, dir))
	out, err := command(t, "check", path)
	require.NoError(t, err, "a warning is no fault")
	require.Regexp(t, `warn +station line3/aoi-2`, out)
	require.Contains(t, out, "line 4: stations[1].trigger.deadline: 40ms is shorter than the model alone "+
		"takes here, 41ms on fake")
	require.NotContains(t, out, "stations[0]")
	out, err = command(t, "check", path, "--load=false")
	require.NoError(t, err)
	require.NotContains(t, out, "warn")
}

func TestCheckOfWhatIsWellExitsWithoutError(t *testing.T) {
	out, err := command(t, "check", reference)
	require.NoError(t, err)
	require.Contains(t, out, "runs on fake")
	require.NotContains(t, out, "FAULT")
	_, err = command(t, "check", filepath.Join(t.TempDir(), "absent.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "name a configuration, such as sightline.yaml, or the folder of a bundle")
	require.ErrorContains(t, err, "absent.yaml")
}

func TestCheckWarnsOfAPasswordThatOthersCanRead(t *testing.T) {
	dir, err := filepath.Abs(reference)
	require.NoError(t, err)
	path := file(t, fmt.Sprintf(`place: acme/dongguan/smt
mqtt:
  local: tcp://10.0.0.5
  username: node-line3
  password_file: %s
stations:
  - {name: line3/aoi-1, camera: "sim:", bundle: %s}
`, file(t, "correct-horse"), dir))
	out, err := command(t, "check", path, "--load=false")
	require.NoError(t, err, "a warning is no fault")
	require.Regexp(t, `warn +\S+sightline.yaml +to consider`, out)
	require.Contains(t, out, "line 3: mqtt.local: the password goes to tcp://10.0.0.5 unencrypted")
	require.NotContains(t, out, "horse")
}
