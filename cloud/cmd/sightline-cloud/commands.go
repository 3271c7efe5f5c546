package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/cloud/internal/app"
)

const asJSON = "json"

func root() *cobra.Command {
	var l logging
	c := &cobra.Command{
		Use: "sightline-cloud", Short: "Carry what the nodes say from MQTT into Kafka, and show what arrives",
		SilenceUsage: true, SilenceErrors: true, Version: version,
	}
	l.flags(c)
	c.AddCommand(bridgeCommand(&l), allCommand(&l), watchCommand(&l), versionCommand())
	return c
}

func bridgeCommand(l *logging) *cobra.Command {
	s := newSettings(l)
	c := &cobra.Command{
		Use:   "bridge",
		Short: "Carry the nodes' uplink from MQTT into Kafka",
		Long: "Subscribes at the broker that the nodes' uplinks reach, and writes what they say to Kafka.\n" +
			"A message is acknowledged to the broker only after all in-sync replicas have it, or its\n" +
			"picture is on disk: nothing is lost between the two, and what comes twice has one ce_id.\n" +
			"Start it once before the first node: a broker keeps messages for sessions that it knows.\n\n" +
			"Settings come from flags, else from the file of --config.",
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
	s.fileFlags(c)
	s.bridgeFlags(c)
	return c
}

func allCommand(l *logging) *cobra.Command {
	s := newSettings(l)
	var d app.Demo
	c := &cobra.Command{
		Use:   "all",
		Short: "Run the bridge with an embedded MQTT broker and Kafka server, for demonstration",
		Long: "Runs the bridge between a broker and a Kafka-protocol server of its own, both in memory.\n" +
			"They let everybody in, and what they hold ends with the process: for demonstration, not\n" +
			"durable.",
		Example: "  sightline-cloud all\n  sightline-cloud watch --kafka 127.0.0.1:9092   # in another shell",
		Args:    cobra.NoArgs,
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
	s.fileFlags(c)
	s.bridgeFlags(c)
	return c
}

func watchCommand(l *logging) *cobra.Command {
	s := newSettings(l)
	var w app.Watch
	c := &cobra.Command{
		Use:   "watch [TOPIC]",
		Short: "Print what arrives in Kafka",
		Long: "Prints the records of one of the bridge's topics, a line each: inspections (the default),\n" +
			"anomalies, states, updates, metrics or dead-letters; another topic by its full name. It\n" +
			"joins no consumer group, so that looking changes nothing for anybody.",
		Example: "  sightline-cloud watch --kafka kafka-1:9092\n" +
			"  sightline-cloud watch dead-letters --kafka kafka-1:9092 --from-beginning -o json",
		Args: cobra.MaximumNArgs(1),
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
	s.fileFlags(c)
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
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
