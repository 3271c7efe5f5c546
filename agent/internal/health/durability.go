package health

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/evidence"
	"github.com/sightline-edge/sightline/agent/internal/outbox"
	"github.com/sightline-edge/sightline/agent/internal/samples"
	"github.com/sightline-edge/sightline/agent/internal/uplink"
)

// Durability reads the counters of the way to the cloud when metrics are asked for. A nil source is left out.
type Durability struct {
	Outbox   func() outbox.Stats
	Uplink   func() uplink.Stats
	Link     func() broker.Stats // the uplink's connection
	Evidence func() evidence.Stats
	Samples  func() samples.Stats
}

// Describe implements prometheus.Collector.
func (d Durability) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(d, to) }

// Collect implements prometheus.Collector.
func (d Durability) Collect(to chan<- prometheus.Metric) {
	if d.Outbox != nil {
		collectOutbox(to, d.Outbox())
	}
	if d.Uplink != nil {
		s := d.Uplink()
		count(to, "sightline_uplink_sent_total", "Records acknowledged by the cloud's broker.", s.Sent)
		count(to, "sightline_uplink_historical_total", "Records sent late, after an outage.", s.Historical)
		count(to, "sightline_uplink_refused_total", "Records that no broker takes, put aside.", s.Refused)
	}
	if d.Link != nil {
		s := d.Link()
		count(to, "sightline_uplink_connects_total", "Connections to the cloud's broker.", s.Connects)
		count(to, "sightline_uplink_failures_total", "Attempts of the uplink to connect that failed.",
			s.Failures)
		count(to, "sightline_uplink_losses_total", "Connections of the uplink that were lost.", s.Losses)
		count(to, "sightline_uplink_takeovers_total", "Another client took over the client id.", s.Takeovers)
	}
	if d.Evidence != nil {
		s := d.Evidence()
		count(to, "sightline_evidence_stored_total", "Pictures stored.", s.Stored)
		count(to, "sightline_evidence_dropped_total", "Pictures lost: disk too slow or refusing.", s.Dropped)
		count(to, "sightline_evidence_evicted_total", "Pictures deleted to stay in the budget.", s.Evicted)
		gauge(to, "sightline_evidence_bytes", "Bytes of pictures on disk.", float64(s.Bytes))
	}
	if d.Samples != nil {
		collectSamples(to, d.Samples())
	}
}

func collectSamples(to chan<- prometheus.Metric, s samples.Stats) {
	gauge(to, "sightline_samples", "Samples on disk.", float64(s.Count))
	gauge(to, "sightline_samples_bytes", "Bytes of samples on disk.", float64(s.Bytes))
	count(to, "sightline_samples_stored_total", "Samples written.", s.Stored)
	count(to, "sightline_samples_overridden_total", "Overrides that became samples.", s.Overridden)
	count(to, "sightline_samples_declined_total", "Samples worth less than all that is kept.", s.Declined)
	count(to, "sightline_samples_dropped_total", "Samples lost: disk too slow or refusing.", s.Dropped)
	count(to, "sightline_samples_evicted_total", "Samples deleted to stay in the budget.", s.Evicted)
}

func collectOutbox(to chan<- prometheus.Metric, s outbox.Stats) {
	gauge(to, "sightline_outbox_backlog", "Records that the uplink has not delivered.", float64(s.Backlog))
	gauge(to, "sightline_outbox_bytes", "Bytes of records on disk.", float64(s.Bytes))
	gauge(to, "sightline_outbox_torn_bytes", "Bytes cut off at the last start.", float64(s.TornBytes))
	count(to, "sightline_outbox_stored_total", "Records made durable.", s.Stored)
	count(to, "sightline_outbox_corrupt_total", "Damaged places found in stored records.", s.Corrupt)
	count(to, "sightline_outbox_write_errors_total", "Failed writes and syncs.", s.WriteErrors)
	dropped := prometheus.NewDesc("sightline_outbox_dropped_total",
		"Records refused or squeezed out for want of room.", []string{"priority"}, nil)
	for priority, name := range map[outbox.Priority]string{outbox.Normal: "normal", outbox.High: "high"} {
		n := float64(s.Dropped[priority])
		to <- prometheus.MustNewConstMetric(dropped, prometheus.CounterValue, n, name)
	}
}

func count(to chan<- prometheus.Metric, name, help string, n uint64) {
	desc := prometheus.NewDesc(name, help, nil, nil)
	to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n))
}

func gauge(to chan<- prometheus.Metric, name, help string, v float64) {
	desc := prometheus.NewDesc(name, help, nil, nil)
	to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v)
}
