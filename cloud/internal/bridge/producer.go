package bridge

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
)

const produceTimeout = 10 * time.Second // of one request, at the broker and on its way

// errUnanswered is what a record has that no answer of Kafka names.
var errUnanswered = errors.New("kafka's answer leaves out this partition")

// producer writes records with one request for each Kafka broker, which holds one batch for each partition.
// (kafka.Writer makes a request, a timer and room for a thousand records for each partition of each write:
// with twelve partitions that is a third of what a write costs here, and most of what it costs Kafka.)
type producer struct {
	to      kafka.RoundTripper
	brokers net.Addr
}

// WriteMessages returns when Kafka has answered for each record: nil, one error for all, or kafka.WriteErrors
// with an error or nil for each. Records of one partition share their fate, and keep their order.
func (p *producer) WriteMessages(ctx context.Context, records ...kafka.Message) error {
	ctx, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	r := &request{
		records: records, errs: make(kafka.WriteErrors, len(records)), lots: map[partition]*lot{},
	}
	if _, err := p.to.RoundTrip(ctx, p.brokers, r); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	if r.errs.Count() == 0 {
		return nil
	}
	return r.errs
}

type partition struct {
	topic  string
	number int32
}

// lot is the records of one partition.
type lot struct {
	leader int32
	at     []int // indices of records, ascending
}

// request is one write, which kafka-go splits over the brokers that lead its partitions and merges again.
type request struct {
	records []kafka.Message
	errs    kafka.WriteErrors // of each record
	lots    map[partition]*lot
	sent    [][]partition // in each of Split's requests
}

// ApiKey names the requests that Split makes.
func (r *request) ApiKey() protocol.ApiKey { return protocol.Produce } //nolint:revive // kafka-go's name

// Split makes one request for each leader.
func (r *request) Split(cluster protocol.Cluster) ([]protocol.Message, protocol.Merger, error) {
	r.assign(cluster)
	byLeader := map[int32][]partition{}
	for p, lot := range r.lots {
		byLeader[lot.leader] = append(byLeader[lot.leader], p)
	}
	var all []protocol.Message
	for _, led := range byLeader {
		r.sent = append(r.sent, led)
		all = append(all, r.ask(led))
	}
	return all, r, nil
}

func (r *request) ask(led []partition) *produce.Request {
	slices.SortFunc(led, func(a, b partition) int { return cmp.Compare(a.topic, b.topic) })
	ask := &produce.Request{Acks: int16(kafka.RequireAll), Timeout: int32(produceTimeout.Milliseconds())}
	for _, p := range led {
		n := len(ask.Topics)
		if n == 0 || ask.Topics[n-1].Topic != p.topic {
			ask.Topics = append(ask.Topics, produce.RequestTopic{Topic: p.topic})
			n++
		}
		to := &ask.Topics[n-1].Partitions
		*to = append(*to, produce.RequestPartition{
			Partition: p.number,
			RecordSet: protocol.RecordSet{Records: &reader{records: r.records, at: r.lots[p].at}},
		})
	}
	return ask
}

// assign finds each record's partition, by its key as kafka.Writer does with the same balancer.
func (r *request) assign(cluster protocol.Cluster) {
	balancer := kafka.Hash{}
	var numbers []int // 0, 1, 2 …
	for i := range r.records {
		m := &r.records[i]
		partitions := cluster.Topics[m.Topic].Partitions
		if len(partitions) == 0 {
			r.errs[i] = kafka.UnknownTopicOrPartition
			continue
		}
		for len(numbers) < len(partitions) {
			numbers = append(numbers, len(numbers))
		}
		number := int32(balancer.Balance(*m, numbers[:len(partitions)]...))
		led, ok := partitions[number]
		if _, known := cluster.Brokers[led.Leader]; !ok || !known {
			r.errs[i] = kafka.LeaderNotAvailable
			continue
		}
		r.errs[i] = errUnanswered
		p := partition{m.Topic, number}
		if r.lots[p] == nil {
			r.lots[p] = &lot{leader: led.Leader}
		}
		r.lots[p].at = append(r.lots[p].at, i)
	}
}

// Merge gives each record the answer for its partition. What no answer names stays unanswered.
func (r *request) Merge(_ []protocol.Message, results []any) (protocol.Message, error) {
	for i, result := range results {
		switch result := result.(type) {
		case error:
			for _, p := range r.sent[i] {
				r.settle(p, result)
			}
		case *produce.Response:
			for _, t := range result.Topics {
				for j := range t.Partitions {
					p := &t.Partitions[j]
					r.settle(partition{t.Topic, p.Partition}, refusedBy(p))
				}
			}
		}
	}
	return &produce.Response{}, nil
}

func (r *request) settle(p partition, err error) {
	if lot := r.lots[p]; lot != nil {
		for _, i := range lot.at {
			r.errs[i] = err
		}
	}
}

func refusedBy(p *produce.ResponsePartition) error {
	switch {
	case p.ErrorCode == 0:
		return nil
	case p.ErrorMessage == "":
		return kafka.Error(p.ErrorCode)
	default:
		return fmt.Errorf("%w: %s", kafka.Error(p.ErrorCode), p.ErrorMessage)
	}
}

// reader hands one partition's records to kafka-go, which is done with each before it asks for the next.
type reader struct {
	records    []kafka.Message
	at         []int
	key, value body
	record     kafka.Record
}

type body struct{ bytes.Reader }

func (*body) Close() error { return nil }

// ReadRecord ends with io.EOF.
func (r *reader) ReadRecord() (*kafka.Record, error) {
	if len(r.at) == 0 {
		return nil, io.EOF
	}
	m := &r.records[r.at[0]]
	r.at = r.at[1:]
	r.record = kafka.Record{Time: m.Time, Headers: m.Headers}
	if m.Key != nil {
		r.key.Reset(m.Key)
		r.record.Key = &r.key
	}
	if m.Value != nil {
		r.value.Reset(m.Value)
		r.record.Value = &r.value
	}
	return &r.record, nil
}
