package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
	"github.com/sightline-edge/sightline/cloud/internal/watch"
)

const (
	patience   = 90 * time.Second
	stopGently = syscall.SIGTERM
)

// process is a running sightline-cloud bridge.
type process struct {
	cmd    *exec.Cmd
	health string
	log    *servers.Tail
}

// startBridge returns when health listens; wait for ready separately.
func startBridge(tb testing.TB, flags ...string) *process {
	tb.Helper()
	p := &process{log: &servers.Tail{}}
	p.cmd = exec.Command(program,
		append([]string{"bridge", "--health", "127.0.0.1:0", "-o", "json"}, flags...)...)
	p.cmd.Stderr = p.log
	p.cmd.WaitDelay = time.Second
	out, err := p.cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, p.cmd.Start())
	tb.Cleanup(func() { p.end(tb, syscall.SIGTERM) })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(tb, err, p.log)
	var at struct{ Health string }
	require.NoError(tb, json.Unmarshal(line, &at))
	p.health = "http://" + at.Health
	return p
}

// end stops the bridge once; a graceful stop must succeed.
func (p *process) end(tb testing.TB, with syscall.Signal) {
	tb.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	require.NoError(tb, p.cmd.Process.Signal(with))
	err := p.cmd.Wait()
	if tb.Failed() {
		tb.Log("log of the bridge:\n" + p.log.String())
	}
	if with == syscall.SIGTERM {
		require.NoError(tb, err, p.log)
	}
}

func (p *process) get(path string) (int, string) {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(p.health + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(body)
}

func (p *process) ready(tb testing.TB) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		code, _ := p.get("/readyz")
		return code == http.StatusOK
	}, patience, 20*time.Millisecond, "bridge is not ready: %s", p.log)
}

// metric sums a counter or gauge over its labels.
func (p *process) metric(tb testing.TB, name string) float64 {
	tb.Helper()
	_, body := p.get("/metrics")
	total := 0.0
	for line := range strings.SplitSeq(body, "\n") {
		if !strings.HasPrefix(line, "sightline_bridge_"+name) {
			continue
		}
		v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		require.NoError(tb, err)
		total += v
	}
	return total
}

// resident is the process's memory in bytes.
func (p *process) resident(tb testing.TB) int {
	tb.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	require.NoError(tb, err)
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	require.NoError(tb, err)
	return pages * os.Getpagesize()
}

// cpu is the processor time that the process has used.
func (p *process) cpu(tb testing.TB) time.Duration {
	tb.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	require.NoError(tb, err)
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(field, 10, 64)
		require.NoError(tb, err)
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100) // USER_HZ is 100 on Linux
}

// node publishes as an agent does: QoS 1, in order, again until acknowledged.
type node struct {
	t       testing.TB
	options *mqtt.ClientOptions
	client  mqtt.Client
}

func newNode(tb testing.TB, url string) *node {
	tb.Helper()
	n := &node{t: tb, options: mqtt.NewClientOptions().AddBroker(url).SetClientID("node").
		SetAutoReconnect(false).SetConnectTimeout(time.Second)}
	tb.Cleanup(func() {
		if n.client != nil {
			n.client.Disconnect(100)
		}
	})
	return n
}

func (n *node) connect() bool {
	if n.client != nil && n.client.IsConnectionOpen() {
		return true
	}
	n.client = mqtt.NewClient(n.options)
	token := n.client.Connect()
	return token.WaitTimeout(2*time.Second) && token.Error() == nil
}

func (n *node) publish(name string, payload []byte) {
	n.t.Helper()
	require.Eventually(n.t, func() bool {
		if !n.connect() {
			return false
		}
		token := n.client.Publish(name, 1, false, payload)
		return token.WaitTimeout(2*time.Second) && token.Error() == nil && n.client.IsConnectionOpen()
	}, patience, time.Millisecond)
}

// flood publishes with a window, without waiting for each.
func (n *node) flood(count int, message func(i int) (name string, payload []byte)) {
	n.t.Helper()
	require.True(n.t, n.connect())
	const window = 256
	var open []mqtt.Token
	settle := func(keep int) {
		for ; len(open) > keep; open = open[1:] {
			require.True(n.t, open[0].WaitTimeout(patience))
			require.NoError(n.t, open[0].Error())
		}
	}
	for i := range count {
		name, payload := message(i)
		open = append(open, n.client.Publish(name, 1, false, payload))
		settle(window)
	}
	settle(0)
}

func station(n int) topic.Station {
	return topic.Station{
		Enterprise: "acme", Site: "dongguan", Area: "smt", Line: "line3", Name: "aoi-" + strconv.Itoa(n),
	}
}

// inspection is an event of station n, its i-th; every tenth fails. Padding makes it the given size.
func inspection(tb testing.TB, n, i, size int) []byte {
	tb.Helper()
	id := fmt.Sprintf("%d-%d", n, i)
	verdict := event.Pass
	if i%10 == 0 {
		verdict = event.Fail
	}
	return inspectionOf(tb, station(n), id, size, verdict)
}

func inspectionOf(tb testing.TB, at topic.Station, id string, size int, verdict event.Verdict) []byte {
	tb.Helper()
	b, err := event.Encode(id, event.TypeInspection, at, "part", time.Now(), event.Inspection{
		ResultID: id, JobID: "job", PartID: "part", Verdict: verdict, Accept: verdict.Accept(),
		Detail: strings.Repeat("x", size),
	})
	require.NoError(tb, err)
	return b
}

// follow reads a Kafka topic from its start until enough says so.
func follow(tb testing.TB, addr, name string, enough func(kafka.Message) bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	done := false
	err := watch.Follow(ctx, watch.Options{Brokers: []string{addr}, Topic: name, FromStart: true},
		func(m kafka.Message) bool {
			done = enough(m)
			return !done
		})
	require.NoError(tb, err)
	require.True(tb, done, "kafka topic %s does not hold what it should", name)
}

func head(m kafka.Message, key string) string {
	for _, h := range m.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// ledger checks a stream of inspections: each once or again with the same bytes, first sights in order.
type ledger struct {
	t          testing.TB
	next       map[string]int
	value      map[string]string
	duplicates int
}

func newLedger(tb testing.TB) *ledger {
	tb.Helper()
	return &ledger{t: tb, next: map[string]int{}, value: map[string]string{}}
}

func (l *ledger) see(m kafka.Message) {
	l.t.Helper()
	id := head(m, "ce_id")
	if before, again := l.value[id]; again {
		require.Equal(l.t, before, string(m.Value), "a duplicate has the id and the bytes of the first")
		l.duplicates++
		return
	}
	var n, i int
	_, err := fmt.Sscanf(id, "%d-%d", &n, &i)
	require.NoError(l.t, err)
	key := string(m.Key)
	require.Equal(l.t, station(n).Path(), key)
	require.Equal(l.t, l.next[key], i, "order of station %s", key)
	l.next[key]++
	l.value[id] = string(m.Value)
}
