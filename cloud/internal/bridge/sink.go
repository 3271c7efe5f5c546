package bridge

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/sightline-edge/sightline/cloud/internal/record"
)

const (
	// maxBatchBytes bounds the records of one write. It stays under Kafka's default message.max.bytes
	// (1,048,588), so that what one write sends to one partition is always one batch: with two, the first
	// could fail and the second succeed, and a retry would turn their order.
	maxBatchBytes = 1_000_000
	maxBatch      = 600 // messages; of 1 KB, they are one write
	firstBackoff  = 100 * time.Millisecond
	lastBackoff   = 5 * time.Second
	logEvery      = 10 * time.Second
)

// errAbandoned says that what was to be written will be delivered again by the broker.
var errAbandoned = errors.New("connection lost while writing")

// writer answers for each record, as kafka.Writer does.
type writer interface {
	WriteMessages(ctx context.Context, records ...kafka.Message) error
}

// sink writes records to Kafka until they are acknowledged by all replicas, in order for each key. One
// goroutine writes at a time: that is what keeps the order and bounds the memory.
type sink struct {
	to      writer
	metrics *Metrics
	log     *slog.Logger
	logged  time.Time
}

// write returns nil when each record, or its dead letter, is acknowledged. It tries for as long as it takes:
// until ctx ends or abandoned is closed.
func (s *sink) write(ctx context.Context, abandoned <-chan struct{}, records []kafka.Message) error {
	for wait := firstBackoff; ; wait = min(2*wait, lastBackoff) {
		failed := s.attempt(ctx, records)
		if err := s.isolate(ctx, abandoned, failed.forGood, failed.reason); err != nil {
			return err
		}
		if len(failed.forNow) == 0 {
			return nil
		}
		s.metrics.kafkaUp.Store(false)
		s.metrics.retries.Inc()
		s.complain(ctx, failed, wait)
		if err := pause(ctx, abandoned, wait); err != nil {
			return err
		}
		records = failed.forNow
	}
}

// failure is what one write left, each part in order.
type failure struct {
	forNow  []kafka.Message
	err     error // why the last of forNow
	forGood []kafka.Message
	reason  record.Reason // why the last of forGood
}

func (s *sink) attempt(ctx context.Context, records []kafka.Message) failure {
	begin := time.Now()
	err := s.to.WriteMessages(ctx, records...)
	s.metrics.write.Observe(time.Since(begin).Seconds())
	var each kafka.WriteErrors
	if errors.As(err, &each) && len(each) != len(records) {
		each = nil
	}
	var failed failure
	for i := range records {
		cause := err
		if each != nil {
			cause = each[i]
		}
		reason := permanent(cause)
		switch {
		case cause == nil:
			s.metrics.produced.WithLabelValues(records[i].Topic).Inc()
		case reason != "":
			failed.forGood, failed.reason = append(failed.forGood, records[i]), reason
		default:
			failed.forNow, failed.err = append(failed.forNow, records[i]), cause
		}
	}
	if len(failed.forNow) == 0 {
		s.metrics.kafkaUp.Store(true)
	}
	return failed
}

// isolate finds the records that Kafka refuses among those of a refused request, which fail together: each
// half is written by itself, in order, down to the single record, which becomes a dead letter.
func (s *sink) isolate(
	ctx context.Context, abandoned <-chan struct{}, records []kafka.Message, reason record.Reason,
) error {
	switch n := len(records); n {
	case 0:
		return nil
	case 1:
		return s.bury(ctx, abandoned, &records[0], reason)
	default:
		if err := s.write(ctx, abandoned, records[:n/2]); err != nil {
			return err
		}
		return s.write(ctx, abandoned, records[n/2:])
	}
}

// bury writes the dead letter of a record that Kafka refused. A dead letter that is itself refused is tried
// once more without its bytes; what remains then is a count and a line in the log.
func (s *sink) bury(ctx context.Context, abandoned <-chan struct{}, r *kafka.Message,
	reason record.Reason,
) error {
	switch {
	case r.Topic != record.DeadLetters:
		s.metrics.deadLetters.WithLabelValues(string(reason)).Inc()
		dead := record.Refused(r, reason)
		return s.write(ctx, abandoned, []kafka.Message{dead})
	case len(r.Value) > 0:
		bare := *r
		bare.Value = nil
		bare.Headers = append(slices.Clip(bare.Headers),
			kafka.Header{Key: "body_refused", Value: []byte(reason)})
		return s.write(ctx, abandoned, []kafka.Message{bare})
	default:
		s.metrics.lost.Inc()
		s.log.ErrorContext(ctx, "kafka refuses even the dead letter; check max.message.bytes of its topic",
			"topic", r.Topic, "key", string(r.Key), "reason", reason)
		return nil
	}
}

// complain says that Kafka fails, at once and then every ten seconds.
func (s *sink) complain(ctx context.Context, failed failure, wait time.Duration) {
	if time.Since(s.logged) < logEvery {
		return
	}
	s.logged = time.Now()
	s.log.WarnContext(ctx, "kafka does not take records; trying again for as long as it takes",
		"error", failed.err, "records", len(failed.forNow), "wait_ms", wait.Milliseconds())
}

// permanent returns why Kafka will never take a record, or "" when trying again can help. Missing rights,
// missing topics and missing replicas are repaired by operators, and so is what cannot be reached: they are
// tried again.
func permanent(err error) record.Reason {
	switch {
	case errors.Is(err, kafka.MessageSizeTooLarge), errors.Is(err, kafka.RecordListTooLarge):
		return record.KafkaTooLarge
	case errors.Is(err, kafka.InvalidRecord): // such as a key that a compacted topic demands
		return record.KafkaRefused
	default:
		return ""
	}
}

func pause(ctx context.Context, abandoned <-chan struct{}, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-abandoned:
		return errAbandoned
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // told apart by callers
	}
}
