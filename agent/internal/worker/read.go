package worker

import (
	"errors"
	"fmt"
	"syscall"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sightline-edge/sightline/agent/internal/wire"
)

// Fields of wire.Settle that are needed when no picture is asked for.
const (
	settleStation, settleJob, settleEvidence, settleShadow, settleSample = 1, 2, 3, 6, 20
)

// read serves the supervisor's messages until it ends the worker.
func (w *worker) read() error {
	inspect := &wire.Inspect{}
	for {
		kind, payload, err := w.conn.Receive()
		if err != nil {
			return closed(err)
		}
		switch kind {
		case wire.KindInspect:
			err = w.inspect(inspect, payload)
		case wire.KindSettle:
			err = w.settle(payload)
		case wire.KindChange:
			err = w.change(payload)
		case wire.KindShutdown:
			return errDone
		default:
			err = fmt.Errorf("%w: the supervisor sent kind %d", wire.ErrFrame, kind)
		}
		if err != nil {
			return err
		}
	}
}

func (w *worker) inspect(m *wire.Inspect, payload []byte) error {
	m.Reset()
	if err := w.conn.Decode(payload, m); err != nil {
		return err
	}
	s, err := w.station(m.GetStation())
	if err != nil {
		return err
	}
	return s.order(order{m.GetJob(), m.GetDeadlineNs(), m.GetTriggerNs(), m.GetBudgetNs()})
}

// settle decodes the whole message only when a picture is asked for: the other case is each good part.
func (w *worker) settle(payload []byte) error {
	seen, err := peekSettle(payload)
	if err != nil {
		return err
	}
	s, err := w.station(seen.station)
	if err != nil {
		return err
	}
	var wanted *wire.Settle
	if seen.picture {
		wanted = &wire.Settle{}
		if err := w.conn.Decode(payload, wanted); err != nil {
			return err
		}
	}
	if seen.shadow {
		s.settledShadow(seen.job, wanted)
		return nil
	}
	s.settled(seen.job, wanted)
	return nil
}

func (w *worker) station(index uint32) (*station, error) {
	if uint64(index) >= uint64(len(w.stations)) {
		return nil, fmt.Errorf("%w: the supervisor speaks of station %d of %d", wire.ErrFrame, index,
			len(w.stations))
	}
	return w.stations[index], nil
}

// settlement is what a wire.Settle says at least.
type settlement struct {
	station         uint32
	job             uint64
	picture, shadow bool
}

func peekSettle(raw []byte) (s settlement, err error) {
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return s, fmt.Errorf("%w: %w", wire.ErrFrame, protowire.ParseError(n))
		}
		raw = raw[n:]
		var value uint64
		if kind == protowire.VarintType {
			value, n = protowire.ConsumeVarint(raw)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, raw)
		}
		if n < 0 {
			return s, fmt.Errorf("%w: %w", wire.ErrFrame, protowire.ParseError(n))
		}
		raw = raw[n:]
		switch int32(number) {
		case settleStation:
			s.station = uint32(value)
		case settleJob:
			s.job = value
		case settleEvidence, settleSample:
			s.picture = s.picture || value != 0
		case settleShadow:
			s.shadow = value != 0
		}
	}
	return s, nil
}

// broken says that the peer is gone.
func broken(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
