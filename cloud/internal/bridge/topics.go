package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/sightline-edge/sightline/cloud/internal/record"
)

const adminTimeout = 10 * time.Second

// errRefused marks an answer of Kafka that waiting does not change.
var errRefused = errors.New("kafka refuses to create topics")

// topics makes sure that the bridge's topics are there.
type topics struct {
	client *kafka.Client
	to     Kafka
	log    *slog.Logger
}

// ensure waits for Kafka for as long as it takes, and fails at once when Kafka refuses.
func (t *topics) ensure(ctx context.Context) error {
	var logged time.Time
	for wait := firstBackoff; ; wait = min(2*wait, lastBackoff) {
		err := t.create(ctx)
		if err == nil || errors.Is(err, errRefused) {
			return err
		}
		if ctx.Err() == nil && time.Since(logged) >= logEvery {
			logged = time.Now()
			t.log.WarnContext(ctx, "kafka cannot be reached; messages wait in the mqtt session",
				"brokers", t.to.Brokers,
				"error", err)
		}
		if err := pause(ctx, nil, wait); err != nil {
			return err
		}
	}
}

func (t *topics) create(ctx context.Context) error {
	missing, err := t.missing(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	wanted := make([]kafka.TopicConfig, len(missing))
	for i, name := range missing {
		wanted[i] = kafka.TopicConfig{
			Topic: name, NumPartitions: t.to.Partitions, ReplicationFactor: t.to.Replication,
		}
	}
	answer, err := t.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: wanted})
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for name, cause := range answer.Errors {
		if err = refusal(name, cause); err != nil {
			return err
		}
	}
	t.log.InfoContext(ctx, "topics created", "topics", missing, "partitions", t.to.Partitions, "replication",
		t.to.Replication)
	return nil
}

func (t *topics) missing(ctx context.Context) ([]string, error) {
	answer, err := t.client.Metadata(ctx, &kafka.MetadataRequest{Topics: record.Topics()})
	if err != nil {
		return nil, fmt.Errorf("ask for topics: %w", err)
	}
	var missing []string
	for _, topic := range answer.Topics {
		switch {
		case errors.Is(topic.Error, kafka.UnknownTopicOrPartition):
			missing = append(missing, topic.Name)
		case errors.Is(topic.Error, kafka.TopicAuthorizationFailed):
			return nil, refusal(topic.Name, topic.Error)
		}
	}
	return missing, nil
}

// refusal tells what an operator has to mend from what time mends.
func refusal(name string, err error) error {
	switch {
	case err == nil, errors.Is(err, kafka.TopicAlreadyExists):
		return nil
	case errors.Is(err, kafka.InvalidReplicationFactor):
		return fmt.Errorf("%w: %s: %w: lower kafka.replication or start more brokers", errRefused, name, err)
	case errors.Is(err, kafka.TopicAuthorizationFailed), errors.Is(err, kafka.ClusterAuthorizationFailed):
		return fmt.Errorf("%w: %s: %w: create them beforehand, or allow this user to do it",
			errRefused, name, err)
	case errors.Is(err, kafka.PolicyViolation), errors.Is(err, kafka.InvalidPartitionNumber),
		errors.Is(err, kafka.InvalidConfiguration):
		return fmt.Errorf("%w: %s: %w: change kafka.partitions and kafka.replication", errRefused, name, err)
	default:
		return fmt.Errorf("create topic %s: %w", name, err)
	}
}
