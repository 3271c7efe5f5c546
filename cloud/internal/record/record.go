// Package record turns one MQTT message of the uplink into what Kafka and the evidence store take:
// CloudEvents in binary mode, keyed by station, or a dead letter that says why. It does no I/O and keeps no
// state.
package record

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/segmentio/kafka-go"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
)

// The Kafka topics. Anomalies holds a copy of each inspection whose verdict is not PASS.
const (
	Inspections = "sightline.inspections"
	Anomalies   = "sightline.anomalies"
	States      = "sightline.states"
	Updates     = "sightline.updates"
	Metrics     = "sightline.metrics"
	DeadLetters = "sightline.dead-letters"
)

// MaxPayload bounds an MQTT payload that is looked at: the largest picture.
const MaxPayload = MaxPicture

// Topics lists every Kafka topic that Convert may name.
func Topics() []string {
	return []string{Inspections, Anomalies, States, Updates, Metrics, DeadLetters}
}

// Input is one MQTT message. Payload is not copied: the output refers to it.
type Input struct {
	Topic    string
	Payload  []byte
	Received time.Time
}

// Output is what the message becomes. Either Records is not empty or Picture is set.
type Output struct {
	Records  []kafka.Message
	Picture  *Picture
	Rejected Reason // "" unless Records is a dead letter
}

// Convert never fails: what it cannot take becomes a dead letter.
func Convert(in Input) Output {
	at, err := topic.Parse(in.Topic)
	if err != nil {
		return reject(in, refused(BadTopic, err.Error()))
	}
	if at.Leaf == topic.Evidence {
		picture, bad := readPicture(at, in.Payload)
		if bad != nil {
			return reject(in, bad)
		}
		return Output{Picture: picture}
	}
	records, err := readEvent(at, in)
	if err != nil {
		return reject(in, err)
	}
	return Output{Records: records}
}

type route struct{ kind, topic string }

func routeOf(leaf topic.Leaf) (route, bool) {
	switch leaf {
	case topic.Inspection:
		return route{event.TypeInspection, Inspections}, true
	case topic.State:
		return route{event.TypeState, States}, true
	case topic.Update:
		return route{event.TypeUpdate, Updates}, true
	case topic.Metrics:
		return route{event.TypeMetrics, Metrics}, true
	default:
		return route{}, false
	}
}

func readEvent(at topic.Address, in Input) ([]kafka.Message, error) {
	to, ok := routeOf(at.Leaf)
	if !ok {
		return nil, refused(BadTopic, fmt.Sprintf("leaf %q does not belong to the uplink", at.Leaf))
	}
	e, err := decode(in.Payload)
	if err != nil {
		return nil, err
	}
	if e.PartitionKey != at.Station.Path() {
		return nil, refused(StationMismatch,
			fmt.Sprintf("an event of %s came on a topic of %s", e.PartitionKey, at.Station.Path()))
	}
	if e.Type != to.kind {
		return nil, refused(TypeMismatch,
			fmt.Sprintf("type %q on leaf %q, which carries %q", e.Type, at.Leaf, to.kind))
	}
	message := binaryMode(to.topic, e, in.Received)
	if at.Leaf != topic.Inspection {
		return []kafka.Message{message}, nil
	}
	return inspections(message, e)
}

// inspections checks what an inspection says and copies it to the anomalies when it is one.
func inspections(message kafka.Message, e event.Event) ([]kafka.Message, error) {
	in, err := event.DecodeInspection(e.Data)
	if err != nil {
		return nil, refused(BadData, err.Error())
	}
	if in.ResultID != e.ID {
		return nil, refused(BadData, fmt.Sprintf("resultId %q is not the event's id %q", in.ResultID, e.ID))
	}
	if in.Verdict == event.Pass {
		return []kafka.Message{message}, nil
	}
	anomaly := message
	anomaly.Topic = Anomalies
	return []kafka.Message{message, anomaly}, nil
}

// binaryMode is the Kafka protocol binding of CloudEvents 1.0. The record's time is the bridge's own clock: a
// node whose clock is a year off must neither expire a record at once nor have it refused.
func binaryMode(to string, e event.Event, received time.Time) kafka.Message {
	headers := make([]kafka.Header, 0, 9)
	add := func(key, value string) {
		headers = append(headers, kafka.Header{Key: key, Value: []byte(value)})
	}
	add("ce_specversion", e.SpecVersion)
	add("ce_id", e.ID)
	add("ce_source", e.Source)
	add("ce_type", e.Type)
	if e.Subject != "" {
		add("ce_subject", e.Subject)
	}
	add("ce_time", e.Time.UTC().Format(time.RFC3339Nano))
	add("ce_partitionkey", e.PartitionKey)
	if e.Historical {
		add("ce_historical", "true")
	}
	add("content-type", jsonContent)
	return kafka.Message{
		Topic: to, Key: []byte(e.PartitionKey), Value: e.Data, Headers: headers,
		Time: received,
	}
}

const (
	maxSubject  = 256
	jsonContent = "application/json"
)

// checkAttributes bounds what becomes a header beyond what event.Decode has checked.
func checkAttributes(e event.Event) error {
	switch {
	case len(e.Subject) > maxSubject:
		return refused(BadEvent, fmt.Sprintf("subject of %d bytes is over %d", len(e.Subject), maxSubject))
	case e.DataContentType != "" && e.DataContentType != jsonContent:
		return refused(BadEvent,
			fmt.Sprintf("datacontenttype %q is not %s", clip(e.DataContentType), jsonContent))
	case e.Time.IsZero():
		return refused(BadEvent, "time is missing")
	}
	for _, s := range []string{e.ID, e.Type, e.Subject} {
		if !printable(s) {
			return refused(BadEvent, "id, type or subject holds a control character or broken UTF-8")
		}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == utf8.RuneError
	})
}
