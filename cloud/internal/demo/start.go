package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/sightline-edge/sightline/cloud/internal/embedded"
)

// startServers starts the line's broker in this process and the cloud in its own.
func (f *chain) startServers(ctx context.Context) error {
	var err error
	if f.line, err = embedded.StartBroker("127.0.0.1:0", f.log); err != nil {
		return fmt.Errorf("start the line's broker: %w", err)
	}
	f.places.LineBroker = f.line.URL()
	path, err := beside("sightline-cloud")
	if err != nil {
		return err
	}
	f.cloud, err = start(ctx, f.options.Out, path, "all", "--mqtt-listen", "127.0.0.1:0",
		"--kafka-listen", "127.0.0.1:0", "--health", "127.0.0.1:0",
		"--evidence-dir", f.places.CloudEvidence, "-o", "json")
	if err != nil {
		return err
	}
	var listening struct{ MQTT, Kafka string }
	if err := f.cloud.firstLine(ctx, &listening); err != nil {
		return err
	}
	f.places.CloudBroker, f.places.Kafka = listening.MQTT, listening.Kafka
	return nil
}

const configTemplate = `# written by sightline-demo
place: {{.Place}}
mqtt: {local: "{{.Local}}", uplink: "{{.Uplink}}", client_id: demo-node}
state_dir: {{printf "%q" .State}}
evidence: {dir: {{printf "%q" .Evidence}}}
health: {listen: "127.0.0.1:0"}
stations:
  - name: {{.Station}}
    camera: "sim:?seed={{.Seed}}&defects={{.Defects}}&clean={{.Clean}}"
    bundle: {{printf "%q" .Bundle}}
    trigger: {mode: mqtt, deadline: {{.Deadline}}}
`

// startAgent writes a configuration that a person may read and change, and starts the agent with it.
func (f *chain) startAgent(ctx context.Context) error {
	path := filepath.Join(f.options.Out, "sightline.yaml")
	if err := f.writeConfig(path); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	agent, err := beside("sightline-agent")
	if err != nil {
		return err
	}
	if f.agent, err = start(ctx, f.options.Out, agent, "run", path, "-o", "json"); err != nil {
		return err
	}
	var listening struct{ Health string }
	if err := f.agent.firstLine(ctx, &listening); err != nil {
		return err
	}
	f.places.Metrics = "http://" + listening.Health + "/metrics"
	return nil
}

func (f *chain) writeConfig(path string) error {
	parsed, err := template.New("sightline.yaml").Parse(configTemplate)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	s, o := f.station, f.options
	return errors.Join(parsed.Execute(file, map[string]any{
		"Place": s.Enterprise + "/" + s.Site + "/" + s.Area, "Station": s.Line + "/" + s.Name,
		"Local": f.places.LineBroker, "Uplink": f.places.CloudBroker, "State": filepath.Join(o.Out, "state"),
		"Evidence": f.places.Evidence, "Bundle": o.Bundle, "Deadline": o.Deadline,
		"Seed": o.Seed, "Defects": o.Defects, "Clean": o.Clean,
	}), file.Close())
}
