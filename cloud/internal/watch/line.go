package watch

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/segmentio/kafka-go"

	"github.com/sightline-edge/sightline/agent/event"
)

// Record is one Kafka record as a line of JSON.
type Record struct {
	Topic     string            `json:"topic"`
	Partition int               `json:"partition"`
	Offset    int64             `json:"offset"`
	Time      time.Time         `json:"time"`
	Key       string            `json:"key"`
	Headers   map[string]string `json:"headers"`
	Data      json.RawMessage   `json:"data,omitempty"`
	Raw       []byte            `json:"raw,omitempty"` // instead of data when that is no JSON
}

// Describe puts a record into words for programs.
func Describe(m kafka.Message) Record {
	r := Record{
		Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Time: m.Time, Key: string(m.Key),
		Headers: make(map[string]string, len(m.Headers)),
	}
	for _, h := range m.Headers {
		r.Headers[h.Key] = string(h.Value)
	}
	if json.Valid(m.Value) {
		r.Data = m.Value
	} else {
		r.Raw = m.Value
	}
	return r
}

// Line puts a record into words for people, without control characters of its own.
func Line(m kafka.Message) string {
	r := Describe(m)
	at := r.Headers["ce_time"]
	if at == "" {
		at = r.Time.UTC().Format(time.RFC3339)
	}
	if reason := r.Headers["reason"]; reason != "" {
		return clean(fmt.Sprintf("%s  %-16s %s  %s", at, reason, r.Headers["mqtt_topic"],
			r.Headers["detail"]))
	}
	in, err := event.DecodeInspection(r.Data)
	if r.Headers["ce_type"] != event.TypeInspection || err != nil {
		return clean(fmt.Sprintf("%s  %s  %s  %s", at, r.Key, r.Headers["ce_type"], m.Value))
	}
	var found []string
	for _, d := range in.Defects {
		found = append(found, fmt.Sprintf("%s %.2f", d.Class, d.Score))
	}
	return clean(fmt.Sprintf("%s  %s  %-7s part %s  %s%s", at, r.Key, in.Verdict, in.PartID, in.Reason,
		strings.Join(found, ", ")))
}

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) { // those above 0x7f, too: some terminals obey U+009B
			return ' '
		}
		return r
	}, s)
}
