package event_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
)

func TestAnOverrideSaysWhichPartAndWhatItIs(t *testing.T) {
	m, err := event.DecodeOverride([]byte(`{"partId":"PCB-1","verdict":"FAIL","operator":"mei","shift":3,
		"defects":[{"class":"虚焊 (cold joint)","box":[1,2,30.5,40]}]}`))
	require.NoError(t, err)
	require.Equal(t, event.OverrideMessage{
		PartID: "PCB-1", Verdict: event.Fail, Operator: "mei",
		Defects: []event.OverrideDefect{{Class: "虚焊 (cold joint)", Box: [4]float32{1, 2, 30.5, 40}}},
	}, m)
	m, err = event.DecodeOverride([]byte(`{"resultId":"r-1","verdict":"PASS","defects":[]}`))
	require.NoError(t, err)
	require.NotNil(t, m.Defects)
	m, err = event.DecodeOverride([]byte(`{"resultId":"r-1","verdict":"REWORK"}`))
	require.NoError(t, err)
	require.Nil(t, m.Defects, "nobody said where")
}

func TestOverridesThatSayNothingOrNonsenseAreRefused(t *testing.T) {
	box := func(class, box string) string {
		return `{"partId":"P","verdict":"FAIL","defects":[{"class":"` + class + `","box":` + box + `}]}`
	}
	for payload, want := range map[string]string{
		``:                                   "no JSON object",
		`17`:                                 "the message is JSON, but no object",
		`{}`:                                 "resultId or partId must say which part",
		`{"verdict":"PASS"}`:                 "resultId or partId must say which part",
		`{"partId":"P"}`:                     "verdict is none of PASS, FAIL and REWORK",
		`{"partId":"P","verdict":"UNKNOWN"}`: "verdict is none of PASS, FAIL and REWORK",
		`{"partId":17,"verdict":"PASS"}`:     `partId is a number: write a string`,
		`{"partId":"a\nb","verdict":"PASS"}`: "control character",
		`{"partId":"P","verdict":"PASS","operator":"` + strings.Repeat("x", 129) + `"}`: "129 bytes is over",
		`{"partId":"P","verdict":"PASS","defects":[{"class":"open","box":[1,2,3,4]}]}`:  "no PASS",
		`{"partId":"P","verdict":"FAIL","defects":["open"]}`:                            "defects is a list",
		`{"partId":"P","verdict":"FAIL","defects":[]}`:                                  "leave defects out",
		`{"partId":"P","verdict":"REWORK","defects":[]}`:                                "leave defects out",
		box("", "[1,2,3,4]"):              "class has 1 to 64 characters",
		box(" open", "[1,2,3,4]"):         "class has 1 to 64 characters",
		box(`a\u0007`, "[1,2,3,4]"):       "class has 1 to 64 characters",
		box("open", "[3,2,1,4]"):          "box is x1, y1, x2, y2",
		box("open", "[1,2]"):              "box is x1, y1, x2, y2",
		box("open", "[1,2,1e30,4]"):       "over 1048576 pixels",
		box("open", `"1,2,3,4"`):          "defects is a list",
		strings.Repeat(" ", 32<<10) + `{`: "are over 32768",
	} {
		_, err := event.DecodeOverride([]byte(payload))
		require.ErrorIs(t, err, event.ErrEvent, payload)
		require.ErrorContains(t, err, want, payload)
	}
}

func FuzzDecodeOverride(f *testing.F) {
	f.Add([]byte(`{"partId":"P","verdict":"FAIL","defects":[{"class":"open","box":[1,2,3,4]}]}`))
	f.Add([]byte(`{"partId":"P","verdict":"FAIL","defects":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := event.DecodeOverride(raw)
		if err != nil {
			return
		}
		require.NotEmpty(t, m.PartID+m.ResultID)
		require.False(t, m.Verdict != event.Pass && m.Defects != nil && len(m.Defects) == 0)
		for _, d := range m.Defects {
			require.Less(t, d.Box[0], d.Box[2])
			require.Less(t, d.Box[1], d.Box[3])
		}
	})
}
