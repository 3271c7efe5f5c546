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
worker: {memory_limit: 4096}
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
		"evidence.quality": 14, "worker.memory_limit": 15,
	}, got)
	require.NotContains(t, err.Error(), "secret", "secrets never reach a log")
}

func TestUnknownKeyNamesItsNeighbour(t *testing.T) {
	_, err := config.Parse([]byte(strings.Replace(fiveLines, "bundle:", "bundel:", 1)))
	require.EqualError(t, err, "line 7: stations[0].bundel: unknown key (did you mean bundle?)")
}

// What follows from a misspelt key or a value of the wrong type is not told, all else is.
func TestFaultsOfKeysHideNoFaultsOfValues(t *testing.T) {
	_, err := config.Parse([]byte(`
place: acme
mqtt: {local: 127.0.0.1:1883, keepalive: 5}
stations:
  - name: line3/aoi-1
    camera: usb0
    bundel: pcb-defects
    trigger: {mode: mqtt, deadline: soon}
    verdict: {min_size: -1}
evidence:
  quality:
    high
`))
	require.ErrorContains(t, err, "line 2: place:")
	require.ErrorContains(t, err, "line 3: mqtt.keepalive: unknown key")
	require.ErrorContains(t, err, "line 3: mqtt.local:")
	require.ErrorContains(t, err, "line 6: stations[0].camera:")
	require.ErrorContains(t, err, "line 7: stations[0].bundel: unknown key (did you mean bundle?)")
	require.ErrorContains(t, err, `line 8: "soon" does not fit here`)
	require.ErrorContains(t, err, "line 9: stations[0].verdict.min_size:")
	require.ErrorContains(t, err, `line 12: "high" does not fit here`)
	var faults strictyaml.Faults
	require.True(t, errors.As(err, &faults))
	require.Len(t, faults, 8, "%v", err)
}

func TestFaultsThatOnlyTheBundleShowsGetTheirLine(t *testing.T) {
	c, err := config.Parse([]byte(strings.TrimSuffix(fiveLines, "\n") + `
    verdict:
      classes: {scrath: {}}
`))
	require.NoError(t, err)
	found := strictyaml.Faults{{Path: "verdict.classes.scrath", Problem: "no such class"}}
	require.EqualError(t, c.Locate(0, found), "line 10: stations[0].verdict.classes.scrath: no such class")
	require.NoError(t, c.Locate(0, nil))
	require.ErrorIs(t, c.Locate(0, os.ErrNotExist), os.ErrNotExist)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(fiveLines))
	f.Add([]byte("stations: [{verdict: {zones: [{polygon: [[.nan, .inf]]}]}}]"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		_, _ = config.Parse(raw)
	})
}
