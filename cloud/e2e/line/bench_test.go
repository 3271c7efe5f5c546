package line_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchReport is what `sightline-agent bench --json` writes.
type benchReport struct {
	Parts         int       `json:"parts"`
	Rounds        int       `json:"rounds"`
	Camera        string    `json:"camera"`
	Bundle        string    `json:"bundle"`
	Provider      string    `json:"provider"`
	Threads       int       `json:"threads"`
	Parallel      int       `json:"parallel"`
	BeyondP50     float64   `json:"beyond_model_ms_p50"`
	BeyondP99     float64   `json:"beyond_model_ms_p99"`
	PreprocessP50 float64   `json:"preprocess_ms_p50"`
	DecodeP50     float64   `json:"decode_ms_p50"`
	DeliverP50    float64   `json:"deliver_ms_p50"`
	ModelP50      float64   `json:"model_ms_p50"`
	ModelP99      float64   `json:"model_ms_p99"`
	Single        benchRate `json:"throughput_single"`
	SideBySide    benchRate `json:"throughput_parallel"`
	Throughput    float64   `json:"throughput_ratio"`
	Verdicts      int       `json:"verdicts"`
	Unknown       int       `json:"unknown"`
	Beyond        []float64 `json:"beyond_model_ms"`
}

type benchRate struct {
	AgentFPS float64   `json:"agent_fps"`
	BareFPS  float64   `json:"bare_fps"`
	Ratio    float64   `json:"ratio"`
	Rounds   []float64 `json:"rounds"`
}

// benchKeys are those of docs/benchmarks.md.
func benchKeys() []string {
	return []string{
		"parts", "rounds", "camera", "bundle", "provider", "threads", "parallel", "beyond_model_ms_p50",
		"beyond_model_ms_p99", "preprocess_ms_p50", "decode_ms_p50", "deliver_ms_p50", "model_ms_p50",
		"model_ms_p99", "throughput_single", "throughput_parallel", "throughput_ratio", "verdicts", "unknown",
		"beyond_model_ms", "interval_ms", "stations",
	}
}

const (
	benchParts  = 20
	benchCamera = "sim:?width=640&height=640&prerender=4&seed=11&clean=1"
)

// runBench measures one small round with a mosquitto of its own, and returns the table and the report.
func runBench(t *testing.T) (table string, r benchReport) {
	t.Helper()
	bundle, err := filepath.Abs("../../../models/pcb-defects")
	require.NoError(t, err)
	report := filepath.Join(t.TempDir(), "bench.json")
	out, err := exec.CommandContext(t.Context(), filepath.Join(programs, "sightline-agent"), "bench",
		"--bundle", bundle, "--camera", benchCamera, "--parts", "20", "--rounds", "1", "--threads", "2",
		"--json", report).CombinedOutput()
	require.NoError(t, err, "%s", out)
	raw, err := os.ReadFile(report)
	require.NoError(t, err)
	var keys map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(raw, &keys))
	require.ElementsMatch(t, benchKeys(), slices.Collect(maps.Keys(keys)))
	require.NoError(t, json.Unmarshal(raw, &r))
	return string(out), r
}

// What is asserted holds on a busy machine, too: sums, orders and magnitudes, and no figure's limit.
func TestBenchMeasuresTheAgentAndTheBareLoop(t *testing.T) {
	if testing.Short() {
		t.Skip("starts mosquitto and the worker")
	}
	table, r := runBench(t)
	require.Regexp(t, `(?m)^beyond the model, p50 +[0-9.]+ ms +1.5 ms$`, table)
	require.Regexp(t, `(?m)^agent over a bare loop +[0-9.]+ +0.95$`, table)
	require.Regexp(t, `(?m)^parts, of them UNKNOWN +60, 0 +0$`, table)

	require.Equal(t, []int{benchParts, 1, 2, 2}, []int{r.Parts, r.Rounds, r.Threads, r.Parallel})
	require.Equal(t, benchCamera, r.Camera)
	require.Regexp(t, "^(sha256:)?[0-9a-f]{64}$", r.Bundle)
	require.Equal(t, "cpu", r.Provider)
	require.Equal(t, []int{3 * benchParts, 0}, []int{r.Verdicts, r.Unknown},
		"of the run for latency and of a round's two")

	require.Len(t, r.Beyond, benchParts)
	sorted := slices.Sorted(slices.Values(r.Beyond))
	require.Positive(t, sorted[0])
	require.InDelta(t, sorted[benchParts/2-1], r.BeyondP50, 0)
	require.InDelta(t, sorted[benchParts-1], r.BeyondP99, 0)
	for _, share := range []float64{r.PreprocessP50, r.DecodeP50, r.DeliverP50} {
		require.Positive(t, share)
		require.Less(t, share, r.BeyondP50, "it is part of the agent's own time")
	}
	require.Positive(t, r.ModelP50)
	require.GreaterOrEqual(t, r.ModelP99, r.ModelP50)

	for _, rate := range []benchRate{r.Single, r.SideBySide} {
		require.Equal(t, []float64{rate.Ratio}, rate.Rounds)
		require.InEpsilon(t, rate.AgentFPS/rate.BareFPS, rate.Ratio, 1e-9)
		for _, perPart := range []float64{1000 / rate.AgentFPS, 1000 / rate.BareFPS} {
			require.Greater(t, perPart, r.ModelP50/10, "ms a part, of the model's order")
			require.Less(t, perPart, r.ModelP50*10, "ms a part, of the model's order")
		}
	}
	require.InEpsilon(t, r.SideBySide.AgentFPS/r.Single.BareFPS, r.Throughput, 1e-9)
}
