package line_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
	"github.com/sightline-edge/sightline/cloud/internal/record"
	"github.com/sightline-edge/sightline/cloud/internal/watch"
	"github.com/sightline-edge/sightline/models/deeppcbtest"
)

const (
	boards = 200
	window = 2 // parts between trigger and result
	burst  = 6 // boards that are with a worker when it is killed: more than it answers before its end
	early  = 2 // boards that come before it is back
)

// dataset finds the images of DeepPCB.
func dataset(t *testing.T) string {
	t.Helper()
	dir := deeppcbtest.Find(t)
	require.NotEmpty(t, dir, deeppcbtest.Remedy)
	return filepath.Join(dir, "images")
}

// chain is everything between a folder of real boards and Kafka, with its PLC.
type chain struct {
	*plc

	agent  *process
	images []string // in the camera's order
	store  string   // Kafka's address
	fed    int      // boards that were triggered
}

func startChain(t *testing.T) *chain {
	t.Helper()
	line := servers.StartMosquitto(t, servers.MosquittoOptions{})
	images := dataset(t)
	names, err := filepath.Glob(filepath.Join(images, "*_test.jpg"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(names), boards)
	slices.Sort(names)

	cloud := servers.StartMosquitto(t, servers.MosquittoOptions{})
	c := &chain{images: names, store: servers.StartKafka(t)}
	bridge := startProgram(t, "sightline-cloud", "bridge", "--mqtt", cloud.URL(), "--kafka", c.store,
		"--health", "off", "--evidence-dir", t.TempDir())
	require.Eventually(t, func() bool { // what a broker takes before anybody subscribes is nobody's
		return strings.Contains(bridge.log.String(), "subscribed at the mqtt broker")
	}, patience, 10*time.Millisecond)
	c.agent = startAgent(t, agentConfig{
		local: line.URL(), uplink: cloud.URL(), camera: "dir:" + images + "?glob=*_test.jpg", deadline: "10s",
	})
	c.plc = newPLC(t, line.URL())
	c.until("TriggerReady", func() bool { return c.ready })
	return c
}

func boardID(i int) string { return fmt.Sprintf("board-%03d", i) }

// feed triggers boards, few at a time, until there were so many.
func (c *chain) feed(total int) {
	c.t.Helper()
	for c.fed < total {
		c.send(1)
		c.until("a result", func() bool { return len(c.results) >= c.fed-window })
	}
}

// send triggers boards without waiting for their results.
func (c *chain) send(n int) {
	c.t.Helper()
	for range n {
		c.trigger(boardID(c.fed))
		c.fed++
	}
}

// kill ends the worker while it has boards, brings some more before it is back, and waits until it is.
func (c *chain) kill(signal syscall.Signal) {
	c.t.Helper()
	victim := c.agent.worker(c.t)
	require.NotZero(c.t, victim)
	c.send(burst)
	last := c.fed - 1
	c.until("the boards to be with the worker", func() bool { return c.acked+c.refused == c.fed })
	require.NoError(c.t, syscall.Kill(victim, signal))
	c.until("word of its end", func() bool { return !c.ready })
	c.send(early)
	c.until("all verdicts", func() bool { return len(c.results) == c.fed })
	require.Equal(c.t, "worker_died", c.results[last].Reason, "the last board was with the worker")
	c.until("TriggerReady", func() bool { return c.ready })
	require.NotEqual(c.t, victim, c.agent.worker(c.t))
}

// arrived sees that each board has one result at the PLC and one record in Kafka, in order.
func (c *chain) arrived() {
	c.t.Helper()
	c.until("all results", func() bool { return len(c.results) == boards })
	for i := range c.results {
		require.Equal(c.t, boardID(i), c.results[i].PartID, "order at the PLC")
	}
	all := ids(c.results)
	require.Len(c.t, slices.Compact(slices.Sorted(slices.Values(all))), boards, "each result has its own id")
	require.Equal(c.t, all, kafkaIDs(c.t, c.store), "ids and order in Kafka")
	c.drain()
	require.Len(c.t, c.results, boards, "none comes after the last")
}

func TestTwoHundredRealBoardsReachPLCAndKafkaOnceAndInOrder(t *testing.T) {
	c := startChain(t)
	c.feed(boards)
	c.arrived()
	kinds := map[event.Verdict]int{}
	for i, in := range c.results {
		require.Equal(
			t,
			filepath.Base(c.images[i]),
			filepath.Base(in.Frame.Source),
			"each part has its own board",
		)
		kinds[in.Verdict]++
	}
	require.Zero(t, kinds[event.Unknown])
	require.Greater(t, kinds[event.Fail], boards/2, "nearly every board of the data set has defects")
	t.Logf("%d boards: %v", boards, kinds)
}

// Fault 18.
func TestWorkerKilledTwiceLeavesEachOfTwoHundredRealBoardsOneResultAndOneRecord(t *testing.T) {
	c := startChain(t)
	c.feed(70)
	c.kill(syscall.SIGKILL)
	c.feed(140)
	c.kill(syscall.SIGSEGV)
	c.feed(boards)
	c.arrived()
	kinds, next := map[event.Verdict]int{}, 0
	for i := range c.results {
		in := &c.results[i]
		kinds[in.Verdict]++
		if in.Verdict == event.Unknown {
			require.Contains(t, []string{"worker_died", "not_ready"}, in.Reason, in.PartID)
			next = 0 // the camera begins anew with its worker
			continue
		}
		require.Equal(t, filepath.Base(c.images[next]), filepath.Base(in.Frame.Source), in.PartID)
		next++
	}
	require.LessOrEqual(t, kinds[event.Unknown], 2*(window+burst+early), "no part beyond those that it meets")
	require.Greater(t, kinds[event.Fail], boards/2, "nearly every board of the data set has defects")
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
