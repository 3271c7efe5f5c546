package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
	"github.com/sightline-edge/sightline/cloud/internal/record"
)

// Faults 6 and 8, and a bridge that is killed.
func TestNothingIsLostThroughOutagesOfKafkaMosquittoAndBridge(t *testing.T) {
	broker := servers.StartMosquitto(t, servers.MosquittoOptions{})
	server := servers.NewKafka(t)
	flags := []string{"--mqtt", broker.URL(), "--kafka", server.Addr(), "--evidence-dir", t.TempDir()}
	bridge := startBridge(t, flags...)
	bridge.ready(t)
	node := newNode(t, broker.URL())
	const stations, total = 4, 2000
	sent := 0
	send := func(n int) {
		for range n {
			s, i := sent%stations, sent/stations
			node.publish(station(s).Topic(topic.Inspection), inspection(t, s, i, 300))
			sent++
		}
	}
	send(400)
	server.Stop()
	send(400)
	server.Start()
	send(300)
	broker.Stop()
	broker.Start()
	send(300)
	bridge.end(t, syscall.SIGKILL)
	send(300)
	startBridge(t, flags...).ready(t)
	server.Kill()
	send(total - sent)
	server.Start()

	seen := newLedger(t)
	follow(t, server.Addr(), record.Inspections, func(m kafka.Message) bool {
		seen.see(m)
		return len(seen.value) == total
	})
	anomalies := map[string]bool{}
	follow(t, server.Addr(), record.Anomalies, func(m kafka.Message) bool {
		anomalies[head(m, "ce_id")] = true
		return len(anomalies) == total/10
	})
	t.Logf("%d events, %d duplicates", total, seen.duplicates)
}

// Fault 12.
func TestBadMessagesAreDeadLettersAndTheRestGoesOn(t *testing.T) {
	broker := servers.StartMosquitto(t, servers.MosquittoOptions{})
	server := servers.NewKafka(t)
	dir := t.TempDir()
	startBridge(t, "--mqtt", broker.URL(), "--kafka", server.Addr(), "--evidence-dir", dir).ready(t)
	node := newNode(t, broker.URL())
	at := station(1).Topic(topic.Inspection)
	for _, bad := range []struct {
		topic   string
		payload []byte
	}{
		{at, []byte("{")},
		{at, []byte(`{"verdict":"PASS"}`)},
		{at, inspection(t, 2, 0, 0)},
		{station(1).Topic(topic.State), inspection(t, 1, 0, 0)},
		{at, make([]byte, 300<<10)},
		{at, make([]byte, 12<<20)},
		{"sightline/v1/a/b/c/d/e f/inspection", inspection(t, 1, 0, 0)},
		{station(1).EvidenceTopic("result", 0), []byte("no picture")},
	} {
		node.publish(bad.topic, bad.payload)
	}
	jpeg := []byte{0xff, 0xd8, 0xff, 0xe0, 1, 0xff, 0xd9}
	node.publish(station(1).EvidenceTopic("result", 1), jpeg)
	node.publish(at, inspection(t, 1, 0, 0))
	follow(t, server.Addr(), record.Inspections,
		func(m kafka.Message) bool { return head(m, "ce_id") == "1-0" })
	reasons := map[string]int{}
	count := 0
	follow(t, server.Addr(), record.DeadLetters, func(m kafka.Message) bool {
		reasons[head(m, "reason")]++
		require.NotEmpty(t, head(m, "mqtt_topic"))
		require.NotEmpty(t, head(m, "detail"))
		count++
		return count == 8
	})
	require.Equal(t, map[string]int{
		"bad_json": 1, "bad_event": 1, "station_mismatch": 1, "type_mismatch": 1, "too_large": 2,
		"bad_topic":   1,
		"bad_picture": 1,
	}, reasons)
	got, err := os.ReadFile(filepath.Join(dir, station(1).Path(), "result", "1.jpg"))
	require.NoError(t, err)
	require.Equal(t, jpeg, got)
}

// Fault 7.
func TestACutConnectionCostsDuplicatesOfOneIDAtMost(t *testing.T) {
	broker := servers.StartMosquitto(t, servers.MosquittoOptions{})
	server := servers.NewKafka(t)
	between := startProxy(t, broker.Addr())
	bridge := startBridge(t, "--mqtt", "tcp://"+between.addr(), "--kafka", server.Addr(), "--evidence-dir",
		t.TempDir())
	bridge.ready(t)
	node := newNode(t, broker.URL())
	const total, cuts = 20_000, 6
	node.flood(total, func(i int) (string, []byte) {
		if i%(total/cuts) == total/cuts/2 {
			between.cut()
		}
		return station(i % 4).Topic(topic.Inspection), inspection(t, i%4, i/4, 300)
	})
	seen := newLedger(t)
	follow(t, server.Addr(), record.Inspections, func(m kafka.Message) bool {
		seen.see(m)
		return len(seen.value) == total
	})
	require.GreaterOrEqual(t, bridge.metric(t, "mqtt_connections_total"), 2.0)
	t.Logf("%d events through %d cuts, %d duplicates", total, cuts, seen.duplicates)
}

// Fault 10: Kafka hangs for longer than the keep-alive; the broker keeps what the bridge does not read.
func TestAPausedKafkaLeavesTheBridgesMemoryBounded(t *testing.T) {
	broker := servers.StartMosquitto(t, servers.MosquittoOptions{})
	server := servers.NewKafka(t)
	bridge := startBridge(t, "--mqtt", broker.URL(), "--kafka", server.Addr(), "--evidence-dir", t.TempDir(),
		"--max-unacked", "2000", "--keep-alive", "2s")
	bridge.ready(t)
	node := newNode(t, broker.URL())
	const total, size = 40_000, 4 << 10 // 160 MiB
	message := func(i int) (string, []byte) {
		return station(i % 4).Topic(topic.Inspection), inspection(t, i%4, i/4, size)
	}
	server.Pause()
	begin := time.Now()
	node.flood(total, message)
	wait(t, 10*time.Second-time.Since(begin)) // several keep-alives with the gate closed
	require.LessOrEqual(t, bridge.metric(t, "unacknowledged_messages"), 2064.0)
	require.GreaterOrEqual(t, bridge.metric(t, "unacknowledged_messages"), 1000.0)
	memory := bridge.resident(t)
	require.Less(t, memory, 128<<20)
	require.InDelta(t, 1, bridge.metric(t, "mqtt_connections_total"), 0,
		"the connection lives through the pause")
	server.Resume()
	seen := newLedger(t)
	follow(t, server.Addr(), record.Inspections, func(m kafka.Message) bool {
		seen.see(m)
		return len(seen.value) == total
	})
	require.Less(t, bridge.resident(t), 192<<20)
	t.Logf("%d MiB waiting, bridge at %d MiB, %d duplicates", total*size>>20, memory>>20, seen.duplicates)
}

func wait(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	<-ctx.Done()
}
