package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// clean keeps every rule.
func clean() graph {
	return graph{
		"agent/topic":                     {},
		"agent/event":                     {"agent/topic"},
		"agent/internal/wire":             {"google.golang.org/protobuf/proto"},
		"agent/internal/vision":           {"agent/internal/wire"},
		"agent/internal/broker":           {"github.com/eclipse/paho.mqtt.golang"},
		"agent/internal/plc":              {"agent/event", "agent/internal/broker"},
		"agent/internal/outbox":           {},
		"agent/internal/uplink":           {"agent/internal/broker", "agent/internal/outbox"},
		"agent/internal/station":          {"agent/internal/plc", "agent/internal/vision"},
		"agent/internal/app":              {"agent/internal/station", "agent/internal/uplink"},
		"agent/internal/worker/infer":     {},
		"agent/internal/worker/infer/ort": {"agent/internal/worker/infer", "github.com/yalue/onnxruntime_go"},
		"agent/internal/worker/camera":    {"gocv.io/x/gocv"},
		"agent/internal/worker":           {"agent/internal/wire", "agent/internal/worker/camera"},
		"agent/cmd/sightline-agent":       {"agent/internal/app"},
		"agent/cmd/sightline-worker":      {"agent/internal/worker", "agent/internal/worker/infer/ort"},
		"cloud/internal/bridge": {
			"agent/event", "github.com/segmentio/kafka-go", "github.com/eclipse/paho.mqtt.golang",
		},
		"cloud/internal/app":              {"cloud/internal/bridge"},
		"cloud/cmd/sightline-cloud":       {"cloud/internal/app"},
		"github.com/yalue/onnxruntime_go": {"C"},
		"gocv.io/x/gocv":                  {"C"},
	}
}

func TestACleanGraphKeepsEveryRule(t *testing.T) {
	require.Empty(t, judge(clean(), architecture()))
}

// broken holds for each rule one import that it must find: from, to.
func broken() map[string][2]string {
	return map[string][2]string{
		"the cloud sees of the device only its events and topics": {
			"cloud/internal/bridge", "agent/internal/wire",
		},
		"the device knows nothing of the cloud": {
			"agent/internal/uplink", "cloud/internal/bridge",
		},
		"the public packages need nothing internal": {
			"agent/event", "agent/internal/wire",
		},
		"Kafka is spoken in the cloud only": {
			"agent/internal/uplink", "github.com/segmentio/kafka-go",
		},
		"on the device only broker speaks MQTT": {
			"agent/internal/uplink", "github.com/eclipse/paho.mqtt.golang",
		},
		"in the cloud only its internal packages speak MQTT": {
			"cloud/cmd/sightline-cloud", "github.com/eclipse/paho.mqtt.golang",
		},
		"only camera, tensor, evidence and the worker's program touch OpenCV": {
			"agent/internal/worker/infer", "gocv.io/x/gocv",
		},
		"only worker/infer/ort loads ONNX Runtime": {
			"agent/internal/worker", "github.com/yalue/onnxruntime_go",
		},
		"own cgo code lives in the worker only": {
			"agent/internal/vision", "C",
		},
		"the programs that must not die load no driver": {
			"agent/internal/station", "gocv.io/x/gocv",
		},
		"the supervisor reaches the worker over the socket only": {
			"agent/internal/app", "agent/internal/worker/infer",
		},
		"the worker knows nothing of the supervisor": {
			"agent/internal/worker", "agent/internal/vision",
		},
		"the PLC's way shares nothing with the uplink": {
			"agent/internal/station", "agent/internal/outbox",
		},
		"the wiring is imported by programs only": {
			"agent/internal/bench", "agent/internal/app",
		},
		"on the device imports run downward": {
			"agent/internal/vision", "agent/internal/station",
		},
		"in the cloud imports run downward": {
			"cloud/internal/bridge", "cloud/internal/app",
		},
	}
}

func TestEachRuleFindsItsViolation(t *testing.T) {
	fixtures := broken()
	require.Len(t, fixtures, len(architecture()), "each rule needs a fixture that breaks it")
	for _, r := range architecture() {
		t.Run(r.name, func(t *testing.T) {
			edge, ok := fixtures[r.name]
			require.True(t, ok, "no fixture breaks this rule")
			g := clean()
			g[edge[0]] = append(g[edge[0]], edge[1])
			found := judge(g, []rule{r})
			require.NotEmpty(t, found)
			require.Contains(t, found[0].String(), edge[1]+": "+r.name)
		})
	}
}

func TestADeepViolationShowsTheWayToIt(t *testing.T) {
	g := clean()
	g["agent/internal/station"] = append(g["agent/internal/station"], "gocv.io/x/gocv")
	var lines []string
	for _, v := range judge(g, architecture()) {
		lines = append(lines, v.String())
	}
	require.Contains(t, strings.Join(lines, "\n"),
		"agent/internal/app → agent/internal/station → gocv.io/x/gocv: the programs that must not die")
}

func TestAPackageWithoutALayerIsAViolation(t *testing.T) {
	found := judge(graph{"agent/internal/novelty": {}, "scripts/archtest": {}}, architecture())
	require.Len(t, found, 1)
	require.Contains(t, found[0].String(), "agent/internal/novelty: on the device imports run downward (give")
}

func TestPatternsMatchWholeElements(t *testing.T) {
	require.True(t, match("cloud/api/...", "cloud/api"))
	require.True(t, match("cloud/api/...", "cloud/api/v1"))
	require.False(t, match("cloud/api/...", "cloud/apiary"))
	require.False(t, match("agent/topic", "agent/topic/sub"))
	require.True(t, match("...", "anything"))
}

func TestABrokenListIsAnError(t *testing.T) {
	_, err := decode(strings.NewReader(`{"ImportPath": `))
	require.ErrorContains(t, err, "read go list")
}

// write makes a module of the real name, so that run sees it as it sees this one.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module " + module + "\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return dir
}

func TestRunReadsARealModule(t *testing.T) {
	dir := write(t, map[string]string{
		"agent/topic/topic.go":          "package topic\n",
		"agent/internal/plc/plc.go":     "package plc\n\nimport \"C\"\n",
		"cloud/internal/record/main.go": "package record\n\nimport _ \"" + module + "/agent/topic\"\n",
	})
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), dir, &out), "1 imports run against the architecture")
	require.Equal(t, "agent/internal/plc → C: own cgo code lives in the worker only\n", out.String())

	mended := filepath.Join(dir, "agent", "internal", "plc", "plc.go")
	require.NoError(t, os.WriteFile(mended, []byte("package plc\n"), 0o600))
	out.Reset()
	require.NoError(t, run(t.Context(), dir, &out))
	require.Equal(t, "archtest: 3 packages keep 16 rules\n", out.String())
}

func TestRunSaysWhyGoCannotListTheModule(t *testing.T) {
	dir := write(t, map[string]string{
		"agent/topic/topic.go": "package topic\n\nimport _ \"nowhere.example/x\"\n",
	})
	require.ErrorContains(t, run(t.Context(), dir, &bytes.Buffer{}), "nowhere.example/x")
}
