package line_test

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
)

// The budget of decision p99 with Kafka, cloud broker or disk failing, over healthy, is make bench-faults's.
// make test takes a few parts beside other load, where only what waits for a fault stands out.
const (
	limitOfBench = 1.1
	limitOfTest  = 3.0
	faultPace    = 30 * time.Millisecond // from one trigger to the next
)

// whole says that figures are wanted, which takes about a minute for each test.
func whole() bool { return os.Getenv("SIGHTLINE_WHOLE") != "" }

// fault is what fails behind the verdict. Felt says, while it lasts, that it was one.
type fault struct {
	name       string
	begin, end func()
	felt       func() bool
}

// faultLine is a line whose agent has another broker to its cloud, and what its PLC measures.
type faultLine struct {
	t           *testing.T
	agent       *process
	health      string
	cloud       *servers.Mosquitto
	plc         *plc
	sent        int
	took, model map[string][]float64 // ms by condition: trigger to result, and of that the model's own run
}

// newFaultLine starts the agent behind a command, such as one that gives it a disk, with its state there.
func newFaultLine(t *testing.T, state string, before ...string) *faultLine {
	t.Helper()
	line := servers.StartMosquitto(t, servers.MosquittoOptions{Lines: []string{"set_tcp_nodelay true"}})
	l := &faultLine{
		t: t, cloud: servers.StartMosquitto(t, servers.MosquittoOptions{}), health: freeAddress(t),
		took: map[string][]float64{}, model: map[string][]float64{},
	}
	bundle, err := filepath.Abs("../../../models/pcb-defects")
	require.NoError(t, err)
	config := filepath.Join(t.TempDir(), "sightline.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `place: acme/dongguan/smt
mqtt: {local: %q, uplink: %q, client_id: e2e}
state_dir: %q
health: {listen: %q}
stations:
  - name: line3/aoi-1
    camera: "sim:?width=640&height=640&prerender=20&seed=11&clean=0.85"
    bundle: %q
    trigger: {mode: mqtt, deadline: 5s}
`, line.URL(), l.cloud.URL(), state, l.health, bundle), 0o600))
	args := slices.Concat(before, []string{filepath.Join(programs, "sightline-agent"), "run", config})
	l.agent = startCommand(t, "sightline-agent", exec.Command(args[0], args[1:]...))
	l.plc = newPLC(t, line.URL())
	l.plc.until("TriggerReady", func() bool { return l.plc.ready })
	for range 10 {
		l.sent = l.plc.one(l.sent)
	}
	return l
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// metric sums one of the agent's counters or gauges over its labels.
func (l *faultLine) metric(name string) float64 {
	l.t.Helper()
	return metricOf(l.t, l.health, name)
}

func metricOf(t *testing.T, health, name string) float64 {
	t.Helper()
	total, found := sumOf(t, health, name)
	require.True(t, found, "no metric %s", name)
	return total
}

// sumOf is metricOf for what may not have been counted yet.
func sumOf(t *testing.T, health, name string) (total float64, found bool) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + health + "/metrics")
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	for line := range strings.SplitSeq(string(body), "\n") {
		if !strings.HasPrefix(line, name+" ") && !strings.HasPrefix(line, name+"{") {
			continue
		}
		v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		require.NoError(t, err)
		total, found = total+v, true
	}
	return total, found
}

// grows returns what says whether a counter has grown since now.
func (l *faultLine) grows(names ...string) func() bool {
	count := func() (sum float64) {
		for _, name := range names {
			sum += l.metric(name)
		}
		return sum
	}
	before := count()
	return func() bool { return count() > before }
}

// measure lets parts pass, one at a time and at the line's pace.
func (l *faultLine) measure(condition string, parts int) {
	l.t.Helper()
	tick := time.NewTicker(faultPace)
	defer tick.Stop()
	for range parts {
		<-tick.C
		l.sent = l.plc.one(l.sent)
		in := &l.plc.results[l.sent-1]
		require.Equal(l.t, fmt.Sprintf("part-%03d", l.sent-1), in.PartID)
		require.NotEqual(l.t, event.Unknown, in.Verdict, "%s: %s %s", condition, in.Reason, in.Detail)
		l.took[condition] = append(l.took[condition], l.plc.took[in.PartID].Seconds()*1000)
		l.model[condition] = append(l.model[condition], in.TimesMs.Inference)
	}
}

// compare takes rounds of healthy, each fault, and healthy again. Both together are what faults are held
// against, and what those two differ by is the machine's.
func (l *faultLine) compare(rounds, parts int, faults []fault) {
	l.t.Helper()
	for range rounds {
		l.measure("healthy", parts)
		for i := range faults {
			f := &faults[i]
			f.begin()
			l.measure(f.name, parts)
			limit := time.Now().Add(patience)
			for !f.felt() { // a full disk may have room for some more
				require.True(l.t, time.Now().Before(limit), "%s is felt", f.name)
				l.measure(f.name, 1)
			}
			f.end()
			sent := func() bool { return l.metric("sightline_outbox_backlog") == 0 }
			require.Eventually(l.t, sent, patience, 20*time.Millisecond, "uplink goes on after: %s", f.name)
		}
		l.measure("healthy again", parts)
	}
	l.report(faults)
}

// report prints the figures and holds them against the limit.
func (l *faultLine) report(faults []fault) {
	l.t.Helper()
	names := []string{"healthy", "healthy again"}
	for _, f := range faults {
		names = append(names, f.name)
	}
	healthy := slices.Concat(l.took[names[0]], l.took[names[1]])
	limit, share := limitOfTest, 0.9
	if whole() {
		limit, share = limitOfBench, 0.99
	}
	for _, name := range names {
		l.print(name, healthy)
	}
	for _, f := range faults {
		ratio := quantile(l.took[f.name], share) / quantile(healthy, share)
		if !(ratio <= limit) {
			l.t.Errorf("%s: decision p%.0f over healthy is %.2f, limit %.1f", f.name, 100*share, ratio, limit)
		}
	}
}

func (l *faultLine) print(name string, healthy []float64) {
	l.t.Helper()
	took := l.took[name]
	beyond := make([]float64, len(took))
	for i := range took {
		beyond[i] = took[i] - l.model[name][i]
	}
	l.t.Logf("%-20s %4d parts  p50 %6.2f  p99 %6.2f  max %6.2f ms  over healthy: p50 %.3f  p99 %.3f  "+
		"beyond the model: p50 %.2f  p99 %.2f ms", name, len(took), quantile(took, 0.5),
		quantile(took, 0.99), quantile(took, 1), quantile(took, 0.5)/quantile(healthy, 0.5),
		quantile(took, 0.99)/quantile(healthy, 0.99), quantile(beyond, 0.5), quantile(beyond, 0.99))
}

// quantile is the least value that at least this share of all are not above.
func quantile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)]
}

// amount is how many rounds of how many parts: enough to see a wait, or enough for a p99.
func amount() (rounds, parts int) {
	if !whole() {
		return 2, 15
	}
	rounds, _ = strconv.Atoi(cmp.Or(os.Getenv("SIGHTLINE_ROUNDS"), "8"))
	return rounds, 40
}

// Fault 10, with the cloud's broker or Kafka instead of a slow Kafka.
func TestDecisionsDoNotWaitForTheCloud(t *testing.T) {
	l := newFaultLine(t, filepath.Join(t.TempDir(), "state"))
	var lost, more func() bool
	faults := []fault{{
		name: "cloud broker stopped", end: l.cloud.Start,
		begin: func() { lost = l.grows("sightline_uplink_losses_total"); l.cloud.Stop() },
		felt:  func() bool { return lost() && l.metric("sightline_outbox_backlog") > 0 },
	}, {
		name: "cloud broker paused", end: l.cloud.Resume,
		begin: func() { l.cloud.Pause(); more = l.grows("sightline_uplink_sent_total") },
		felt:  func() bool { return !more() && l.metric("sightline_outbox_backlog") > 0 },
	}}
	if whole() {
		kafka, health := servers.NewKafka(t), freeAddress(t)
		startProgram(t, "sightline-cloud", "bridge", "--mqtt", l.cloud.URL(), "--kafka", kafka.Addr(),
			"--evidence-dir", t.TempDir(), "--health", health)
		waiting := func() float64 { return metricOf(t, health, "sightline_bridge_unacknowledged_messages") }
		faults = append(faults, fault{
			name: "Kafka paused", begin: kafka.Pause, felt: func() bool { return waiting() > 10 },
			end: func() {
				kafka.Resume()
				require.Eventually(t, func() bool { return waiting() == 0 }, patience, 100*time.Millisecond)
			},
		})
	}
	rounds, parts := amount()
	l.compare(rounds, parts, faults)
}

// Fault 10 with the agent's disk: full, and one that answers nothing for as long as the fault lasts.
func TestDecisionsDoNotWaitForTheDisk(t *testing.T) {
	d := newDisk(t)
	l := newFaultLine(t, filepath.Join(d.mount, "state"), d.command()...)
	d.pid = l.agent.cmd.Process.Pid
	var trouble, stored func() bool
	rounds, parts := amount()
	l.compare(rounds, parts, []fault{{
		name: "disk full", end: d.free, felt: func() bool { return trouble() },
		begin: func() {
			trouble = l.grows("sightline_outbox_write_errors_total", "sightline_outbox_dropped_total")
			d.fill()
		},
	}, {
		name: "disk hangs", end: d.thaw, felt: func() bool { return !stored() },
		begin: func() { d.freeze(); stored = l.grows("sightline_outbox_stored_total") },
	}})
}
