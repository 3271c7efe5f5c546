package line_test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
	"github.com/sightline-edge/sightline/models/bundle"
)

// What swaps under load may cost. make bench-swaps holds them against the first; make test takes a few of
// them beside other load, where only what waits for a swap stands out.
const (
	swapLimitOfBench = 1.2
	swapLimitOfTest  = 3.0
	swapPace         = 80 * time.Millisecond // from two triggers to the next two
	swapWarmUp       = 50                    // swaps until memory has to stand still
	swapSlopeMB      = 0.1                   // and by what it may grow with each of the others
)

// swapping is a line whose agent is given one bundle after the other.
type swapping struct {
	t      *testing.T
	agent  *process
	worker int // pid
	plc    *plc
	sent   int
	file   string    // its configuration
	format string    // of that: with the folder of the bundle
	dirs   [2]string // of the bundles
	digest [2]string
	took   map[string][]float64 // ms by condition: trigger to result
	memory []float64            // MB of the worker after each swap
}

func newSwapping(t *testing.T, extra string) *swapping {
	t.Helper()
	line := servers.StartMosquitto(t, servers.MosquittoOptions{Lines: []string{"set_tcp_nodelay true"}})
	s := &swapping{
		t: t, file: filepath.Join(t.TempDir(), "sightline.yaml"), took: map[string][]float64{},
		format: fmt.Sprintf(`place: acme/dongguan/smt
mqtt: {local: %q, client_id: e2e}
state_dir: %q
health: {listen: "off"}
stations:
  - name: line3/aoi-1
    camera: "sim:?width=640&height=640&prerender=20&seed=11&clean=0.85"
    read_timeout: 5s
    bundle: %%q
    trigger: {mode: mqtt, deadline: 2s}
%s`, line.URL(), t.TempDir(), extra),
	}
	for i := range s.dirs {
		s.dirs[i] = numbered(t, i)
		b, err := bundle.Load(s.dirs[i])
		require.NoError(t, err)
		s.digest[i] = b.Digest
	}
	require.NotEqual(t, s.digest[0], s.digest[1])
	s.write(s.dirs[0])
	s.agent = startProgram(t, "sightline-agent", "run", s.file)
	s.plc = newPLC(t, line.URL())
	s.plc.until("TriggerReady", func() bool { return s.plc.ready })
	s.worker = s.agent.worker(t)
	for range 10 {
		s.sent = s.plc.one(s.sent)
	}
	return s
}

// numbered writes the reference bundle into a folder, with another serial.
func numbered(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("../../../models/pcb-defects")))
	manifest := filepath.Join(dir, bundle.ManifestFile)
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	b, err := bundle.Load(dir)
	require.NoError(t, err)
	changed := bytes.Replace(text, fmt.Appendf(nil, "serial: %d", b.Manifest.Serial),
		fmt.Appendf(nil, "serial: %d", 1000+n), 1)
	require.NotEqual(t, text, changed)
	require.NoError(t, os.WriteFile(manifest, changed, 0o600))
	return dir
}

func (s *swapping) write(dir string) {
	s.t.Helper()
	require.NoError(s.t, os.WriteFile(s.file, fmt.Appendf(nil, s.format, dir), 0o600))
}

// parts lets two pass at the line's pace, of which the second waits for the first. None is lost, and none is
// UNKNOWN, which it would be after two seconds.
func (s *swapping) parts(tick *time.Ticker, condition string) []event.Inspection {
	s.t.Helper()
	<-tick.C
	first := s.sent
	for range 2 {
		s.plc.trigger(fmt.Sprintf("part-%03d", s.sent))
		s.sent++
	}
	s.plc.until("the results", func() bool { return len(s.plc.results) == s.sent })
	for i := first; i < s.sent; i++ {
		in := &s.plc.results[i]
		require.Equal(s.t, fmt.Sprintf("part-%03d", i), in.PartID)
		require.NotEqual(s.t, event.Unknown, in.Verdict, "%s: %s %s", condition, in.Reason, in.Detail)
		s.took[condition] = append(s.took[condition], s.plc.took[in.PartID].Seconds()*1000)
	}
	return s.plc.results[first:]
}

// swap has the agent take the other bundle over while parts pass.
func (s *swapping) swap(tick *time.Ticker, n int) {
	s.t.Helper()
	to := n % len(s.dirs)
	s.write(s.dirs[to])
	require.NoError(s.t, s.agent.cmd.Process.Signal(syscall.SIGHUP))
	limit := time.Now().Add(patience)
	was, now := s.digest[1-to], s.digest[to]
	for over := false; !over; {
		require.True(s.t, time.Now().Before(limit), "swap %d: %+v", n, s.plc.state)
		results := s.parts(tick, "during swaps")
		for i := range results {
			digest := results[i].Model.Digest
			require.Contains(s.t, []string{was, now}, digest)
			if digest == now {
				was = now // there is no way back
				over = s.plc.state.Candidate == nil && s.plc.state.Model.Digest == now
			}
		}
	}
	s.memory = append(s.memory, rssMB(s.t, s.worker))
}

// rssMB is the resident memory of a process.
func rssMB(t *testing.T, pid int) float64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	require.NoError(t, err, "the worker that began is still the one")
	pages, err := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	require.NoError(t, err)
	return pages * float64(os.Getpagesize()) / 1e6
}

// slope is what values grow by from one to the next, by least squares.
func slope(values []float64) float64 {
	n := float64(len(values))
	var sx, sy, sxx, sxy float64
	for i, y := range values {
		x := float64(i)
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// Fault 19.
func TestSwapsUnderLoadLoseNoPartAndKeepMemory(t *testing.T) {
	s := newSwapping(t, "")
	rounds, swaps := 4, 25
	if whole() {
		swaps = 50
		rounds, _ = strconv.Atoi(cmp.Or(os.Getenv("SIGHTLINE_ROUNDS"), "20"))
	}
	tick := time.NewTicker(swapPace)
	defer tick.Stop()
	for round := range rounds {
		for range swaps {
			s.parts(tick, "steady")
		}
		for i := range swaps {
			s.swap(tick, round*swaps+i+1)
		}
	}
	for range swaps {
		s.parts(tick, "steady")
	}
	s.plc.drain()
	require.Len(t, s.plc.results, s.sent, "each part has one result")
	s.report(rounds * swaps)
}

// A worker whose memory has grown is replaced while no part comes, and the next one has what was swapped in.
func TestAWorkerThatGrewBySwapsIsReplacedBetweenParts(t *testing.T) {
	s := newSwapping(t, "worker: {recycle_above: 67108864}\n")
	tick := time.NewTicker(swapPace)
	defer tick.Stop()
	s.swap(tick, 1)
	require.Equal(t, s.worker, s.agent.worker(t), "while parts come")
	s.plc.until("the worker to be replaced", func() bool { return !s.plc.ready })
	s.plc.until("TriggerReady", func() bool { return s.plc.ready })
	require.NotEqual(t, s.worker, s.agent.worker(t))
	require.Equal(t, s.digest[1], s.parts(tick, "afterwards")[0].Model.Digest)
}

func (s *swapping) report(swaps int) {
	s.t.Helper()
	steady, during := s.took["steady"], s.took["during swaps"]
	for _, name := range []string{"steady", "during swaps"} {
		took := s.took[name]
		s.t.Logf("%-13s %5d parts  p50 %6.2f  p90 %6.2f  p99 %6.2f  max %6.2f ms", name, len(took),
			quantile(took, 0.5), quantile(took, 0.9), quantile(took, 0.99), quantile(took, 1))
	}
	grown := slope(s.memory[swapWarmUp:])
	s.t.Logf("%d swaps, %d parts: 0 lost; p99 during swaps over steady %.2f (p90 %.2f); memory of the "+
		"worker %.0f MB after %d swaps, %.0f MB at the end, %.3f MB a swap", swaps, s.sent,
		quantile(during, 0.99)/quantile(steady, 0.99), quantile(during, 0.9)/quantile(steady, 0.9),
		s.memory[swapWarmUp], swapWarmUp, s.memory[len(s.memory)-1], grown)
	limit, share := swapLimitOfTest, 0.9
	if whole() {
		limit, share = swapLimitOfBench, 0.99
	}
	if ratio := quantile(during, share) / quantile(steady, share); !(ratio <= limit) {
		s.t.Errorf("p%.0f during swaps over steady is %.2f, limit %.1f", 100*share, ratio, limit)
	}
	if !(grown <= swapSlopeMB) {
		s.t.Errorf("the worker's memory grows by %.3f MB a swap, limit %.1f", grown, swapSlopeMB)
	}
}
