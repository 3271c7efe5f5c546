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
	require.Equal(t, config.SpinRun, c.Worker.Spinning)
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
worker: {memory_limit: 4096, recycle_above: 1, spinning: true}
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
		"evidence.quality": 14, "worker.memory_limit": 15, "worker.recycle_above": 15,
		"worker.spinning": 15,
	}, got)
	require.NotContains(t, err.Error(), "secret", "secrets never reach a log")
}

func TestTilesAreForMethodDetectWithAnOverlapOfUse(t *testing.T) {
	for _, c := range []struct{ written, fault string }{
		{"tiles: {overlap: 96}", ""},
		{"tiles: {overlap: 96}, method: detect", ""},
		{"tiles: {}", ""},
		{"tiles: {overlap: 31}", "tiles.overlap: 31 is out of range"},
		{"tiles: {overlap: 9000}", "tiles.overlap: 9000 is out of range"},
		{"tiles: {overlap: 96}, method: pair", ""},
		{"tiles: {overlap: 96}, method: compare, recipe: panels", "tiles: method compare sees each frame"},
	} {
		station := `name: line3/aoi-1, camera: "sim:", ` + c.written
		if !strings.Contains(station, config.MethodCompare) {
			station += ", bundle: pcb-defects"
		}
		_, err := config.Parse([]byte("place: acme/dongguan/smt\nstations:\n  - {" + station + "}\n"))
		if c.fault == "" {
			require.NoError(t, err, c.written)
			continue
		}
		require.ErrorContains(t, err, "stations[0]."+c.fault, c.written)
	}
}

// The broker ends the older of two connections with one client id, and each station would come back.
func TestStationsThatTheBrokerCannotTellApartAreRefused(t *testing.T) {
	for second, want := range map[string]string{
		"line3/aoi-1": "line 9: stations[1].name: line3/aoi-1 is there twice " +
			"(stations have different names)",
		"line3-aoi/1": "line 9: stations[1].name: line3/aoi-1 and line3-aoi/1 are both node7-line3-aoi-1 " +
			"at the broker (rename one: two clients of one id throw each other out)",
		"line3/aoi-2": "",
	} {
		in := strings.Replace(fiveLines, "mqtt: {", "mqtt: {client_id: node7, ", 1) +
			"  - {name: " + second + ", camera: \"sim:\", bundle: pcb-defects, trigger: {mode: mqtt}}\n"
		_, err := config.Parse([]byte(in))
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, want)
	}
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
	require.ErrorContains(t, err, `line 8: stations[0].trigger.deadline: "soon" does not fit here`)
	require.ErrorContains(t, err, "line 9: stations[0].verdict.min_size:")
	require.ErrorContains(t, err, `line 12: evidence.quality: "high" does not fit here`)
	var faults strictyaml.Faults
	require.True(t, errors.As(err, &faults))
	require.Len(t, faults, 8, "%v", err)
}

func TestAFaultHidesNoFaultElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		in, want string
	}{
		"a misspelt key": {
			strings.Replace(fiveLines, "uplink", "uplnk", 1) + "    verdict: {zones: [{}]}",
			"line 3: mqtt.uplnk: unknown key (did you mean uplink?)\n" +
				"line 9: stations[0].verdict.zones[0].name: the zone has no name (results name it)\n" +
				"line 9: stations[0].verdict.zones[0].polygon: 0 corners (at least three [x, y])",
		},
		"a value on the same line": {
			strings.Replace(fiveLines, "mqtt, deadline: 40ms", "mqt, interval: 1s, deadline: 0", 1),
			"line 8: stations[0].trigger.deadline: \"0\" does not fit here " +
				"(write a duration such as 40ms or 2s)\n" +
				"line 8: stations[0].trigger.mode: \"mqt\" is not known (one of continuous, interval, mqtt)",
		},
		"a repeated key": {
			fiveLines + "stations: []\nevidence: {quality: 101}\n",
			"line 9: stations: the key is there already, on line 4 (keep one of them)\n" +
				"line 10: evidence.quality: 101 is out of range (1 to 100)",
		},
		"a misspelt mode": {
			strings.Replace(fiveLines, "mode: mqtt", "mod: interval, interval: 1s", 1),
			"line 8: stations[0].trigger.mod: unknown key (did you mean mode?)",
		},
		"a misspelt key_file": {
			strings.Replace(fiveLines, "mqtt: {", "mqtt: {cert_file: /dev/null, keyfile: x, ", 1),
			"line 3: mqtt.keyfile: unknown key (did you mean key_file?)",
		},
		"stations without names": {
			"\nplace: a/b/c\nstations:\n- {nam: a/b, camera: 'sim:', bundle: x}\n" +
				"- {camera: 'sim:', bundle: x}",
			"line 4: stations[0].nam: unknown key (did you mean name?)\n" +
				"line 5: stations[1].name: \"\" is not a station (write line/station, such as line3/aoi-1)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse([]byte(c.in))
			require.EqualError(t, err, c.want)
		})
	}
}

func TestReadReturnsWhatIsRightBesideTheFaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sightline.yaml")
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(fiveLines, "sim:", "usb0", 1)), 0o600))
	c, err := config.Read(path)
	require.ErrorContains(t, err, "stations[0].camera")
	require.Equal(t, "pcb-defects", c.Stations[0].Bundle)
	require.True(t, c.Faulty("stations[0].camera"))
	require.False(t, c.Faulty("stations[0].bundle"))
	again := strictyaml.Faults{{Path: "camera", Problem: "is odd"}, {Path: "bundle", Problem: "is absent"}}
	require.EqualError(t, c.Locate(0, again), "line 7: stations[0].bundle: is absent")
	require.NoError(t, c.Locate(0, again[:1]))
	c, err = config.Load(path)
	require.Error(t, err)
	require.Nil(t, c)

	require.NoError(t, os.WriteFile(path, []byte("stations: ["), 0o600))
	c, err = config.Read(path)
	require.ErrorContains(t, err, "sightline.yaml:\n")
	require.Nil(t, c)
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
