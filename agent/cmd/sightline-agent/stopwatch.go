package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sightline-edge/sightline/agent/internal/broker/stopwatch"
)

// lap is a line of `bench stopwatch`. The first one, once messages are seen, has neither.
type lap struct {
	AtNs    int64           `json:"at_ns,omitempty"` // wall clock
	Payload json.RawMessage `json:"payload,omitempty"`
}

// stopwatchCommand measures another publisher in the way that bench measures the agent.
func stopwatchCommand() *cobra.Command {
	var url, topic string
	var count int
	c := &cobra.Command{
		Use:   "stopwatch",
		Short: "Print when messages arrive, for comparing another program",
		Long: "Subscribes as bench does and prints, as one JSON object a line, when each message arrived\n" +
			"in nanoseconds of the wall clock, and the message, which must be JSON. The first line is {}:\n" +
			"from then on messages are seen. The others follow when the last message has arrived.",
		Args:    cobra.NoArgs,
		Example: "  sightline-agent bench stopwatch --topic peer/result --count 100",
		RunE: func(c *cobra.Command, _ []string) error {
			w, err := stopwatch.Dial(c.Context(), url, fmt.Sprintf("stopwatch-%d", os.Getpid()), topic)
			if err != nil {
				return err
			}
			defer func() { _ = w.Close() }() // it is only read from
			return printLaps(c.OutOrStdout(), w.Next, count)
		},
	}
	c.Flags().StringVar(&url, "broker", "tcp://127.0.0.1:1883", "MQTT broker")
	c.Flags().StringVar(&topic, "topic", "", "topic to subscribe")
	c.Flags().IntVar(&count, "count", 1, "messages to wait for")
	_ = c.MarkFlagRequired("topic") // it exists
	return c
}

// printLaps prints nothing between the first message and the last: with a full pipe in front of it, it would
// come late to the next message.
func printLaps(w io.Writer, next func() (stopwatch.Lap, error), count int) error {
	out := json.NewEncoder(w)
	if err := out.Encode(lap{}); err != nil {
		return fmt.Errorf("print that messages are seen: %w", err)
	}
	var laps []lap
	for range count {
		got, err := next()
		if err != nil {
			return err
		}
		laps = append(laps, lap{AtNs: got.At.UnixNano(), Payload: got.Payload})
	}
	for i := range laps {
		if err := out.Encode(laps[i]); err != nil {
			return fmt.Errorf("print message: %w", err)
		}
	}
	return nil
}
