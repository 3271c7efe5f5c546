package record_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/internal/record"
)

var (
	station  = topic.Station{Enterprise: "acme", Site: "dongguan", Area: "smt", Line: "line3", Name: "aoi-1"}
	created  = time.Date(2026, 11, 21, 9, 0, 0, 123456789, time.UTC)
	received = time.Date(2026, 11, 21, 9, 0, 1, 0, time.UTC)
)

func inspection(tb testing.TB, verdict event.Verdict) []byte {
	tb.Helper()
	b, err := event.Encode("id-1", event.TypeInspection, station, "part-7", created, event.Inspection{
		ResultID: "id-1", JobID: "job-1", PartID: "part-7", Verdict: verdict, Accept: verdict.Accept(),
	})
	require.NoError(tb, err)
	return b
}

func encode(tb testing.TB, kind string, data any) []byte {
	tb.Helper()
	b, err := event.Encode("id-1", kind, station, "", created, data)
	require.NoError(tb, err)
	return b
}

func convert(leaf topic.Leaf, payload []byte) record.Output {
	return record.Convert(record.Input{Topic: station.Topic(leaf), Payload: payload, Received: received})
}

func headers(m kafka.Message) map[string]string {
	all := map[string]string{}
	for _, h := range m.Headers {
		all[h.Key] = string(h.Value)
	}
	return all
}

func TestAnInspectionBecomesABinaryModeCloudEvent(t *testing.T) {
	raw := inspection(t, event.Pass)
	out := convert(topic.Inspection, raw)
	require.Len(t, out.Records, 1)
	got := out.Records[0]
	require.Equal(t, record.Inspections, got.Topic)
	require.Equal(t, station.Path(), string(got.Key))
	require.Equal(t, received, got.Time)
	require.Equal(t, map[string]string{
		"ce_specversion": "1.0", "ce_id": "id-1", "ce_source": "/" + station.Path(),
		"ce_type":    event.TypeInspection,
		"ce_subject": "part-7", "ce_time": "2026-11-21T09:00:00.123456789Z",
		"ce_partitionkey": station.Path(),
		"content-type":    "application/json",
	}, headers(got))
	whole, err := event.Decode(raw)
	require.NoError(t, err)
	require.Equal(t, string(whole.Data), string(got.Value), "data is passed on byte for byte")
}

func TestWhatIsNotPassIsCopiedToTheAnomalies(t *testing.T) {
	for _, verdict := range []event.Verdict{event.Fail, event.Rework, event.Unknown} {
		out := convert(topic.Inspection, inspection(t, verdict))
		require.Len(t, out.Records, 2)
		require.Equal(t, record.Inspections, out.Records[0].Topic)
		require.Equal(t, record.Anomalies, out.Records[1].Topic)
		require.Equal(t, out.Records[0].Value, out.Records[1].Value)
		require.Equal(t, out.Records[0].Headers, out.Records[1].Headers)
	}
}

func TestEachLeafHasItsKafkaTopic(t *testing.T) {
	for leaf, want := range map[topic.Leaf][2]string{
		topic.State:   {event.TypeState, record.States},
		topic.Metrics: {event.TypeMetrics, record.Metrics},
		topic.Update:  {event.TypeUpdate, record.Updates},
	} {
		out := convert(leaf, encode(t, want[0], map[string]int{"a": 1}))
		require.Len(t, out.Records, 1)
		require.Equal(t, want[1], out.Records[0].Topic)
		require.True(t, slices.Contains(record.Topics(), want[1]))
	}
}

func TestALateEventSaysSo(t *testing.T) {
	late, err := event.MarkHistorical(inspection(t, event.Pass))
	require.NoError(t, err)
	out := convert(topic.Inspection, late)
	require.Equal(t, "true", headers(out.Records[0])["ce_historical"])
	require.Equal(t, "id-1", headers(out.Records[0])["ce_id"])
}

func edit(tb testing.TB, raw []byte, key string, value any) []byte {
	tb.Helper()
	var all map[string]any
	require.NoError(tb, json.Unmarshal(raw, &all))
	all[key] = value
	b, err := json.Marshal(all)
	require.NoError(tb, err)
	return b
}

func TestBadMessagesBecomeDeadLettersWithTheirReason(t *testing.T) {
	pass := inspection(t, event.Pass)
	at := station.Topic(topic.Inspection)
	other := strings.Replace(at, "aoi-1", "aoi-2", 1)
	for name, c := range map[string]struct {
		topic   string
		payload []byte
		want    record.Reason
	}{
		"foreign topic":        {"factory/a/b", pass, record.BadTopic},
		"leaf of the line":     {station.Topic(topic.Result), pass, record.BadTopic},
		"odd segment":          {strings.Replace(at, "aoi-1", "aoi 1", 1), pass, record.BadTopic},
		"no payload":           {at, nil, record.Empty},
		"spaces":               {at, []byte(" \n"), record.Empty},
		"text":                 {at, []byte("hello"), record.BadJSON},
		"cut JSON":             {at, pass[:len(pass)-2], record.BadJSON},
		"array":                {at, []byte("[]"), record.BadEvent},
		"no envelope":          {at, []byte(`{"verdict":"PASS"}`), record.BadEvent},
		"other version":        {at, edit(t, pass, "specversion", "0.3"), record.BadEvent},
		"time missing":         {at, edit(t, pass, "time", "0001-01-01T00:00:00Z"), record.BadEvent},
		"time no time":         {at, edit(t, pass, "time", "yesterday"), record.BadEvent},
		"control character":    {at, edit(t, pass, "id", "a\nb"), record.BadEvent},
		"endless subject":      {at, edit(t, pass, "subject", strings.Repeat("s", 300)), record.BadEvent},
		"data of another type": {at, edit(t, pass, "datacontenttype", "text/xml"), record.BadEvent},
		"another station":      {other, pass, record.StationMismatch},
		"another type":         {at, encode(t, event.TypeState, event.StateData{}), record.TypeMismatch},
		"verdict of no kind": {
			at, encode(t, event.TypeInspection, map[string]string{"verdict": "GOOD"}),
			record.BadData,
		},
		"id is not resultId":   {at, edit(t, pass, "id", "id-2"), record.BadData},
		"over the event bound": {at, make([]byte, event.MaxBytes+1), record.TooLarge},
		"picture empty":        {station.EvidenceTopic("r", 0), nil, record.Empty},
		"picture no JPEG":      {station.EvidenceTopic("r", 0), []byte("GIF89a"), record.BadPicture},
		"picture cut": {
			station.EvidenceTopic("r", 0),
			[]byte{0xff, 0xd8, 0xff, 0xe0},
			record.BadPicture,
		},
		"picture enormous": {
			station.EvidenceTopic("r", 0), make([]byte, record.MaxPicture+1),
			record.TooLarge,
		},
		"picture escapes": {
			station.Topic(topic.Evidence) + "/../1",
			[]byte{0xff, 0xd8, 0xff},
			record.BadTopic,
		},
	} {
		t.Run(name, func(t *testing.T) {
			out := record.Convert(record.Input{Topic: c.topic, Payload: c.payload, Received: received})
			require.Equal(t, c.want, out.Rejected)
			require.Nil(t, out.Picture)
			require.Len(t, out.Records, 1)
			got := out.Records[0]
			require.Equal(t, record.DeadLetters, got.Topic)
			all := headers(got)
			require.Equal(t, string(c.want), all["reason"])
			require.Equal(t, c.topic, all["mqtt_topic"])
			require.NotEmpty(t, all["detail"])
			require.Equal(t, "2026-11-21T09:00:01Z", all["received_time"])
			if all["truncated"] == "" {
				require.Equal(t, string(c.payload), string(got.Value), "the original bytes are kept")
			} else {
				require.Less(t, len(got.Value), len(c.payload))
			}
		})
	}
}

func TestAPictureKeepsItsAddress(t *testing.T) {
	jpeg := []byte{0xff, 0xd8, 0xff, 0xe0, 1, 2, 3, 0xff, 0xd9}
	out := record.Convert(record.Input{
		Topic: station.EvidenceTopic("id-1", 2), Payload: jpeg,
		Received: received,
	})
	require.Equal(t, record.Output{
		Picture: &record.Picture{Station: station, ResultID: "id-1", N: 2, JPEG: jpeg},
	}, out)
}

func FuzzConvert(f *testing.F) {
	at := station.Topic(topic.Inspection)
	f.Add(at, inspection(f, event.Pass))
	f.Add(at, inspection(f, event.Fail))
	f.Add(at, []byte("{"))
	f.Add(station.Topic(topic.State), encode(f, event.TypeState, event.StateData{}))
	f.Add(station.EvidenceTopic("r", 1), []byte{0xff, 0xd8, 0xff, 0xff, 0xd9})
	f.Add("x", []byte(nil))
	f.Fuzz(func(t *testing.T, name string, payload []byte) {
		out := record.Convert(record.Input{Topic: name, Payload: payload, Received: received})
		if out.Picture != nil {
			require.Empty(t, out.Records)
			require.NoError(t, topic.CheckSegment(out.Picture.ResultID))
			return
		}
		require.NotEmpty(t, out.Records)
		for i := range out.Records {
			m := out.Records[i]
			require.Contains(t, record.Topics(), m.Topic)
			require.NotEmpty(t, m.Key)
			require.Equal(t, out.Rejected != "", m.Topic == record.DeadLetters)
			all := headers(m)
			require.Len(t, all, len(m.Headers), "no header stands twice")
			if m.Topic != record.DeadLetters {
				require.NotEmpty(t, all["ce_id"])
				require.True(t, json.Valid(m.Value))
				require.Equal(t, string(m.Key), all["ce_partitionkey"])
			}
		}
	})
}
