package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
)

// Reason says in one stable word why a message is a dead letter.
type Reason string

// The reasons. The last three are given by the bridge.
const (
	BadTopic         Reason = "bad_topic"          // not a topic of the uplink
	Empty            Reason = "empty"              // no payload, as when a retained state is cleared
	TooLarge         Reason = "too_large"          // over the bound of its leaf
	BadJSON          Reason = "bad_json"           // not JSON
	BadEvent         Reason = "bad_event"          // JSON, but no valid CloudEvent
	StationMismatch  Reason = "station_mismatch"   // an event of one station on the topic of another
	TypeMismatch     Reason = "type_mismatch"      // an event type that the leaf does not carry
	BadData          Reason = "bad_data"           // a valid envelope around data that contradicts itself
	BadPicture       Reason = "bad_picture"        // evidence that is no JPEG
	KafkaTooLarge    Reason = "kafka_too_large"    // over what Kafka takes
	KafkaRefused     Reason = "kafka_refused"      // Kafka will never take this record
	PictureNotStored Reason = "picture_not_stored" // the evidence store failed again and again
)

// Reasons lists all of them.
func Reasons() []Reason {
	return []Reason{
		BadTopic, Empty, TooLarge, BadJSON, BadEvent, StationMismatch, TypeMismatch, BadData, BadPicture,
		KafkaTooLarge, KafkaRefused, PictureNotStored,
	}
}

const (
	maxDeadBody = 256 << 10 // original bytes kept in a dead letter
	maxDetail   = 512
	maxTopic    = 1024
)

// refusal is why a message is not taken.
type refusal struct {
	reason Reason
	detail string
}

func (r *refusal) Error() string { return string(r.reason) + ": " + r.detail }

func refused(reason Reason, detail string) error {
	return &refusal{reason, detail}
}

func reject(in Input, err error) Output {
	why := &refusal{BadEvent, err.Error()}
	_ = errors.As(err, &why) // always one of ours
	return Output{Records: []kafka.Message{DeadLetter(in, why.reason, why.detail)}, Rejected: why.reason}
}

// DeadLetter keeps the original bytes, up to 256 KiB of them, beside the reason.
func DeadLetter(in Input, reason Reason, detail string) kafka.Message {
	body := in.Payload
	if len(body) > maxDeadBody {
		body = body[:maxDeadBody:maxDeadBody]
	}
	headers := []kafka.Header{
		header("reason", string(reason)),
		header("detail", cut(detail, maxDetail)),
		header("mqtt_topic", cut(in.Topic, maxTopic)),
		header("received_time", in.Received.UTC().Format(time.RFC3339Nano)),
		header("original_bytes", strconv.Itoa(len(in.Payload))),
	}
	if len(body) < len(in.Payload) {
		headers = append(headers, header("truncated", "true"))
	}
	return kafka.Message{
		Topic: DeadLetters, Key: deadKey(in.Topic), Value: body, Headers: headers,
		Time: in.Received,
	}
}

// Refused is the dead letter of a record that Kafka will never take.
func Refused(r *kafka.Message, reason Reason) kafka.Message {
	dead := DeadLetter(Input{Payload: r.Value, Received: r.Time}, reason,
		"kafka refuses this record for "+r.Topic)
	dead.Key = r.Key
	dead.Headers = append(dead.Headers, header("kafka_topic", r.Topic))
	dead.Headers = append(dead.Headers, r.Headers...) // its ce_ headers tell which event it was
	return dead
}

// deadKey is the station where the topic names one, so that its dead letters stay in order.
func deadKey(name string) []byte {
	if at, err := topic.Parse(name); err == nil {
		return []byte(at.Station.Path())
	}
	return []byte("unknown")
}

func decode(payload []byte) (event.Event, error) {
	switch {
	case len(bytes.TrimSpace(payload)) == 0:
		return event.Event{}, refused(Empty, "no payload")
	case len(payload) > event.MaxBytes:
		return event.Event{}, refused(TooLarge,
			fmt.Sprintf("%d bytes or more are over %d", len(payload), event.MaxBytes))
	}
	e, err := event.Decode(payload)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return e, refused(BadJSON, fmt.Sprintf("at byte %d: %s", syntax.Offset, syntax))
	}
	if err != nil {
		return e, refused(BadEvent, err.Error())
	}
	return e, checkAttributes(e)
}

func header(key, value string) kafka.Header {
	return kafka.Header{Key: key, Value: []byte(value)}
}

func clip(s string) string { return cut(s, 64) }

// cut shortens s to at most n bytes of valid UTF-8.
func cut(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "?")
}
