package factory

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/sightline-edge/sightline/agent/event"
)

const inspectionsTopic = "sightline.inspections"

// consume counts the records of sightline.inspections until ctx ends.
func consume(ctx context.Context, broker string, tally *Tally) error {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{broker}, GroupTopics: []string{inspectionsTopic}, GroupID: "demo",
		StartOffset: kafka.FirstOffset, MinBytes: 1, MaxBytes: 10 << 20,
	})
	defer func() { _ = reader.Close() }()
	for {
		m, err := reader.ReadMessage(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", inspectionsTopic, err)
		}
		in, err := event.DecodeInspection(m.Value)
		if err != nil {
			return fmt.Errorf("record at offset %d of %s: %w", m.Offset, inspectionsTopic, err)
		}
		if id := header(&m, "ce_id"); id != in.ResultID {
			return fmt.Errorf(
				"record at offset %d: header ce_id %q is not the result's id %q",
				m.Offset,
				id,
				in.ResultID,
			)
		}
		tally.InKafka(in.ResultID, in.PartID)
	}
}

func header(m *kafka.Message, name string) string {
	for _, h := range m.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
