package watch_test

import (
	"encoding/json"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/cloud/internal/watch"
)

func record(value string, headers ...string) kafka.Message {
	m := kafka.Message{Topic: "t", Key: []byte("a/b/c/d/e"), Value: []byte(value)}
	for i := 0; i < len(headers); i += 2 {
		m.Headers = append(m.Headers, kafka.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return m
}

func TestEachKindOfRecordHasItsLine(t *testing.T) {
	const inspection = `{"resultId":"r","jobId":"j","partId":"p7","verdict":"UNKNOWN","reason":"deadline"}`
	for want, m := range map[string]kafka.Message{
		"T  a/b/c/d/e  UNKNOWN part p7  deadline": record(inspection,
			"ce_time", "T", "ce_type", "dev.sightline.inspection.v1"),
		"T  a/b/c/d/e  dev.sightline.state.v1  {}": record("{}", "ce_time", "T", "ce_type",
			"dev.sightline.state.v1"),
		"0001-01-01T00:00:00Z  bad_json         x/y  at byte 1 [2J": record("{",
			"reason", "bad_json", "mqtt_topic", "x/y", "detail", "at byte 1\x1b[2J"),
	} {
		require.Equal(t, want, watch.Line(m))
	}
}

func TestWhatIsNoJSONIsDescribedAsBytes(t *testing.T) {
	b, err := json.Marshal(watch.Describe(record("\x00\xff")))
	require.NoError(t, err)
	require.Contains(t, string(b), `"raw":"AP8="`)
	b, err = json.Marshal(watch.Describe(record(`{"a":1}`)))
	require.NoError(t, err)
	require.Contains(t, string(b), `"data":{"a":1}`)
}

func FuzzLine(f *testing.F) {
	f.Add([]byte(`{"verdict":"PASS"}`), "dev.sightline.inspection.v1")
	f.Add([]byte("\x1b"), "")
	f.Add([]byte("\u009b2J"), "")
	f.Fuzz(func(t *testing.T, value []byte, kind string) {
		line := watch.Line(record(string(value), "ce_type", kind))
		require.NotContains(t, line, "\x1b")
		require.NotContains(t, line, "\n")
		require.NotContains(t, line, "\u009b")
	})
}
