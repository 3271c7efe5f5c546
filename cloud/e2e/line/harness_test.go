package line_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
)

const patience = 60 * time.Second

func place() topic.Station {
	return topic.Station{Enterprise: "acme", Site: "dongguan", Area: "smt", Line: "line3", Name: "aoi-1"}
}

// process is a program of ours that is stopped with the test.
type process struct {
	cmd *exec.Cmd
	log *servers.Tail
}

func startProgram(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return startCommand(t, name, exec.Command(filepath.Join(programs, name), args...))
}

func startCommand(t *testing.T, name string, command *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: command, log: &servers.Tail{}}
	p.cmd.Stderr, p.cmd.WaitDelay = p.log, time.Second
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1") // a worker with a race dies at once
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		err := p.cmd.Wait()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.log)
		}
		require.NoError(t, err, "%s stops in order", name)
		require.NotContains(t, p.log.String(), "DATA RACE")
	})
	return p
}

// worker returns the pid of the agent's vision worker, 0 while there is none.
func (p *process) worker(t *testing.T) int {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	require.NoError(t, err)
	for _, list := range lists {
		raw, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for child := range strings.FieldsSeq(string(raw)) {
			pid, err := strconv.Atoi(child)
			require.NoError(t, err)
			return pid
		}
	}
	return 0
}

type agentConfig struct{ local, uplink, camera, deadline string }

func startAgent(t *testing.T, c agentConfig) *process {
	t.Helper()
	dir := t.TempDir()
	bundle, err := filepath.Abs("../../../models/pcb-defects")
	require.NoError(t, err)
	path := filepath.Join(dir, "sightline.yaml")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `place: acme/dongguan/smt
mqtt: {local: %q, uplink: %q, client_id: e2e}
state_dir: %q
health: {listen: "off"}
stations:
  - name: line3/aoi-1
    camera: %q
    read_timeout: %s
    bundle: %q
    trigger: {mode: mqtt, deadline: %s}
`, c.local, c.uplink, filepath.Join(dir, "state"), c.camera, c.deadline, bundle, c.deadline), 0o600))
	return startProgram(t, "sightline-agent", "run", path)
}

// plc triggers parts one after another and takes their results over.
type plc struct {
	t       *testing.T
	client  mqtt.Client
	inbox   chan mqtt.Message
	ready   bool
	state   event.StateData // the last
	acked   int             // triggers accepted
	refused int
	results []event.Inspection       // by arrival, repeated ones left out
	seen    map[string]string        // result id by part
	took    map[string]time.Duration // trigger to result by part
	sent    map[string]time.Time
}

func newPLC(t *testing.T, url string) *plc {
	t.Helper()
	p := &plc{
		t:     t,
		inbox: make(chan mqtt.Message, 4096),
		seen:  map[string]string{},
		took:  map[string]time.Duration{},
		sent:  map[string]time.Time{},
	}
	p.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("plc"))
	p.done(p.client.Connect())
	t.Cleanup(func() { p.client.Disconnect(100) })
	p.done(
		p.client.SubscribeMultiple(
			map[string]byte{
				place().Topic(topic.State): 1, place().Topic(topic.TriggerAck): 1,
				place().Topic(topic.Result): 1,
			},
			func(_ mqtt.Client, m mqtt.Message) { p.inbox <- m },
		),
	)
	return p
}

func (p *plc) done(token mqtt.Token) {
	p.t.Helper()
	require.True(p.t, token.WaitTimeout(10*time.Second), "the line's broker does not answer")
	require.NoError(p.t, token.Error())
}

func (p *plc) trigger(id string) {
	p.t.Helper()
	payload, err := json.Marshal(event.TriggerMessage{PartID: id})
	require.NoError(p.t, err)
	p.sent[id] = time.Now()
	p.done(p.client.Publish(place().Topic(topic.Trigger), 1, false, payload))
}

// until takes messages in until the condition holds.
func (p *plc) until(what string, condition func() bool) {
	p.t.Helper()
	limit := time.After(patience)
	for !condition() {
		select {
		case m := <-p.inbox:
			p.take(m)
		case <-limit:
			require.FailNow(p.t, "the PLC waits in vain", "for %s; %d results so far", what, len(p.results))
		}
	}
}

// drain takes in what has arrived.
func (p *plc) drain() {
	p.t.Helper()
	for len(p.inbox) > 0 {
		p.take(<-p.inbox)
	}
}

func (p *plc) take(m mqtt.Message) {
	p.t.Helper()
	if m.Topic() == place().Topic(topic.TriggerAck) {
		var ack event.TriggerAckMessage
		require.NoError(p.t, json.Unmarshal(m.Payload(), &ack))
		if ack.Accepted {
			p.acked++
		} else {
			p.refused++
		}
		return
	}
	e, err := event.Decode(m.Payload())
	require.NoError(p.t, err)
	if m.Topic() == place().Topic(topic.State) {
		var state event.StateData
		require.NoError(p.t, json.Unmarshal(e.Data, &state))
		p.ready, p.state = state.TriggerReady, state
		return
	}
	in, err := event.DecodeInspection(e.Data)
	require.NoError(p.t, err)
	require.Equal(p.t, e.ID, in.ResultID)
	if before, again := p.seen[in.PartID]; again {
		require.Equal(p.t, before, in.ResultID, "a part has one result")
		return
	}
	p.seen[in.PartID] = in.ResultID
	p.took[in.PartID] = time.Since(p.sent[in.PartID])
	p.results = append(p.results, in)
	ack, err := json.Marshal(event.ResultAckMessage{ResultID: in.ResultID})
	require.NoError(p.t, err)
	p.done(p.client.Publish(place().Topic(topic.ResultAck), 1, false, ack))
}
