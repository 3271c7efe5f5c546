package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/cloud/internal/app"
)

const asJSON = "json"

func root() *cobra.Command {
	c := &cobra.Command{
		Use: "sightline-cloud", Short: "the cloud's side of Sightline",
		SilenceUsage: true, SilenceErrors: true,
	}
	c.AddCommand(bridgeCommand(), allCommand(), watchCommand(), versionCommand())
	return c
}

func bridgeCommand() *cobra.Command {
	s := newSettings()
	c := &cobra.Command{
		Use:   "bridge",
		Short: "carry the nodes' uplink from MQTT into Kafka",
		Example: "  sightline-cloud bridge --mqtt ssl://mqtt.example.com:8883 --kafka kafka-1:9092 " +
			"--evidence-dir /var/lib/sightline/evidence\n  sightline-cloud bridge --config cloud.yaml",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, log, err := s.load(c)
			if err != nil {
				return err
			}
			return app.RunBridge(c.Context(), config, log, func(health string) {
				s.announce(c.OutOrStdout(), app.Addresses{
					MQTT: config.MQTT.URL, Kafka: strings.Join(config.Kafka.Brokers, ","), Health: health,
				})
			})
		},
	}
	s.mqttFlags(c)
	s.kafkaFlags(c)
	s.commonFlags(c)
	return c
}

func allCommand() *cobra.Command {
	s := newSettings()
	var d app.Demo
	c := &cobra.Command{
		Use:   "all",
		Short: "the bridge with an embedded MQTT broker and Kafka server: for demonstration, not durable",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			config, log, err := s.load(c)
			if err != nil {
				return err
			}
			return app.RunAll(c.Context(), config, d, log,
				func(at app.Addresses) { s.announce(c.OutOrStdout(), at) })
		},
	}
	c.Flags().StringVar(&d.MQTTListen, "mqtt-listen", "127.0.0.1:1883",
		"address of the embedded broker; port 0: a free one")
	c.Flags().StringVar(&d.KafkaListen, "kafka-listen", "127.0.0.1:9092",
		"address of the embedded Kafka server; port 0: a free one")
	s.commonFlags(c)
	return c
}

func watchCommand() *cobra.Command {
	s := newSettings()
	var w app.Watch
	c := &cobra.Command{
		Use:   "watch [topic]",
		Short: "print what arrives in Kafka: inspections, anomalies, states, updates, metrics, dead-letters",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			config, _, err := s.load(c)
			if err != nil {
				return err
			}
			w.Topic, w.JSON = "inspections", s.output == asJSON
			if len(args) > 0 {
				w.Topic = args[0]
			}
			return app.RunWatch(c.Context(), config.Kafka, w, c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&w.FromStart, "from-beginning", false, "print everything that is kept, then follow")
	c.Flags().IntVarP(&w.Count, "count", "n", 0, "stop after so many records")
	s.kafkaFlags(c)
	s.commonFlags(c)
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		Run: func(c *cobra.Command, _ []string) { _, _ = fmt.Fprintln(c.OutOrStdout(), version) },
	}
}

// announce tells a person or a parent process where we are.
func (s *settings) announce(to io.Writer, at app.Addresses) {
	if s.output == asJSON {
		_ = json.NewEncoder(to).Encode(at)
		return
	}
	if at.Demo {
		_, _ = fmt.Fprintln(to, "for demonstration: not durable")
	}
	_, _ = fmt.Fprintf(to, "mqtt    %s\nkafka   %s\n", at.MQTT, at.Kafka)
	if at.Health != "" {
		_, _ = fmt.Fprintf(to, "health  http://%s/readyz /healthz /metrics\n", at.Health)
	}
}

func newLog(to io.Writer, level string) (*slog.Logger, error) {
	var at slog.Level
	if err := at.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q is none of debug, info, warn, error", level)
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: at})), nil
}
