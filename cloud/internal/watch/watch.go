// Package watch follows one of the bridge's Kafka topics from outside any consumer group, so that looking
// changes nothing for anybody.
package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
)

const (
	maxFetch = 10 << 20
	maxWait  = 250 * time.Millisecond // a quiet partition answers this late, also when the watch ends
)

// Options says what to follow.
type Options struct {
	Brokers   []string
	Dialer    *kafka.Dialer // nil: no TLS, nobody
	Topic     string
	FromStart bool // everything that is kept, instead of what comes from now on
}

// errStop ends a watch from within.
var errStop = errors.New("stop")

// Follow calls see for each record, one at a time, in the order of each partition, until ctx ends or see
// returns false. It fails when the topic is missing or no broker answers.
func Follow(ctx context.Context, o Options, see func(kafka.Message) (more bool)) error {
	partitions, err := lookup(ctx, o)
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	records := make(chan kafka.Message)
	for i := range partitions {
		all.Go(func() error { return follow(ctx, o, partitions[i].ID, records) })
	}
	all.Go(func() error {
		for {
			select {
			case m := <-records:
				if !see(m) {
					return errStop
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
	if err := all.Wait(); err != nil && !errors.Is(err, errStop) {
		return err //nolint:wrapcheck // names its step
	}
	return nil
}

func lookup(ctx context.Context, o Options) ([]kafka.Partition, error) {
	if len(o.Brokers) == 0 {
		return nil, errors.New("no kafka broker is named: give --kafka host:port, or kafka.brokers in " +
			"the file of --config")
	}
	dialer := o.Dialer
	if dialer == nil {
		dialer = kafka.DefaultDialer
	}
	var failures []error
	for _, broker := range o.Brokers {
		partitions, err := dialer.LookupPartitions(ctx, "tcp", broker, o.Topic)
		if err == nil {
			return partitions, nil
		}
		failures = append(failures, fmt.Errorf("ask %s for topic %s: %w", broker, o.Topic, err))
	}
	return nil, errors.Join(failures...)
}

// follow reads one partition; the reader connects again by itself.
func follow(ctx context.Context, o Options, partition int, to chan<- kafka.Message) (err error) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: o.Brokers, Dialer: o.Dialer, Topic: o.Topic, Partition: partition, MaxBytes: maxFetch,
		MaxWait: maxWait,
	})
	defer func() { err = errors.Join(err, reader.Close()) }()
	from := kafka.LastOffset
	if o.FromStart {
		from = kafka.FirstOffset
	}
	if err := reader.SetOffset(from); err != nil {
		return fmt.Errorf("set offset: %w", err)
	}
	for {
		m, err := reader.ReadMessage(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s/%d: %w", o.Topic, partition, err)
		}
		select {
		case to <- m:
		case <-ctx.Done():
			return nil
		}
	}
}
