package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/config"
)

func TestWhatARunningAgentCannotChangeIsNamed(t *testing.T) {
	const file = `
place: acme/plant/smt
mqtt: {client_id: node}
stations:
  - {name: line1/a, camera: "sim:", bundle: one, verdict: {min_size: 3}}
  - {name: line1/b, camera: "sim:", bundle: one, trigger: {mode: mqtt}}
`
	for name, c := range map[string]struct {
		was, now string
		fixed    []string
	}{
		"nothing":  {"", "", nil},
		"a bundle": {"bundle: one, verdict", "bundle: two, verdict", nil},
		"rules":    {"{min_size: 3}", "{classes: {open: {threshold: 0.3}}}", nil},
		"a method": {"bundle: one, trigger", "method: compare, recipe: x, trigger", nil},
		"a camera": {
			`camera: "sim:", bundle: one, verdict`, `camera: "sim:?seed=2", bundle: one, verdict`,
			[]string{"stations[0].camera"},
		},
		"a trigger": {
			"mode: mqtt", "mode: mqtt, deadline: 300ms", []string{"stations[1].trigger.deadline"},
		},
		"a broker": {
			"client_id: node", "client_id: node, uplink: 'tcp://cloud:1883'", []string{"mqtt.uplink"},
		},
		"a default": {
			"stations:", "evidence: {max_crops: 3}\nstations:", []string{"evidence.max_crops"},
		},
		"a station more": {
			"trigger: {mode: mqtt}}\n",
			"trigger: {mode: mqtt}}\n  - {name: line1/c, camera: 'sim:', bundle: one}\n",
			[]string{"stations"},
		},
		"two things": {
			"client_id: node", "client_id: edge, local: 'tcp://plc:1883'",
			[]string{"mqtt.local", "mqtt.client_id"},
		},
		"a station's name": {"line1/b", "line1/z", []string{"stations[1].name"}},
	} {
		t.Run(name, func(t *testing.T) {
			was, err := config.Parse([]byte(file))
			require.NoError(t, err)
			require.Contains(t, file, c.was)
			next, err := config.Parse([]byte(strings.Replace(file, c.was, c.now, 1)))
			require.NoError(t, err)
			require.Equal(t, c.fixed, config.Fixed(&was.Config, &next.Config))
		})
	}
}
