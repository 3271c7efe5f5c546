package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/sightline-edge/sightline/cloud/internal/watch"
)

// Watch is what to print and how.
type Watch struct {
	Topic     string // with or without "sightline."
	FromStart bool
	Count     int // 0: until ctx ends
	JSON      bool
}

// RunWatch prints records as lines until ctx ends or Count is reached.
func RunWatch(ctx context.Context, k Kafka, w Watch, to io.Writer) error {
	target, err := k.target()
	if err != nil {
		return err
	}
	if !strings.Contains(w.Topic, ".") {
		w.Topic = "sightline." + w.Topic
	}
	seen := 0
	var failed error
	err = watch.Follow(ctx, watch.Options{
		Brokers: target.Brokers, Topic: w.Topic, FromStart: w.FromStart,
		Dialer: &kafka.Dialer{TLS: target.TLS, SASLMechanism: target.SASL, DualStack: true},
	}, func(m kafka.Message) bool {
		failed = show(to, m, w.JSON)
		seen++
		return failed == nil && (w.Count == 0 || seen < w.Count)
	})
	if failed != nil {
		return fmt.Errorf("print record: %w", failed)
	}
	return err //nolint:wrapcheck // names its step
}

func show(to io.Writer, m kafka.Message, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(to).Encode(watch.Describe(m)) //nolint:wrapcheck // the caller names the step
	}
	_, err := fmt.Fprintln(to, watch.Line(m))
	return err //nolint:wrapcheck // the caller names the step
}
