package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/config"
	"github.com/sightline-edge/sightline/models/strictyaml"
)

const fiveLines = `
place: acme/dongguan/smt
mqtt: {local: tcp://127.0.0.1:1883, uplink: ssl://mqtt.example.com:8883}
stations:
  - name: line3/aoi-1
    camera: "sim:"
    bundle: pcb-defects
    trigger: {mode: mqtt, deadline: 40ms}
`

func TestFiveLinesAreEnough(t *testing.T) {
	c, err := config.Parse([]byte(fiveLines))
	require.NoError(t, err)
	require.Equal(t, 40*time.Millisecond, c.Stations[0].Trigger.Deadline)
	require.Equal(t, config.DefaultReadTimeout, c.Stations[0].ReadTimeout)
	require.Equal(t, "/var/lib/sightline/bundles", c.BundleDir)
	require.NotEmpty(t, c.MQTT.ClientID)
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", c.ID)
}

func TestEveryFaultIsReportedAtOnceWithItsLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sightline.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`place: acme
mqtt:
  local: 127.0.0.1:1883
  uplink: tcp://joe:secret@host:1883
  cert_file: /nowhere/cert.pem
stations:
  - name: aoi
    camera: usb0
    trigger: {mode: sometimes, deadline: 5h}
    verdict:
      min_size: -1
      classes: {short: {threshold: 2, verdict: maybe}}
      zones: [{polygon: [[0, 0]]}]
evidence: {quality: 101}
`), 0o600))
	_, err := config.Load(path)
	require.ErrorContains(t, err, path)
	var faults strictyaml.Faults
	require.True(t, errors.As(err, &faults))
	got := map[string]int{}
	for _, f := range faults {
		got[f.Path] = f.Line
		require.NotEmpty(t, f.Remedy, f.Path)
	}
	require.Equal(t, map[string]int{
		"place": 1, "mqtt.local": 3, "mqtt.uplink": 4, "mqtt.cert_file": 5,
		"stations[0].name": 7, "stations[0].camera": 8, "stations[0].bundle": 7,
		"stations[0].trigger.mode": 9, "stations[0].trigger.deadline": 9,
		"stations[0].verdict.min_size": 11, "stations[0].verdict.classes.short.threshold": 12,
		"stations[0].verdict.classes.short.verdict": 12,
		"stations[0].verdict.zones[0].name":         13, "stations[0].verdict.zones[0].polygon": 13,
		"evidence.quality": 14,
	}, got)
	require.NotContains(t, err.Error(), "secret", "secrets never reach a log")
}

func TestUnknownKeyNamesItsNeighbour(t *testing.T) {
	_, err := config.Parse([]byte(strings.Replace(fiveLines, "bundle:", "bundel:", 1)))
	require.EqualError(t, err, "line 7: stations[0].bundel: unknown key (did you mean bundle?)")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(fiveLines))
	f.Add([]byte("stations: [{verdict: {zones: [{polygon: [[.nan, .inf]]}]}}]"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		_, _ = config.Parse(raw)
	})
}
