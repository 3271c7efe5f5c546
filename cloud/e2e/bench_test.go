package e2e_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
	"github.com/sightline-edge/sightline/cloud/internal/record"
)

// benchmarkMessages is what waits in the session when the clock starts.
const benchmarkMessages = 100_000

// BenchmarkBridgeDrains measures messages of 1 KB from mosquitto's session into Apache Kafka, acknowledged by
// all replicas and back to mosquitto; broker, Kafka and bridge share the machine. Every message is looked for
// in Kafka.
//
//	go test ./cloud/e2e -run - -bench BridgeDrains -benchtime 1x
func BenchmarkBridgeDrains(b *testing.B) {
	for b.Loop() {
		rate := drain(b)
		b.ReportMetric(rate, "messages/s")
	}
}

func drain(b *testing.B) float64 {
	b.Helper()
	broker := servers.StartMosquitto(b, servers.MosquittoOptions{})
	server := servers.NewKafka(b)
	flags := []string{"--mqtt", broker.URL(), "--kafka", server.Addr(), "--evidence-dir", b.TempDir()}
	first := startBridge(b, flags...) // makes session and topics
	first.ready(b)
	first.end(b, stopGently)
	node := newNode(b, broker.URL())
	node.flood(benchmarkMessages, func(i int) (string, []byte) {
		return station(i % 23).Topic(topic.Inspection), inspection(b, i%23, i/23, padding)
	})
	bridge := startBridge(b, flags...)
	poll(b, func() bool { return bridge.metric(b, "received_total") > 0 })
	before, begin := bridge.metric(b, "received_total"), time.Now()
	poll(b, func() bool {
		return bridge.metric(b, "received_total") >= benchmarkMessages &&
			bridge.metric(b, "unacknowledged_messages") == 0
	})
	took := time.Since(begin)
	memory, cpu := bridge.resident(b), bridge.cpu(b)
	rate := (benchmarkMessages - before) / took.Seconds()
	seen := newLedger(b)
	follow(b, server.Addr(), record.Inspections, func(m kafka.Message) bool {
		seen.see(m)
		return len(seen.value) == benchmarkMessages
	})
	report(b, map[string]any{
		"what": "bridge", "messages": benchmarkMessages, "payload_bytes": len(inspection(b, 0, 1, padding)),
		"messages_per_s": int(rate), "bridge_cpu_s": cpu.Seconds(),
		"seconds": took.Seconds(), "duplicates": seen.duplicates,
		"bridge_rss_mib": memory >> 20, "cores": runtime.NumCPU(),
	})
	return rate
}

// padding makes an event of 1 KB.
const padding = 120

// poll asks ten times a second: to ask for metrics costs two milliseconds of the cores that are measured.
func poll(tb testing.TB, done func() bool) {
	tb.Helper()
	require.Eventually(tb, done, patience, 100*time.Millisecond)
}

// report prints a table and the same as one line of JSON.
func report(b *testing.B, result map[string]any) {
	b.Helper()
	line, err := json.Marshal(result)
	require.NoError(b, err)
	var table strings.Builder
	for _, key := range []string{
		"messages", "payload_bytes", "messages_per_s", "seconds", "bridge_cpu_s", "duplicates",
		"bridge_rss_mib", "cores",
	} {
		fmt.Fprintf(&table, "  %-16s %v\n", key, result[key])
	}
	b.Logf("\n%s%s", table.String(), line)
}
