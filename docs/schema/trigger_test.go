package schema_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
)

func TestTriggersAreValidExactlyWhenTheyAreRead(t *testing.T) {
	for payload, valid := range map[string]bool{
		`{}`:   true,
		`null`: true,
		`[]`:   false,
		`17`:   false,
		`{"partId":"PCB-0001","productId":"MB-7","encoder":120034}`: true,
		`{"partId":"PCB-0001","encoder":120034.0}`:                  true,
		`{"partId":"PCB-0001","encoder":1.5}`:                       true,
		`{"partId":"PCB-0001","encoder":92233720368547758080}`:      true,
		`{"partId":"PCB-0001","encoder":"120034"}`:                  true,
		`{"partId":"PCB-0001","encoder":null}`:                      true,
		`{"partId":null,"productId":null}`:                          true,
		`{"partId":1042}`:                                           false,
		`{"partId":"P","productId":{}}`:                             false,
		`{"partId":"a\nb"}`:                                         false,
		`{"partId":"a\u007fb"}`:                                     false,
		`{"productId":"` + strings.Repeat("x", 128) + `"}`:          true,
		`{"productId":"` + strings.Repeat("x", 129) + `"}`:          false,
	} {
		fault := validate(t, triggerFile, "", []byte(payload))
		require.Equal(t, valid, fault == nil, "schema: %s: %v", payload, fault)
		_, fault = event.DecodeTrigger([]byte(payload))
		require.Equal(t, valid, fault == nil, "event.DecodeTrigger: %s: %v", payload, fault)
	}
}

func TestOverridesAreValidExactlyWhenTheyAreRead(t *testing.T) {
	one := func(class, box string) string {
		return `{"resultId":"r","verdict":"FAIL","defects":[{"class":"` + class + `","box":` + box + `}]}`
	}
	for payload, valid := range map[string]bool{
		`{}`:                                     false,
		`{"partId":"PCB-0001","verdict":"PASS"}`: true,
		`{"partId":"P","resultId":null,"verdict":"PASS","operator":"mei","line":7}`: true,
		`{"resultId":"r","verdict":"FAIL","defects":[]}`:                            false,
		`{"resultId":"r","verdict":"FAIL","defects":null}`:                          true,
		`{"resultId":"r","verdict":"PASS","defects":[]}`:                            true,
		one("open", "[1,2,3.5,4]"):                                                  true,
		strings.Replace(one("open", "[1,2,3.5,4]"), "FAIL", "PASS", 1):              false,
		one(" open", "[1,2,3,4]"):                                                   false,
		one(strings.Repeat("x", 65), "[1,2,3,4]"):                                   false,
		one("open", "[1,2]"):                                                        false,
		one("open", "[1,2,3000000,4]"):                                              false,
		`{"resultId":"r","verdict":"UNKNOWN"}`:                                      false,
		`{"resultId":"","partId":"","verdict":"PASS"}`:                              false,
		`{"verdict":"PASS"}`:                                                        false,
		`{"partId":7,"verdict":"PASS"}`:                                             false,
	} {
		fault := validate(t, triggerFile, "override", []byte(payload))
		require.Equal(t, valid, fault == nil, "schema: %s: %v", payload, fault)
		_, fault = event.DecodeOverride([]byte(payload))
		require.Equal(t, valid, fault == nil, "event.DecodeOverride: %s: %v", payload, fault)
	}
}

func TestTheSchemaNamesTheFieldsOfOverridesAndNoOthers(t *testing.T) {
	for def, value := range map[string]any{
		"override": event.OverrideMessage{}, "overrideDefect": event.OverrideDefect{},
		"overrideAck": event.OverrideAckMessage{},
	} {
		schema := read(t, triggerFile).Defs[def]
		all, always := fields(reflect.TypeOf(value), "json")
		require.ElementsMatch(t, all, names(schema), def)
		if def == "overrideAck" {
			require.ElementsMatch(t, always, schema.Required, "a field without omitempty is always there")
		}
	}
	for _, c := range []struct {
		ack   event.OverrideAckMessage
		valid bool
	}{
		{event.OverrideAckMessage{Reason: "unknown_part", Detail: "no such part"}, true},
		{event.OverrideAckMessage{Accepted: true, PartID: "P", Kept: "frame"}, true},
		{event.OverrideAckMessage{Reason: "bored"}, false},
	} {
		raw, err := json.Marshal(c.ack)
		require.NoError(t, err)
		require.Equal(t, c.valid, validate(t, triggerFile, "overrideAck", raw) == nil, "%s", raw)
	}
}
