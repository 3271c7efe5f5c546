package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sightline-edge/sightline/agent/internal/station"
	"github.com/sightline-edge/sightline/agent/topic"
)

// decisionSeconds are the buckets of the time from the frame in memory to the result's hand-over.
var decisionSeconds = []float64{ //nolint:gochecknoglobals // a constant list
	.001, .002, .003, .005, .0075, .01, .015, .02, .03, .04, .05, .075, .1, .15, .25, .5, 1,
}

// metrics are the supervisor's own.
type metrics struct {
	registry *prometheus.Registry
	decision *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		decision: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sightline_decision_seconds",
			Help:    "From the frame in memory to the result handed to the line's broker.",
			Buckets: decisionSeconds,
		}, []string{"station"}),
	}
	m.registry.MustRegister(m.decision)
	return m
}

func (m *metrics) observer(place topic.Station) func(station.Closed) {
	decision := m.decision.WithLabelValues(place.Path())
	return func(c station.Closed) {
		if c.Decision > 0 {
			decision.Observe(c.Decision.Seconds())
		}
	}
}

// counts turns the counters of stations, handshakes, broker and worker into metrics when they are read.
type counts struct {
	agent       *agent
	parts       *prometheus.Desc
	unknown     *prometheus.Desc
	station     *prometheus.Desc
	line        *prometheus.Desc
	held        *prometheus.Desc
	ready       *prometheus.Desc
	workerState *prometheus.Desc
	frames      *prometheus.Desc
	reconnects  *prometheus.Desc
	drift       *prometheus.Desc
	changes     *prometheus.Desc
}

func newCounts(a *agent) *counts {
	return &counts{
		agent: a,
		parts: prometheus.NewDesc("sightline_parts_total",
			"Parts that got their verdict.", []string{"station", "verdict"}, nil),
		unknown: prometheus.NewDesc("sightline_unknown_total",
			"Parts that ended UNKNOWN, by reason.", []string{"station", "reason"}, nil),
		station: prometheus.NewDesc("sightline_station_total",
			"What was refused, late or lost at a station.", []string{"station", "what", "label"}, nil),
		line: prometheus.NewDesc("sightline_line_total",
			"What went wrong between station and PLC.", []string{"station", "what"}, nil),
		held: prometheus.NewDesc("sightline_results_held",
			"Results that the PLC has not acknowledged.", []string{"station"}, nil),
		ready: prometheus.NewDesc("sightline_station_state",
			"1 for the state that the station is in.", []string{"station", "state"}, nil),
		frames: prometheus.NewDesc("sightline_frames_total",
			"Frames since the worker started: captured = inspected + displaced + waiting.",
			[]string{"station", "what"}, nil),
		reconnects: prometheus.NewDesc("sightline_camera_reconnects_total",
			"Captures of the camera that worked after one had failed, since the worker started.",
			[]string{"station"}, nil),
		changes: prometheus.NewDesc("sightline_changes_total",
			"Changes of bundle, recipe or rules at a running station, taken and refused.",
			[]string{"station", "what"}, nil),
		drift: prometheus.NewDesc("sightline_drift",
			"How far what the station sees lies from its bundle's reference: 1 is the limit.",
			[]string{"station", "signal"}, nil),
		workerState: prometheus.NewDesc("sightline_worker_total",
			"Vision worker processes started, and died unasked.", []string{"what"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *counts) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, to) }

// Collect implements prometheus.Collector.
func (c *counts) Collect(to chan<- prometheus.Metric) {
	count := func(desc *prometheus.Desc, value uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), labels...)
	}
	gauge := func(desc *prometheus.Desc, value int, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
	}
	for i, s := range c.agent.stations {
		path := s.place.Path()
		if frames := c.agent.workers.Counts(i); frames != nil {
			count(c.frames, frames.GetCaptured(), path, "captured")
			count(c.frames, frames.GetInspected(), path, "inspected")
			count(c.frames, frames.GetDisplaced(), path, "displaced")
			count(c.frames, frames.GetBadFrames(), path, "bad")
			count(c.frames, frames.GetStaleFrames(), path, "stale")
			count(c.frames, frames.GetHungCaptures(), path, "captures_hung")
			count(c.frames, frames.GetEvidenceDropped(), path, "evidence_dropped")
			count(c.frames, frames.GetSamplesDropped(), path, "samples_dropped")
			count(c.reconnects, frames.GetReconnects(), path)
		}
		for _, n := range s.station.Counters().All() {
			switch n.Name {
			case station.CountParts:
				count(c.parts, n.Value, path, n.Label)
			case station.CountUnknown:
				count(c.unknown, n.Value, path, n.Label)
			default:
				count(c.station, n.Value, path, n.Name, n.Label)
			}
		}
		for _, level := range s.station.Drift() {
			to <- prometheus.MustNewConstMetric(c.drift, prometheus.GaugeValue, level.Value, path,
				level.Signal)
		}
		for what, n := range s.lineCounts() {
			count(c.line, n, path, what)
		}
		count(c.changes, s.change.taken.Load(), path, "taken")
		count(c.changes, s.change.refused.Load(), path, "refused")
		state := s.line.State()
		gauge(c.held, state.HeldResults, path)
		gauge(c.ready, 1, path, string(state.State))
	}
	count(c.workerState, c.agent.workers.Starts(), "starts")
	count(c.workerState, c.agent.workers.Deaths(), "deaths")
}

func (s *actor) lineCounts() map[string]uint64 {
	n, broker := s.line.Counts(), s.conn.Stats()
	return map[string]uint64{
		"malformed": n.Malformed.Load(), "retained": n.Retained.Load(), "acks_unknown": n.UnknownAcks.Load(),
		"commands_unknown":   n.Refused.Load(),
		"overrides_not_kept": n.NotKept.Load(), "messages_lost": n.Lost.Load(),
		"results_republished": s.line.Republished(), "results_lost": n.ResultsLost.Load(),
		"results_not_delivered": n.NotDelivered.Load(), "broker_connects": broker.Connects,
		"broker_failures": broker.Failures, "broker_losses": broker.Losses,
		"broker_takeovers": broker.Takeovers, "inbox_overflows": broker.Overflows,
	}
}
