package line_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
)

// silent is a camera whose driver waits for its first frame for ever.
const silent = "gst:videotestsrc is-live=true ! video/x-raw,format=GRAY8,width=320,height=240 ! " +
	"valve drop=true ! appsink"

const (
	beside   = 3 // stations beside the one whose camera hangs
	interval = 100 * time.Millisecond
)

// startStations runs stations at 10 Hz that share a model, and behind them one whose driver gives no frame
// and never returns.
func startStations(t *testing.T, local string) *process {
	t.Helper()
	dir := t.TempDir()
	bundle, err := filepath.Abs("../../../models/pcb-defects")
	require.NoError(t, err)
	config := fmt.Appendf(nil, `place: acme/dongguan/smt
mqtt: {local: %q, client_id: e2e}
state_dir: %q
health: {listen: "off"}
stations:
`, local, filepath.Join(dir, "state"))
	for n := range beside {
		config = fmt.Appendf(config, `  - name: line3/aoi-%d
    camera: "sim:?seed=%d&prerender=4"
    bundle: %q
    trigger: {mode: interval, interval: %s, deadline: 20s}
`, n+1, n+1, bundle, interval)
	}
	config = fmt.Appendf(config, `  - name: line3/hung
    camera: %q
    bundle: %q
    open_timeout: 300ms
    read_timeout: 300ms
    trigger: {mode: interval, interval: %s, deadline: 2s}
`, silent, bundle, interval)
	path := filepath.Join(dir, "sightline.yaml")
	require.NoError(t, os.WriteFile(path, config, 0o600))
	return startProgram(t, "sightline-agent", "run", path)
}

// result is an inspection and the station that it comes from.
type result struct {
	station string
	event.Inspection
}

// results are those of each station, as they arrive.
func results(t *testing.T, url string) <-chan result {
	t.Helper()
	all := make(chan result, 1<<14)
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("watcher"))
	p := &plc{t: t}
	p.done(client.Connect())
	t.Cleanup(func() { client.Disconnect(100) })
	every := place()
	every.Name = "+"
	p.done(client.Subscribe(every.Topic(topic.Result), 1, func(_ mqtt.Client, m mqtt.Message) {
		e, err := event.Decode(m.Payload())
		if err != nil {
			t.Error(err)
			return
		}
		in, err := event.DecodeInspection(e.Data)
		if err != nil {
			t.Error(err)
			return
		}
		all <- result{filepath.Base(e.Source), in}
	}))
	return all
}

// Four captures hang in their driver for good, which no process survives: the station gets a worker of its
// own, which then dies of it again and again, and no part of the others is lost or late.
func TestAStationWhoseCameraHangsCostsTheOthersNothing(t *testing.T) {
	line := servers.StartMosquitto(t, servers.MosquittoOptions{})
	all := results(t, line.URL())
	agent := startStations(t, line.URL())
	shared := 0
	var at time.Time // when the hung station's own worker had died
	seen := map[string][]event.Inspection{}
	limit := time.After(patience)
	for at.IsZero() || time.Since(at) < 3*time.Second {
		select {
		case in := <-all:
			seen[in.station] = append(seen[in.station], in.Inspection)
		case <-limit:
			require.FailNow(t, "the hung station's worker does not die", agent.log.String())
		}
		if shared == 0 {
			shared = agent.worker(t)
		}
		if at.IsZero() && strings.Contains(agent.log.String(), "vision worker died") {
			at = time.Now()
		}
	}
	require.DirExists(t, fmt.Sprintf("/proc/%d", shared), "the shared worker is still the first one")
	require.Empty(t, seen["hung"], "parts of a station that is not ready have no results")
	for n := range beside {
		name := fmt.Sprintf("aoi-%d", n+1)
		parts := seen[name]
		require.Greater(t, len(parts), 50, name)
		for i, in := range parts {
			require.NotEqual(t, event.Unknown, in.Verdict, "%s: %s", name, in.Reason)
			require.EqualValues(t, parts[0].Frame.Number+uint64(i), in.Frame.Number, "no frame is left out")
		}
		first, last := parts[0].ProcessingTimes.StartTime, parts[len(parts)-1].ProcessingTimes.StartTime
		each := last.Sub(first) / time.Duration(len(parts)-1)
		require.InDelta(t, interval, each, float64(interval)/10, "and the line keeps its pace")
	}
}
