package line_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
	"github.com/sightline-edge/sightline/cloud/internal/record"
	"github.com/sightline-edge/sightline/cloud/internal/watch"
)

const (
	boards = 200
	window = 2 // parts between trigger and result
)

// dataset finds the DeepPCB images: $SIGHTLINE_DEEPPCB, else shared/data/deeppcb beside the checkout.
func dataset(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SIGHTLINE_DEEPPCB")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data", "deeppcb")
	}
	dir, err := filepath.Abs(dir)
	require.NoError(t, err)
	require.DirExists(
		t,
		filepath.Join(dir, "images"),
		"set SIGHTLINE_DEEPPCB to the folder of the DeepPCB data set",
	)
	return filepath.Join(dir, "images")
}

func TestTwoHundredRealBoardsReachPLCAndKafkaOnceAndInOrder(t *testing.T) {
	line := servers.StartMosquitto(t, servers.MosquittoOptions{})
	images := dataset(t)
	names, err := filepath.Glob(filepath.Join(images, "*_test.jpg"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(names), boards)
	slices.Sort(names)

	cloud := servers.StartMosquitto(t, servers.MosquittoOptions{})
	store := servers.StartKafka(t)
	bridge := startProgram(t, "sightline-cloud", "bridge", "--mqtt", cloud.URL(), "--kafka", store,
		"--health", "off", "--evidence-dir", t.TempDir())
	require.Eventually(t, func() bool { // what a broker takes before anybody subscribes is nobody's
		return strings.Contains(bridge.log.String(), "subscribed at the mqtt broker")
	}, patience, 10*time.Millisecond)
	startAgent(t, agentConfig{
		local: line.URL(), uplink: cloud.URL(), camera: "dir:" + images + "?glob=*_test.jpg", deadline: "10s",
	})
	p := newPLC(t, line.URL())
	p.until("TriggerReady", func() bool { return p.ready })
	for i := range boards {
		p.trigger(fmt.Sprintf("board-%03d", i))
		p.until("a result", func() bool { return len(p.results) > i-window })
	}
	p.until("all results", func() bool { return len(p.results) == boards })

	kinds := map[event.Verdict]int{}
	for i, in := range p.results {
		require.Equal(t, fmt.Sprintf("board-%03d", i), in.PartID, "order at the PLC")
		require.Equal(
			t,
			filepath.Base(names[i]),
			filepath.Base(in.Frame.Source),
			"each part has its own board",
		)
		kinds[in.Verdict]++
	}
	require.Zero(t, kinds[event.Unknown])
	require.Greater(t, kinds[event.Fail], boards/2, "nearly every board of the data set has defects")
	require.Equal(t, ids(p.results), kafkaIDs(t, store), "ids and order in Kafka")
	t.Logf("%d boards: %v", boards, kinds)
}

func ids(results []event.Inspection) []string {
	all := make([]string, 0, len(results))
	for i := range results {
		all = append(all, results[i].ResultID)
	}
	return all
}

// kafkaIDs reads sightline.inspections until it holds all boards, and sees that it holds no record more.
func kafkaIDs(t *testing.T, addr string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []string
	err := watch.Follow(
		ctx,
		watch.Options{Brokers: []string{addr}, Topic: record.Inspections, FromStart: true},
		func(m kafka.Message) bool {
			for _, h := range m.Headers {
				if h.Key == "ce_id" {
					all = append(all, string(h.Value))
				}
			}
			return len(all) < boards
		},
	)
	require.NoError(t, err)
	require.EqualValues(t, boards, kafkaRecords(ctx, t, addr), "nothing failed, so nothing comes twice")
	return all
}

// kafkaRecords counts what sightline.inspections holds.
func kafkaRecords(ctx context.Context, t *testing.T, addr string) int64 {
	t.Helper()
	partitions, err := kafka.LookupPartitions(ctx, "tcp", addr, record.Inspections)
	require.NoError(t, err)
	var total int64
	for i := range partitions {
		leader, err := kafka.DialLeader(ctx, "tcp", addr, record.Inspections, partitions[i].ID)
		require.NoError(t, err)
		last, err := leader.ReadLastOffset()
		require.NoError(t, err)
		require.NoError(t, leader.Close())
		total += last
	}
	return total
}
