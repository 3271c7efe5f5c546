package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/cloud/internal/app"
)

func TestAFlagWinsOverTheFileAndTheFileOverTheDefault(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`
mqtt: {url: "tcp://file:1883", client_id: file, username: file}
kafka: {brokers: ["file:9092"]}
`), 0o600))
	s := newSettings(&logging{level: "info", format: "text"})
	c := &cobra.Command{}
	s.mqttFlags(c)
	s.kafkaFlags(c)
	s.fileFlags(c)
	s.bridgeFlags(c)
	require.NoError(t, c.ParseFlags([]string{
		"--config", path, "--client-id", "flag", "--kafka", "a:1,b:2", "--kafka-username", "k", "--kafka-tls",
		"--max-unacked-bytes", "4096",
	}))
	got, _, err := s.load(c)
	require.NoError(t, err)
	require.Equal(t, "tcp://file:1883", got.MQTT.URL)
	require.Equal(t, "flag", got.MQTT.ClientID)
	require.Equal(t, "file", got.MQTT.Identity.Username)
	require.Equal(t, []string{"a:1", "b:2"}, got.Kafka.Brokers)
	require.Equal(t, "k", got.Kafka.Identity.Username)
	require.True(t, got.Kafka.TLS)
	require.Equal(t, 4096, got.MQTT.MaxUnackedBytes)
	require.Equal(t, app.Defaults().Health, got.Health)
}

func TestWrongUseIsAClearError(t *testing.T) {
	for want, args := range map[string][]string{
		"write one such as":      {"bridge", "--kafka", "127.0.0.1:1"},
		"give --kafka host:port": {"bridge", "--mqtt", "tcp://127.0.0.1:1"},
		"neither text nor json":  {"bridge", "-o", "xml"},
		"none of debug":          {"all", "--log-level", "loud"},
		"log format \"xml\"":     {"watch", "--log-format", "xml"},
		"unknown flag":           {"all", "--mqtt-lisen", "x"},
		"flag: --health":         {"watch", "--health", "off"},
		"flag: --evidence-dir":   {"watch", "--evidence-dir", "x"},
		"read configuration":     {"bridge", "--config", "/none.yaml"},
		"holds a secret": {
			"bridge", "--mqtt", "tcp://u:p@127.0.0.1:1", "--kafka",
			"127.0.0.1:1",
		},
		"no kafka broker is named: give --kafka": {"watch"},
		"is less than 0": {
			"bridge", "--mqtt", "tcp://127.0.0.1:1", "--kafka", "127.0.0.1:1",
			"--max-unacked", "-5",
		},
		"mechanism \"x\" is none of ": {"watch", "--kafka-username", "u", "--kafka-mechanism", "x"},
	} {
		c := root()
		var out bytes.Buffer
		c.SetArgs(args)
		c.SetOut(&out)
		c.SetErr(&out)
		require.ErrorContains(t, c.ExecuteContext(t.Context()), want)
	}
}

func TestTheVersionIsPrinted(t *testing.T) {
	for asked, want := range map[string]string{
		"version": version + "\n", "--version": "sightline-cloud version " + version + "\n",
	} {
		c := root()
		var out bytes.Buffer
		c.SetArgs([]string{asked})
		c.SetOut(&out)
		require.NoError(t, c.ExecuteContext(t.Context()))
		require.Equal(t, want, out.String())
	}
}

func TestLogsAreJSONWhenAskedFor(t *testing.T) {
	c := root()
	var out bytes.Buffer
	c.SetArgs([]string{"all", "--log-format", "json", "--mqtt-listen", "nowhere"})
	c.SetOut(&out)
	c.SetErr(&out)
	require.Error(t, c.ExecuteContext(t.Context()))
	var line struct{ Msg string }
	require.NoError(t, json.NewDecoder(&out).Decode(&line))
	require.Contains(t, line.Msg, "for demonstration")
}
