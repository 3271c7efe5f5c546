package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sightline-edge/sightline/cloud/internal/app"
)

// logging is what all commands share: where and how they log.
type logging struct {
	level, format string
}

func (l *logging) flags(c *cobra.Command) {
	f := c.PersistentFlags()
	f.StringVar(&l.level, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&l.format, "log-format", "text", "text or json")
}

func (l *logging) logger(to io.Writer) (*slog.Logger, error) {
	var at slog.Level
	if err := at.UnmarshalText([]byte(l.level)); err != nil {
		return nil, fmt.Errorf("log level %q is none of debug, info, warn, error", l.level)
	}
	options := &slog.HandlerOptions{Level: at}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(to, options)), nil
	case asJSON:
		return slog.New(slog.NewJSONHandler(to, options)), nil
	default:
		return nil, fmt.Errorf("log format %q is neither text nor json", l.format)
	}
}

// settings are flags over a file over defaults.
type settings struct {
	logging      *logging
	file, output string
	flags        app.Config
	given        []func(c *app.Config, changed func(string) bool)
}

func newSettings(l *logging) *settings { return &settings{logging: l, flags: app.Defaults()} }

// load reads the file, when one is named, and lays the flags that were given over it.
func (s *settings) load(c *cobra.Command) (app.Config, *slog.Logger, error) {
	log, err := s.logging.logger(c.ErrOrStderr())
	if err != nil {
		return app.Config{}, nil, err
	}
	if s.output != "text" && s.output != asJSON {
		return app.Config{}, nil, fmt.Errorf("output %q is neither text nor json", s.output)
	}
	config := app.Defaults()
	if s.file != "" {
		if config, err = app.Load(s.file); err != nil {
			return config, nil, err //nolint:wrapcheck // lists the faults
		}
	}
	for _, lay := range s.given {
		lay(&config, c.Flags().Changed)
	}
	return config, log, nil
}

// flag declares one flag; pick returns the place of its value in a configuration.
func flag[T any](
	s *settings, declare func(p *T, name string, value T,
		usage string), name, usage string, pick func(c *app.Config) *T,
) {
	at := pick(&s.flags)
	declare(at, name, *at, usage)
	s.given = append(s.given, func(c *app.Config, changed func(string) bool) {
		if changed(name) {
			*pick(c) = *at
		}
	})
}

func (s *settings) fileFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.file, "config", "", "configuration file (YAML)")
	f.StringVarP(&s.output, "output", "o", "text", "text or json")
}

func (s *settings) bridgeFlags(c *cobra.Command) {
	f := c.Flags()
	flag(s, f.StringVar, "health", "address for /metrics, /healthz and /readyz, or off",
		func(c *app.Config) *string { return &c.Health.Listen })
	flag(s, f.StringVar, "evidence-dir", "folder for evidence pictures",
		func(c *app.Config) *string { return &c.Evidence.Dir })
}

func (s *settings) mqttFlags(c *cobra.Command) {
	f := c.Flags()
	flag(s, f.StringVar, "mqtt", "broker, such as ssl://mqtt.example.com:8883",
		func(c *app.Config) *string { return &c.MQTT.URL })
	flag(s, f.StringVar, "client-id", "names the session at the broker; one bridge, one id",
		func(c *app.Config) *string { return &c.MQTT.ClientID })
	flag(s, f.DurationVar, "keep-alive", "how often an idle connection is probed, whole seconds, 0: 20s",
		func(c *app.Config) *time.Duration { return &c.MQTT.KeepAlive })
	flag(s, f.IntVar, "max-unacked", "messages held in memory at most, 0: 10000",
		func(c *app.Config) *int { return &c.MQTT.MaxUnacked })
	flag(s, f.IntVar, "max-unacked-bytes", "of the messages held in memory at most, 0: 67108864",
		func(c *app.Config) *int { return &c.MQTT.MaxUnackedBytes })
	s.identityFlags(f, "mqtt", func(c *app.Config) *app.Identity { return &c.MQTT.Identity })
}

func (s *settings) kafkaFlags(c *cobra.Command) {
	f := c.Flags()
	flag(s, f.StringSliceVar, "kafka", "brokers, host:port, comma between several",
		func(c *app.Config) *[]string { return &c.Kafka.Brokers })
	flag(s, f.IntVar, "kafka-partitions", "of topics that the bridge creates, 0: 6",
		func(c *app.Config) *int { return &c.Kafka.Partitions })
	flag(s, f.IntVar, "kafka-replication", "of topics that the bridge creates, 0: 1",
		func(c *app.Config) *int { return &c.Kafka.Replication })
	flag(s, f.BoolVar, "kafka-tls", "TLS with the system's authorities",
		func(c *app.Config) *bool { return &c.Kafka.TLS })
	flag(s, f.StringVar, "kafka-mechanism", "plain, scram-sha-256 or scram-sha-512",
		func(c *app.Config) *string { return &c.Kafka.Mechanism })
	s.identityFlags(f, "kafka", func(c *app.Config) *app.Identity { return &c.Kafka.Identity })
}

func (s *settings) identityFlags(f *pflag.FlagSet, of string, pick func(c *app.Config) *app.Identity) {
	for name, at := range map[string]struct {
		usage string
		pick  func(i *app.Identity) *string
	}{
		"username": {"user name", func(i *app.Identity) *string { return &i.Username }},
		"password-file": {
			"file that holds the password",
			func(i *app.Identity) *string { return &i.PasswordFile },
		},
		"ca-file": {
			"PEM file of the authorities to trust",
			func(i *app.Identity) *string { return &i.CAFile },
		},
		"cert-file": {
			"PEM file of our certificate",
			func(i *app.Identity) *string { return &i.CertFile },
		},
		"key-file": {"PEM file of its key", func(i *app.Identity) *string { return &i.KeyFile }},
	} {
		flag(s, f.StringVar, of+"-"+name, at.usage, func(c *app.Config) *string { return at.pick(pick(c)) })
	}
}
