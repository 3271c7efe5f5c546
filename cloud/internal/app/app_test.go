package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/event"
	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/internal/app"
	"github.com/sightline-edge/sightline/cloud/internal/watch"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second

var station = topic.Station{Enterprise: "acme", Site: "dongguan", Area: "smt", Line: "line3", Name: "aoi-1"}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// runAll returns where everything is once it is ready.
func runAll(t *testing.T, c app.Config) app.Addresses {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	up, done := make(chan app.Addresses, 1), make(chan error, 1)
	go func() {
		listen := app.Demo{MQTTListen: "127.0.0.1:0", KafkaListen: "127.0.0.1:0"}
		done <- app.RunAll(ctx, c, listen, quiet(), func(at app.Addresses) { up <- at })
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	select {
	case at := <-up:
		return at
	case err := <-done:
		require.FailNow(t, "not up", err)
	case <-time.After(patience):
		require.FailNow(t, "not up in time")
	}
	return app.Addresses{}
}

func publish(t *testing.T, url string, verdict event.Verdict) {
	t.Helper()
	raw, err := event.Encode("id-1", event.TypeInspection, station, "part-7", time.Now(), event.Inspection{
		ResultID: "id-1", JobID: "job", PartID: "part-7", Verdict: verdict, Accept: verdict.Accept(),
		Defects: []event.Defect{{Class: "short", Score: 0.91}},
	})
	require.NoError(t, err)
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("node"))
	token := c.Connect()
	require.True(t, token.WaitTimeout(patience))
	require.NoError(t, token.Error())
	defer c.Disconnect(100)
	token = c.Publish(station.Topic(topic.Inspection), 1, false, raw)
	require.True(t, token.WaitTimeout(patience))
	require.NoError(t, token.Error())
}

func TestAllCarriesAResultFromMQTTToAWatcher(t *testing.T) {
	c := app.Defaults()
	c.Health.Listen, c.Evidence.Dir = "127.0.0.1:0", t.TempDir()
	at := runAll(t, c)
	require.True(t, at.Demo)
	publish(t, at.MQTT, event.Fail)

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	kafka := app.Kafka{Brokers: []string{at.Kafka}}
	var out bytes.Buffer
	require.NoError(t, app.RunWatch(ctx, kafka, app.Watch{Topic: "anomalies", FromStart: true, Count: 1},
		&out))
	require.Contains(t, out.String(), "acme/dongguan/smt/line3/aoi-1  FAIL    part part-7  short 0.91")

	out.Reset()
	w := app.Watch{Topic: "sightline.inspections", FromStart: true, Count: 1, JSON: true}
	require.NoError(t, app.RunWatch(ctx, kafka, w, &out))
	var r watch.Record
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.Equal(t, "id-1", r.Headers["ce_id"])
	require.Equal(t, station.Path(), r.Key)
	in, err := event.DecodeInspection(r.Data)
	require.NoError(t, err)
	require.Equal(t, event.Fail, in.Verdict)

	web := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for path, want := range map[string]string{
		"/readyz": "ready", "/healthz": "ok",
		"/metrics": `sightline_bridge_produced_total{topic="sightline.anomalies"} 1`,
	} {
		answer, err := web.Get("http://" + at.Health + path)
		require.NoError(t, err)
		var body bytes.Buffer
		_, err = body.ReadFrom(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusOK, answer.StatusCode)
		require.Contains(t, body.String(), want)
	}
}

func TestLeftoversOfACrashAreGoneAfterTheStart(t *testing.T) {
	c := app.Defaults()
	c.Health.Listen, c.Evidence.Dir = "off", t.TempDir()
	left := filepath.Join(c.Evidence.Dir, "1.jpg.0b7c5d1e-5d0f-4c59-9a55-0d6f5a1c2b3d.part")
	require.NoError(t, os.WriteFile(left, nil, 0o600))
	require.NoError(t, os.Chtimes(left, time.Time{}, time.Now().Add(-2*time.Hour)))
	runAll(t, c)
	require.Eventually(t, func() bool {
		_, err := os.Stat(left)
		return errors.Is(err, os.ErrNotExist)
	}, patience, time.Millisecond)
}

func TestWatchingATopicThatIsNotThereIsAnError(t *testing.T) {
	c := app.Defaults()
	c.Health.Listen = "off"
	at := runAll(t, c)
	err := app.RunWatch(t.Context(), app.Kafka{Brokers: []string{at.Kafka}}, app.Watch{Topic: "nothing"},
		&bytes.Buffer{})
	require.ErrorContains(t, err, "sightline.nothing")
}

func TestAListenerThatIsTakenIsAClearError(t *testing.T) {
	c := app.Defaults()
	c.Health.Listen = "off"
	at := runAll(t, c)
	for _, d := range []app.Demo{
		{MQTTListen: at.Kafka, KafkaListen: "127.0.0.1:0"}, {
			MQTTListen:  "127.0.0.1:0",
			KafkaListen: at.Kafka,
		},
	} {
		err := app.RunAll(t.Context(), c, d, quiet(), func(app.Addresses) {})
		require.ErrorContains(t, err, "choose another address")
	}
}

func load(t *testing.T, yaml string) (app.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cloud.yaml")
	require.NoError(t, os.WriteFile(path, []byte(yaml), 0o600))
	return app.Load(path)
}

func TestAConfigurationIsReadOverTheDefaults(t *testing.T) {
	c, err := load(t, `
mqtt: {url: "ssl://mqtt:8883", username: u, password_file: /p, keep_alive: 5s}
kafka: {brokers: ["k1:9092", "k2:9092"], partitions: 12, mechanism: scram-sha-512, username: k}
evidence: {dir: /e}
`)
	require.NoError(t, err)
	require.Equal(t, "sightline-bridge", c.MQTT.ClientID)
	require.Equal(t, "u", c.MQTT.Identity.Username)
	require.Equal(t, 5*time.Second, c.MQTT.KeepAlive)
	require.Equal(t, []string{"k1:9092", "k2:9092"}, c.Kafka.Brokers)
	require.Equal(t, "k", c.Kafka.Identity.Username)
	require.Equal(t, "127.0.0.1:9130", c.Health.Listen)
}

func TestAConfigurationsFaultsComeAtOnceWithTheirLines(t *testing.T) {
	_, err := load(t, `mqtt:
  url: tcp://user:secret@mqtt:1883
  cert_file: /c
kafka:
  mechanism: gssapi
  partitions: -1
`)
	for _, want := range []string{
		"line 2: mqtt.url", "line 3: mqtt.cert_file", "line 5: kafka.mechanism",
		"line 6: kafka.p",
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "secret")
	_, err = load(t, "mqtt:\n  usrname: u\n")
	require.ErrorContains(t, err, "did you mean username?")
}

func TestSecretsThatCannotBeReadAreClearErrors(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	large := filepath.Join(dir, "large.pem")
	require.NoError(t, os.WriteFile(large, make([]byte, 1<<20+1), 0o600))
	for want, i := range map[string]app.Identity{
		"read password file":           {Username: "u", PasswordFile: filepath.Join(dir, "none")},
		"read ca_file":                 {CAFile: filepath.Join(dir, "none")},
		"holds no PEM certificate":     {CAFile: empty},
		"load cert_file and key_file:": {CertFile: empty, KeyFile: empty},
		"more than 1048576 bytes":      {CAFile: large},
		"set without username":         {PasswordFile: empty},
	} {
		c := app.Defaults()
		c.MQTT.URL, c.MQTT.Identity, c.Kafka.Brokers = "tcp://127.0.0.1:1", i, []string{"127.0.0.1:1"}
		require.ErrorContains(t, app.RunBridge(t.Context(), c, quiet(), func(string) {}), want)
		kafka := app.Kafka{Brokers: c.Kafka.Brokers, Identity: i}
		require.ErrorContains(t, app.RunWatch(t.Context(), kafka, app.Watch{}, &bytes.Buffer{}), want)
	}
}

func TestAKafkaMechanismWithoutAUserIsAClearError(t *testing.T) {
	kafka := app.Kafka{Brokers: []string{"127.0.0.1:1"}, Mechanism: "scram-sha-512"}
	require.ErrorContains(t, app.RunWatch(t.Context(), kafka, app.Watch{}, &bytes.Buffer{}),
		"mechanism scram-sha-512 is set without username")
}

func TestAConfigurationThatIsTooLargeIsRefused(t *testing.T) {
	_, err := load(t, strings.Repeat("# comment\n", 200_000))
	require.ErrorContains(t, err, "cloud.yaml holds more than 1048576 bytes")
}
