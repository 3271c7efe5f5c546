package bridge

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/sightline-edge/sightline/cloud/internal/record"
)

const (
	gather         = 20 * time.Millisecond // how long a message waits for more
	minShare       = 16                    // messages that are worth a goroutine
	pictureWriters = 4
	pictureTries   = 4
	recordOverhead = 64 // bytes of a record beside key, value and headers, at most
)

// delivery is one MQTT message on its way.
type delivery struct {
	in  record.Input
	out record.Output // set by convert
	id  uint16        // for the acknowledgement, 0 for none
	by  *conn         // the connection that it came by
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

// prepare makes a batch ready while the one before is written.
func (b *Bridge) prepare(ctx context.Context, to chan<- []delivery) {
	for {
		batch, err := b.collect(ctx)
		if err != nil {
			return
		}
		convert(batch)
		select {
		case to <- batch:
		case <-ctx.Done():
			return
		}
	}
}

// collect waits for a first message and takes what else comes until that one is twenty milliseconds old:
// under load, what came during the batch before. All of a batch came by the same connection.
func (b *Bridge) collect(ctx context.Context) ([]delivery, error) {
	first, err := b.take(ctx)
	if err != nil {
		return nil, err
	}
	batch := append(make([]delivery, 0, min(maxBatch, 1+len(b.queue))), first)
	full := time.NewTimer(time.Until(first.in.Received.Add(gather)))
	defer full.Stop()
	for len(batch) < maxBatch {
		d, more := b.next(ctx, full.C)
		switch {
		case !more:
			return batch, ctx.Err() //nolint:wrapcheck // the end of the bridge
		case d.by != first.by:
			b.held = &d
			return batch, nil
		}
		batch = append(batch, d)
	}
	return batch, nil
}

// next prefers a message that is there to the end of the wait.
func (b *Bridge) next(ctx context.Context, end <-chan time.Time) (d delivery, more bool) {
	select {
	case d = <-b.queue:
		return d, true
	default:
	}
	select {
	case d = <-b.queue:
		return d, true
	case <-end:
	case <-ctx.Done():
	}
	return d, false
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

// settle makes a batch durable and acknowledges it in order of receipt. From the first write that fails, for
// a lost connection or the end of the bridge, the batch is given up: the broker will deliver it again.
func (b *Bridge) settle(ctx context.Context, batch []delivery) {
	var err error
	for len(batch) > 0 {
		part := oneWrite(batch)
		b.metrics.batch.Observe(float64(len(part)))
		if err == nil {
			err = b.store(ctx, part)
		}
		if err == nil {
			part[0].by.acknowledge(part)
		} else {
			b.metrics.abandoned.Add(float64(len(part)))
		}
		for i := range part {
			b.gate.done(part[i].size())
		}
		batch = batch[len(part):]
	}
}

// convert uses all cores: to read and check the JSON is most of what the bridge does.
func convert(batch []delivery) {
	var workers sync.WaitGroup
	share := max(minShare, (len(batch)-1)/runtime.GOMAXPROCS(0)+1)
	for part := range slices.Chunk(batch, share) {
		workers.Go(func() {
			for i := range part {
				part[i].out = record.Convert(part[i].in)
			}
		})
	}
	workers.Wait()
}

// oneWrite returns the head of the batch that is within the bound of one write, at least one message.
func oneWrite(batch []delivery) []delivery {
	weight := batch[0].weight()
	for i := 1; i < len(batch); i++ {
		if weight += batch[i].weight(); weight > maxBatchBytes {
			return batch[:i]
		}
	}
	return batch
}

// store writes the pictures, then the records with the dead letters of pictures that could not be stored.
func (b *Bridge) store(ctx context.Context, batch []delivery) error {
	if batch[0].by.isLost() {
		return errAbandoned
	}
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
