package bridge

import (
	"context"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/internal/record"
)

// received is what a connection has delivered: n messages of about the given size, the i-th with id i+1.
func received(tb testing.TB, b *Bridge, by *conn, n, size int) []delivery {
	tb.Helper()
	at := topic.Station{Enterprise: "acme", Site: "dongguan", Area: "smt", Line: "line3", Name: "aoi-1"}
	all := make([]delivery, n)
	for i := range all {
		id := strconv.Itoa(i)
		payload, err := event.Encode(id, event.TypeInspection, at, "part", time.Now(), event.Inspection{
			ResultID: id, JobID: "job", PartID: "part", Verdict: event.Pass, Accept: true,
			Detail: strings.Repeat("x", size),
		})
		require.NoError(tb, err)
		all[i] = delivery{
			in: record.Input{Topic: at.Topic(topic.Inspection), Payload: payload, Received: time.Now()},
			id: uint16(i + 1), by: by,
		}
		b.gate.add(all[i].in.Received, all[i].size())
	}
	return all
}

// ids returns those of the acknowledgements written.
func ids(tb testing.TB, writes [][]byte) []int {
	tb.Helper()
	var all []int
	for p := range slices.Chunk(slices.Concat(writes...), 4) {
		require.Equal(tb, []byte{typePubAck << 4, 2}, p[:2])
		all = append(all, int(binary.BigEndian.Uint16(p[2:])))
	}
	return all
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

func TestABatchOverOneWriteIsSplitAndAcknowledgedInOrder(t *testing.T) {
	b := unstarted(t, "tcp://127.0.0.1:1")
	defer b.stop()
	var acks [][]byte
	by := newConn(counted{socket{}, &acks}, b.gate, 1, nil, func(error) {})
	var wrote []string
	b.sink.to = writerFunc(func(_ context.Context, all ...kafka.Message) error {
		require.Len(t, ids(t, acks), len(wrote), "what is written before is acknowledged, and nothing else")
		weight := 0
		for i := range all {
			weight += len(all[i].Value)
			wrote = append(wrote, head(&all[i], "ce_id"))
		}
		require.Less(t, weight, maxBatchBytes)
		return nil
	})
	batch := received(t, b, by, 60, 100_000)
	convert(batch)
	b.settle(t.Context(), batch)
	require.Equal(t, upTo(60), ids(t, acks))
	require.Len(t, acks, 7, "one for each write")
	for i, id := range wrote {
		require.Equal(t, strconv.Itoa(i), id)
	}
	count, bytes := b.gate.held()
	require.Zero(t, count+bytes)
	require.Zero(t, total(t, b.metrics.abandoned))
}

func head(m *kafka.Message, key string) string {
	for _, h := range m.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func total(tb testing.TB, c prometheus.Counter) float64 {
	tb.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	require.NoError(tb, err)
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func TestNothingIsAcknowledgedBehindAWriteThatFailed(t *testing.T) {
	b := unstarted(t, "tcp://127.0.0.1:1")
	defer b.stop()
	var acks [][]byte
	by := newConn(counted{socket{}, &acks}, b.gate, 1, nil, func(error) {})
	writes := 0
	b.sink.to = writerFunc(func(context.Context, ...kafka.Message) error {
		writes++
		if writes == 2 {
			require.NoError(t, by.Close())
			return kafka.LeaderNotAvailable
		}
		return nil
	})
	batch := received(t, b, by, 30, 100_000)
	convert(batch)
	b.settle(t.Context(), batch)
	require.Equal(t, 2, writes)
	kept := ids(t, acks)
	require.Equal(t, upTo(len(kept)), kept)
	require.EqualValues(t, 30-len(kept), total(t, b.metrics.abandoned))
	require.Less(t, len(kept), 10)
	count, bytes := b.gate.held()
	require.Zero(t, count+bytes)
}

func TestABatchIsOfOneConnectionAndWaitsOnlyWhileItIsYoung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := unstarted(t, "tcp://127.0.0.1:1")
		defer b.stop()
		b.queue = make(chan delivery, 2*maxBatch)
		one := newConn(socket{}, b.gate, 1, nil, func(error) {})
		other := newConn(socket{}, b.gate, 1, nil, func(error) {})
		put := func(by *conn, n int) {
			for _, d := range received(t, b, by, n, 0) {
				b.queue <- d
			}
		}
		take := func() (n int, by *conn, took time.Duration) {
			begin := time.Now()
			batch, err := b.collect(t.Context())
			require.NoError(t, err)
			return len(batch), batch[0].by, time.Since(begin)
		}
		want := func(n int, by *conn, took time.Duration) {
			t.Helper()
			gotN, gotBy, gotTook := take()
			require.Equal(t, n, gotN)
			require.Same(t, by, gotBy)
			require.Equal(t, took, gotTook)
		}
		put(one, 3)
		want(3, one, gather)
		put(one, 2)
		put(other, 1)
		want(2, one, 0)
		want(1, other, gather)
		put(one, maxBatch+5)
		time.Sleep(2 * gather) //nolint:forbidigo // the bubble's clock
		want(maxBatch, one, 0)
		want(5, one, 0)
	})
}
