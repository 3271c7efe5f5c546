package schema_test

import (
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
