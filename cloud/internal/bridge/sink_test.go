package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/cloud/internal/record"
)

// broker keeps what it takes; answer decides on each record of a request.
type broker struct {
	answer func(request int, m kafka.Message) error
	calls  int
	taken  []kafka.Message
}

func (b *broker) WriteMessages(_ context.Context, records ...kafka.Message) error {
	b.calls++
	errs := make(kafka.WriteErrors, len(records))
	for i := range records {
		if errs[i] = b.answer(b.calls, records[i]); errs[i] == nil {
			b.taken = append(b.taken, records[i])
		}
	}
	if errs.Count() == 0 {
		return nil
	}
	return errs
}

func newSink(to writer) *sink {
	return &sink{
		to: to, metrics: NewMetrics(prometheus.NewRegistry()), log: slog.New(slog.DiscardHandler),
	}
}

func records(n int) []kafka.Message {
	all := make([]kafka.Message, n)
	for i := range all {
		all[i] = kafka.Message{Topic: record.Inspections, Key: []byte("k"), Value: []byte(strconv.Itoa(i))}
	}
	return all
}

func values(of string, all []kafka.Message) []string {
	var v []string
	for i := range all {
		if all[i].Topic == of {
			v = append(v, string(all[i].Value))
		}
	}
	return v
}

func TestATransientErrorIsTriedAgainInOrder(t *testing.T) {
	for _, cause := range []error{
		kafka.LeaderNotAvailable, kafka.NotEnoughReplicas, kafka.TopicAuthorizationFailed,
		kafka.UnknownTopicOrPartition, io.ErrUnexpectedEOF, context.DeadlineExceeded,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := &broker{answer: func(request int, m kafka.Message) error {
				if request < 12 && string(m.Value) >= "3" { // one partition of two
					return cause
				}
				return nil
			}}
			require.NoError(t, newSink(b).write(t.Context(), nil, records(6)))
			require.Equal(t, []string{"0", "1", "2", "3", "4", "5"}, values(record.Inspections, b.taken))
		})
	}
}

func TestARecordThatKafkaRefusesIsFoundAmongThoseOfItsRequest(t *testing.T) {
	for cause, reason := range map[error]record.Reason{
		kafka.MessageSizeTooLarge: record.KafkaTooLarge, kafka.InvalidRecord: record.KafkaRefused,
	} {
		b := &broker{}
		bad := func(m kafka.Message) bool {
			return m.Topic == record.Inspections && slices.Contains([]string{"3", "17"}, string(m.Value))
		}
		whole := writerFunc(func(ctx context.Context, all ...kafka.Message) error {
			refuse := slices.ContainsFunc(all, bad)
			b.answer = func(int, kafka.Message) error {
				if refuse {
					return fmt.Errorf("produce: %w", cause)
				}
				return nil
			}
			return b.WriteMessages(ctx, all...)
		})
		require.NoError(t, newSink(whole).write(t.Context(), nil, records(20)))
		kept := values(record.Inspections, b.taken)
		require.Len(t, kept, 18)
		require.True(t, slices.IsSortedFunc(kept, func(a, b string) int { return atoi(t, a) - atoi(t, b) }))
		require.Equal(t, []string{"3", "17"}, values(record.DeadLetters, b.taken))
		for _, m := range b.taken {
			if m.Topic == record.DeadLetters {
				require.Contains(t, m.Headers, kafka.Header{Key: "reason", Value: []byte(reason)})
				require.Contains(t, m.Headers,
					kafka.Header{Key: "kafka_topic", Value: []byte(record.Inspections)})
			}
		}
	}
}

func TestADeadLetterThatIsRefusedLosesItsBytesAndThenItself(t *testing.T) {
	for _, c := range []struct {
		name  string
		takes bool
		taken int
	}{{"bare", true, 1}, {"nothing", false, 0}} {
		t.Run(c.name, func(t *testing.T) {
			b := &broker{answer: func(_ int, m kafka.Message) error {
				if c.takes && m.Topic == record.DeadLetters && len(m.Value) == 0 {
					return nil
				}
				return kafka.MessageSizeTooLarge
			}}
			require.NoError(t, newSink(b).write(t.Context(), nil, records(1)), "the stream goes on")
			require.Len(t, b.taken, c.taken)
		})
	}
}

func TestWritingEndsWhenItsConnectionIsLost(t *testing.T) {
	lost := make(chan struct{})
	b := &broker{answer: func(request int, _ kafka.Message) error {
		if request == 1 {
			close(lost)
		}
		return kafka.LeaderNotAvailable
	}}
	require.ErrorIs(t, newSink(b).write(t.Context(), lost, records(1)), errAbandoned)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, newSink(b).write(ctx, nil, records(1)), context.Canceled)
}

func TestWhatKafkaRefusesToCreateIsToldFromWhatTimeMends(t *testing.T) {
	for err, permanent := range map[error]bool{
		kafka.InvalidReplicationFactor: true, kafka.ClusterAuthorizationFailed: true,
		kafka.PolicyViolation: true,
		kafka.RequestTimedOut: false, kafka.NotController: false, io.EOF: false,
	} {
		require.Equal(t, permanent, errors.Is(refusal("t", err), errRefused), err)
	}
	require.NoError(t, refusal("t", kafka.TopicAlreadyExists))
}

type writerFunc func(ctx context.Context, all ...kafka.Message) error

func (f writerFunc) WriteMessages(ctx context.Context, all ...kafka.Message) error {
	return f(ctx, all...)
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}
