package bridge

import (
	"errors"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sightline-edge/sightline/cloud/internal/record"
)

// cluster has three brokers; partition n of each topic is led by broker n, and number 3 by nobody.
func cluster(topics ...string) protocol.Cluster {
	all := protocol.Cluster{Brokers: map[int32]protocol.Broker{}, Topics: map[string]protocol.Topic{}}
	for id := range int32(3) {
		all.Brokers[id] = protocol.Broker{ID: id}
	}
	for _, name := range topics {
		partitions := map[int32]protocol.Partition{3: {ID: 3, Leader: -1}}
		for n := range int32(3) {
			partitions[n] = protocol.Partition{ID: n, Leader: n}
		}
		all.Topics[name] = protocol.Topic{Name: name, Partitions: partitions}
	}
	return all
}

// keyed makes records of many stations, so that each partition has some.
func keyed(n int) []kafka.Message {
	all := make([]kafka.Message, 0, 2*n)
	for i := range n {
		key := []byte("station-" + strconv.Itoa(i%23))
		for _, name := range []string{record.Inspections, record.Anomalies} {
			all = append(all, kafka.Message{Topic: name, Key: key, Value: []byte(strconv.Itoa(i))})
		}
	}
	return all
}

func newRequest(records []kafka.Message) *request {
	return &request{
		records: records, errs: make(kafka.WriteErrors, len(records)), lots: map[partition]*lot{},
	}
}

func TestEachLeaderGetsOneRequestWithAllItsPartitions(t *testing.T) {
	all := keyed(100)
	r := newRequest(all)
	asks, _, err := r.Split(cluster(record.Inspections, record.Anomalies))
	require.NoError(t, err)
	require.Len(t, asks, 3)
	seen := 0
	for _, ask := range asks {
		ask, ok := ask.(*produce.Request)
		require.True(t, ok)
		require.EqualValues(t, -1, ask.Acks, "all replicas")
		require.Len(t, ask.Topics, 2, "no topic stands twice")
		for _, name := range ask.Topics {
			require.Len(t, name.Partitions, 1)
			seen += checkRecords(t, all, name.Partitions[0])
		}
	}
	for i, err := range r.errs {
		if errors.Is(err, kafka.LeaderNotAvailable) {
			require.EqualValues(t, 3, (&kafka.Hash{}).Balance(all[i], 0, 1, 2, 3))
			seen++
		}
	}
	require.Equal(t, len(all), seen)
}

// checkRecords wants the records of one partition in order, and counts them.
func checkRecords(t *testing.T, all []kafka.Message, p produce.RequestPartition) int {
	t.Helper()
	last, n := -1, 0
	for ; ; n++ {
		r, err := p.RecordSet.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return n
		}
		require.NoError(t, err)
		value, err := kafka.ReadAll(r.Value)
		require.NoError(t, err)
		i := atoi(t, string(value))
		require.Greater(t, i, last)
		last = i
		wrote := all[2*i] // the inspection; its anomaly has the same key
		require.Equal(t, wrote.Value, value)
		require.EqualValues(t, p.Partition, (&kafka.Hash{}).Balance(wrote, 0, 1, 2, 3))
	}
}

func TestARecordIsWrittenOnlyWhenItsPartitionSaysSo(t *testing.T) {
	all := keyed(100)
	gone := kafka.Message{Topic: "gone", Key: []byte("k")}
	r := newRequest(append(all, gone))
	asks, merger, err := r.Split(cluster(record.Inspections, record.Anomalies))
	require.NoError(t, err)
	results := make([]any, len(asks))
	for i, ask := range asks {
		leader := ask.(*produce.Request).Topics[0].Partitions[0].Partition //nolint:errcheck // a panic is red
		switch leader {
		case 0:
			results[i] = io.ErrUnexpectedEOF
		case 1: // takes inspections only
			results[i] = &produce.Response{Topics: []produce.ResponseTopic{
				{Topic: record.Inspections, Partitions: []produce.ResponsePartition{{Partition: 1}}},
				{Topic: record.Anomalies, Partitions: []produce.ResponsePartition{
					{Partition: 1, ErrorCode: int16(kafka.MessageSizeTooLarge), ErrorMessage: "too much"},
				}},
			}}
		case 2: // says nothing of anomalies
			results[i] = &produce.Response{Topics: []produce.ResponseTopic{
				{Topic: record.Inspections, Partitions: []produce.ResponsePartition{{Partition: 2}}},
			}}
		}
	}
	_, err = merger.Merge(asks, results)
	require.NoError(t, err)
	for i, m := range r.records[:len(all)] {
		number := (&kafka.Hash{}).Balance(m, 0, 1, 2, 3)
		want := map[string][]error{
			record.Inspections: {io.ErrUnexpectedEOF, nil, nil, kafka.LeaderNotAvailable},
			record.Anomalies: {
				io.ErrUnexpectedEOF, kafka.MessageSizeTooLarge, errUnanswered, kafka.LeaderNotAvailable,
			},
		}[m.Topic][number]
		require.ErrorIs(t, r.errs[i], want, "%s %d", m.Topic, number)
	}
	require.ErrorIs(t, r.errs[len(all)], kafka.UnknownTopicOrPartition)
}

// The same over sockets: three brokers, and a partition whose leader changes between two writes.
func TestWhatWentToAFormerLeaderIsWrittenToTheNew(t *testing.T) {
	server, err := kfake.NewCluster(kfake.NumBrokers(3),
		kfake.SeedTopics(6, record.Inspections, record.Anomalies))
	require.NoError(t, err)
	t.Cleanup(server.Close)
	transport := &kafka.Transport{MetadataTTL: 200 * time.Millisecond}
	t.Cleanup(transport.CloseIdleConnections)
	s := newSink(&producer{transport, kafka.TCP(server.ListenAddrs()...)})
	all := keyed(400)
	require.NoError(t, s.write(t.Context(), nil, all[:400]))
	leader := server.LeaderFor(record.Inspections, 0)
	require.NoError(t, server.MoveTopicPartition(record.Inspections, 0, (leader+1)%3))
	require.NoError(t, s.write(t.Context(), nil, all[400:]))
	for _, name := range []string{record.Inspections, record.Anomalies} {
		for number := range 6 {
			var want []string
			for _, m := range all {
				if m.Topic == name && (&kafka.Hash{}).Balance(m, 0, 1, 2, 3, 4, 5) == number {
					want = append(want, string(m.Value))
				}
			}
			at := server.PartitionInfo(name, int32(number))
			require.EqualValues(t, len(want), at.HighWatermark, "each once")
			require.Equal(t, want, readPartition(t, server, name, number, len(want)))
		}
	}
}

func readPartition(t *testing.T, server *kfake.Cluster, name string, number, n int) []string {
	t.Helper()
	at := server.ListenAddrs()[server.LeaderFor(name, int32(number))]
	c, err := kafka.DialLeader(t.Context(), "tcp", at, name, number)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	var all []string
	for len(all) < n {
		m, err := c.ReadMessage(1 << 20)
		require.NoError(t, err)
		all = append(all, string(m.Value))
	}
	return all
}
