package broker

import (
	"log/slog"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const overflowLogEvery = time.Second

// subscription moves messages from the library's callback, which must never wait, to a goroutine of its own.
type subscription struct {
	filter     string
	handle     func(Delivery)
	queue      chan Delivery
	maxInbound int
	log        *slog.Logger

	overflowed atomic.Uint64
	loggedAt   time.Time // used by the library's callback only, which is never entered twice at once
}

// offer is called by the library, in order. A full queue drops the message and counts it: older ones keep
// their turn.
func (s *subscription) offer(_ mqtt.Client, m mqtt.Message) {
	d := Delivery{
		Topic: m.Topic(), Payload: m.Payload(), At: time.Now(),
		Retained: m.Retained(), Duplicate: m.Duplicate(),
	}
	size := 2 + len(d.Topic) + len(d.Payload)
	if m.Qos() > 0 {
		size += 2
	}
	d.Truncated = size >= s.maxInbound
	select {
	case s.queue <- d:
		return
	default:
	}
	dropped := s.overflowed.Add(1)
	if now := time.Now(); now.Sub(s.loggedAt) >= overflowLogEvery {
		s.loggedAt = now
		s.log.Warn("messages dropped, handler is too slow", "filter", s.filter, "dropped_total", dropped)
	}
}

func (s *subscription) run(closed <-chan struct{}) {
	for {
		select {
		case d := <-s.queue:
			s.handle(d)
		case <-closed:
			return
		}
	}
}
