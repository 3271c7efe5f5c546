package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/cloud/internal/record"
	"github.com/sightline-edge/sightline/cloud/internal/watch"
)

// consume counts the records of sightline.inspections until ctx ends.
func consume(ctx context.Context, broker string, tally *Tally) error {
	var broken error
	err := watch.Follow(ctx, watch.Options{
		Brokers: []string{broker}, Topic: record.Inspections, FromStart: true,
	}, func(m kafka.Message) bool {
		broken = take(&m, tally)
		return broken == nil
	})
	if ctx.Err() != nil && broken == nil {
		return nil
	}
	return errors.Join(broken, err)
}

func take(m *kafka.Message, tally *Tally) error {
	in, err := event.DecodeInspection(m.Value)
	if err != nil {
		return fmt.Errorf("record at offset %d of %s: %w", m.Offset, m.Topic, err)
	}
	if id := header(m, "ce_id"); id != in.ResultID {
		return fmt.Errorf("record at offset %d of %s: header ce_id %q is not the result's id %q",
			m.Offset, m.Topic, id, in.ResultID)
	}
	tally.InKafka(in.ResultID, in.PartID)
	return nil
}

func header(m *kafka.Message, name string) string {
	for _, h := range m.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
