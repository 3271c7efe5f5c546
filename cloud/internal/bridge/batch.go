package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/sightline-edge/sightline/cloud/internal/record"
)

const (
	gather         = 5 * time.Millisecond // how long a batch waits for more
	pictureWriters = 4
	pictureTries   = 4
	recordOverhead = 64 // bytes of a record beside key, value and headers, at most
)

// delivery is one MQTT message on its way.
type delivery struct {
	in  record.Input
	out record.Output
	id  uint16 // for the acknowledgement, 0 for none
	by  *conn  // the connection that it came by
}

// size is what the message holds in memory.
func (d *delivery) size() int { return len(d.in.Payload) + len(d.in.Topic) }

// weight is what its records weigh on the wire to Kafka.
func (d *delivery) weight() int {
	total := 0
	for i := range d.out.Records {
		r := &d.out.Records[i]
		total += recordOverhead + len(r.Key) + len(r.Value)
		for _, h := range r.Headers {
			total += len(h.Key) + len(h.Value) + 10 // two varints
		}
	}
	return total
}

// collect waits for a first message and takes what comes within the next five milliseconds, up to the bounds
// of one write. All of a batch came by the same connection.
func (b *Bridge) collect(ctx context.Context) ([]delivery, error) {
	first, err := b.take(ctx)
	if err != nil {
		return nil, err
	}
	batch, weight := []delivery{first}, first.weight()
	more := time.NewTimer(gather)
	defer more.Stop()
	for len(batch) < maxBatch {
		select {
		case d := <-b.queue:
			weight += d.weight()
			if weight > maxBatchBytes || d.by != first.by {
				b.held = &d
				return batch, nil
			}
			batch = append(batch, d)
		case <-more.C:
			return batch, nil
		case <-ctx.Done():
			return nil, ctx.Err() //nolint:wrapcheck // the end of the bridge
		}
	}
	return batch, nil
}

func (b *Bridge) take(ctx context.Context) (delivery, error) {
	if d := b.held; d != nil {
		b.held = nil
		return *d, nil
	}
	select {
	case d := <-b.queue:
		return d, nil
	case <-ctx.Done():
		return delivery{}, ctx.Err() //nolint:wrapcheck // the end of the bridge
	}
}

// settle makes a batch durable and acknowledges it in order of receipt. A batch whose connection is lost is
// given up: the broker will deliver it again.
func (b *Bridge) settle(ctx context.Context, batch []delivery) {
	b.metrics.batch.Observe(float64(len(batch)))
	by := batch[0].by
	err := errAbandoned
	if !by.isLost() {
		err = b.store(ctx, batch)
	}
	ids := make([]uint16, len(batch))
	for i := range batch {
		ids[i] = batch[i].id
	}
	if err == nil {
		by.acknowledge(ids)
	} else {
		b.metrics.abandoned.Add(float64(len(batch)))
	}
	for i := range batch {
		b.gate.done(batch[i].size())
	}
}

// store writes the pictures, then the records with the dead letters of pictures that could not be stored.
func (b *Bridge) store(ctx context.Context, batch []delivery) error {
	if err := b.storePictures(ctx, batch); err != nil {
		return err
	}
	records := make([]kafka.Message, 0, len(batch)+len(batch)/4)
	for i := range batch {
		records = append(records, batch[i].out.Records...)
	}
	if len(records) > 0 {
		if err := b.sink.write(ctx, batch[0].by.lost(), records); err != nil {
			return err
		}
	}
	for i := range batch {
		if reason := batch[i].out.Rejected; reason != "" {
			b.metrics.deadLetters.WithLabelValues(string(reason)).Inc()
		}
	}
	return nil
}

func (b *Bridge) storePictures(ctx context.Context, batch []delivery) error {
	var writers errgroup.Group
	writers.SetLimit(pictureWriters)
	for i := range batch {
		if d := &batch[i]; d.out.Picture != nil {
			writers.Go(func() error { return b.storePicture(ctx, d) })
		}
	}
	return writers.Wait() //nolint:wrapcheck // names its step
}

// storePicture tries a few times only: a full disk must not hold back the verdicts behind it. The node keeps
// its own copy of the picture.
func (b *Bridge) storePicture(ctx context.Context, d *delivery) error {
	err := errors.New("no evidence folder is configured")
	for try := 0; b.options.Pictures != nil && try < pictureTries; try++ {
		if err = b.options.Pictures.Put(ctx, d.out.Picture); err == nil {
			b.metrics.pictures.Inc()
			return nil
		}
		if ended := pause(ctx, d.by.lost(), firstBackoff<<try); ended != nil {
			return ended
		}
	}
	bare := d.in
	bare.Payload = nil // a picture is no Kafka record
	dead := record.DeadLetter(bare, record.PictureNotStored, err.Error())
	d.out = record.Output{Records: []kafka.Message{dead}, Rejected: record.PictureNotStored}
	b.log.ErrorContext(ctx, "picture not stored", "error", err, "topic", d.in.Topic)
	return nil
}
