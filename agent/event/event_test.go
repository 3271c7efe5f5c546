package event_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
)

func station(tb testing.TB) topic.Station {
	tb.Helper()
	s, err := topic.ParseStation("acme/dongguan/smt/line3/aoi-1")
	require.NoError(tb, err)
	return s
}

func inspection(id string) event.Inspection {
	return event.Inspection{
		ResultID: id, JobID: "b-1", PartID: "P1", Verdict: event.Fail, ResultState: event.ResultCompleted,
		Defects: []event.Defect{{Class: "open", Score: 0.9, Box: [4]float32{1, 2, 3, 4}}},
	}
}

func encoded(tb testing.TB) []byte {
	tb.Helper()
	b, err := event.Encode(
		"id-1",
		event.TypeInspection,
		station(tb),
		"P1",
		time.Unix(0, 5),
		inspection("id-1"),
	)
	require.NoError(tb, err)
	return b
}

func TestEventIsStructuredCloudEvents(t *testing.T) {
	var attributes map[string]any
	require.NoError(t, json.Unmarshal(encoded(t), &attributes))
	delete(attributes, "data")
	require.Equal(t, map[string]any{
		"specversion": "1.0", "id": "id-1", "source": "/acme/dongguan/smt/line3/aoi-1",
		"type": "dev.sightline.inspection.v1", "subject": "P1", "time": "1970-01-01T00:00:00.000000005Z",
		"datacontenttype": "application/json", "partitionkey": "acme/dongguan/smt/line3/aoi-1",
	}, attributes)
	e, err := event.Decode(encoded(t))
	require.NoError(t, err)
	in, err := event.DecodeInspection(e.Data)
	require.NoError(t, err)
	require.Equal(t, inspection("id-1"), in)
}

func TestAnUnknownExposureIsNotToldAsZero(t *testing.T) {
	unknown, err := json.Marshal(event.TimesMs{})
	require.NoError(t, err)
	require.NotContains(t, string(unknown), "exposure")
	require.Contains(t, string(unknown), `"capture":0`)
	known, err := json.Marshal(event.TimesMs{Exposure: 0.5})
	require.NoError(t, err)
	require.Contains(t, string(known), `"exposure":0.5`)
}

func TestHistoricalChangesNothingElse(t *testing.T) {
	before, err := event.Decode(encoded(t))
	require.NoError(t, err)
	marked, err := event.MarkHistorical(encoded(t))
	require.NoError(t, err)
	after, err := event.Decode(marked)
	require.NoError(t, err)
	require.True(t, after.Historical)
	after.Historical = false
	require.Equal(t, before, after)
}

func TestBrokenEventsAreRefusedWithTheReason(t *testing.T) {
	good := string(encoded(t))
	for name, c := range map[string]struct{ from, to, want string }{
		"not json":        {"{", "", "invalid character"},
		"other version":   {`"1.0"`, `"0.3"`, "specversion"},
		"no id":           {`"id":"id-1"`, `"id":""`, "id is missing"},
		"foreign source":  {`"source":"/acme`, `"source":"/other`, "is not the station"},
		"wildcard in key": {"line3", "+", "not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := event.Decode(
				[]byte(strings.Replace(good, c.from, c.to, 1+strings.Count(c.from, "line3")*9)),
			)
			require.ErrorIs(t, err, event.ErrEvent)
			if c.to != "+" {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
	_, err := event.Decode(make([]byte, event.MaxBytes+1))
	require.ErrorIs(t, err, event.ErrEvent)
}

func TestContradictingInspectionsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*event.Inspection){
		"accepted failure":   func(in *event.Inspection) { in.Accept = true },
		"unknown verdict":    func(in *event.Inspection) { in.Verdict = "MAYBE" },
		"no part":            func(in *event.Inspection) { in.PartID = "" },
		"defects by the ton": func(in *event.Inspection) { in.Defects = make([]event.Defect, 1001) },
	} {
		t.Run(name, func(t *testing.T) {
			in := inspection("id")
			change(&in)
			raw, err := json.Marshal(in)
			require.NoError(t, err)
			_, err = event.DecodeInspection(raw)
			require.ErrorIs(t, err, event.ErrEvent)
		})
	}
}

func TestTriggersAreBoundedAndTolerant(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		ok   bool
		part string
	}{
		"empty":             {"", true, ""},
		"named":             {`{"partId":"P1","productId":"A"}`, true, "P1"},
		"more than we know": {`{"partId":"P1","lot":7}`, true, "P1"},
		"real encoder":      {`{"partId":"P1","encoder":120034.0}`, true, "P1"},
		"broken encoder":    {`{"partId":"P1","encoder":1.5}`, true, "P1"},
		"encoder over 64":   {`{"partId":"P1","encoder":9223372036854775808}`, true, "P1"},
		"encoder exponent":  {`{"encoder":1e400,"partId":"P1"}`, true, "P1"},
		"encoder in words":  {`{"encoder":"none","partId":"P1"}`, true, "P1"},
		"encoder of lists":  {`{"encoder":[{"a":1}],"partId":"P1"}`, true, "P1"},
		"no encoder":        {`{"encoder":null,"partId":"P1"}`, true, "P1"},
		"no names":          {`{"partId":null,"productId":null}`, true, ""},
		"not json":          {"P1", false, ""},
		"not json behind":   {`{"partId":"P1","encoder":}`, false, ""},
		"wrong type":        {`{"partId":1}`, false, ""},
		"control character": {`{"partId":"a\nb"}`, false, ""},
		"long name":         {`{"partId":"` + strings.Repeat("x", 129) + `"}`, false, ""},
		"enormous":          {`{"partId":"` + strings.Repeat("x", 1<<20) + `"}`, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := event.DecodeTrigger([]byte(c.in))
			require.Equal(t, c.ok, err == nil, "%v", err)
			if c.ok {
				require.Equal(t, c.part, m.PartID)
			}
		})
	}
}

func TestAPLCThatWritesTheWrongTypeIsToldTheRightOne(t *testing.T) {
	for in, want := range map[string]string{
		`{"partId":1}`:                   `partId is a number: write a string`,
		`{"partId":1042}`:                `write a string, with quotation marks, such as "partId":"17"`,
		`{"partId":"P","productId":1.5}`: `productId is a number: write a string`,
		`{"partId":[]}`:                  `partId is an array: write a string`,
		`{"partId":{"id":"P"}}`:          `partId is an object: write a string`,
		`{"partId":false}`:               `partId is true or false: write a string`,
		`["P"]`:                          `no object: write {...} around its fields, not an array`,
		`1042`:                           `no object: write {...} around its fields, not a number`,
		`P-1042`:                         `no JSON object: invalid character 'P'`,
	} {
		m, err := event.DecodeTrigger([]byte(in))
		require.ErrorIs(t, err, event.ErrEvent)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "Go ", "no word of the decoder's own")
		require.Equal(t, strings.Contains(in, `"partId":"P"`), m.PartID == "P", "a good name is kept")
	}
	_, err := event.DecodeResultAck([]byte(`{"resultId":7}`))
	require.ErrorContains(t, err, `resultId is a number: write a string`)
	_, err = event.DecodeCommand([]byte(`{"command":true}`))
	require.ErrorContains(t, err, `command is true or false: write a string`)
}

func TestIDsAreDifferentAndSortByTime(t *testing.T) {
	a, err := event.NewID()
	require.NoError(t, err)
	b, err := event.NewID()
	require.NoError(t, err)
	require.Less(t, a, b)
}

func FuzzDecode(f *testing.F) {
	f.Add(encoded(f))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if e, err := event.Decode(b); err == nil {
			_, _ = event.DecodeInspection(e.Data)
		}
		_, _ = event.DecodeTrigger(b)
		_, _ = event.DecodeResultAck(b)
	})
}
