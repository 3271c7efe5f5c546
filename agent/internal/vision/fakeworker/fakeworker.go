// Package fakeworker is a vision worker for tests: it speaks the real protocol, loads no driver, and does
// what a script says, also what a worker must never do.
package fakeworker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sightline-edge/sightline/agent/internal/monotime"
	"github.com/sightline-edge/sightline/agent/internal/vision"
	"github.com/sightline-edge/sightline/agent/internal/wire"
)

const beat = 200 * time.Millisecond

// Script says how the worker behaves. A nil function is good behaviour: READY at once, and each Inspect
// answered at once with an exposure and no detections. The functions are called by the worker's reading
// goroutine.
type Script struct {
	Configured func(*Peer, *wire.Configure)
	Inspect    func(*Peer, *wire.Inspect)
	Settle     func(*Peer, *wire.Settle)
	Change     func(*Peer, *wire.Change)
	Mute       bool                 // says no Hello
	Silent     bool                 // has no heartbeat
	Counts     []*wire.StationCount // in each heartbeat
	Now        func() int64         // default monotime.Now
	Digest     string               // of the bundle that it claims to run; default: that it is to run
}

// Peer is the worker as its script sees it. Safe for concurrent use.
type Peer struct {
	conn   *wire.Conn
	raw    net.Conn
	script Script

	mu       sync.Mutex
	frames   uint64
	stations []*wire.StationConfig
}

// Serve runs the worker on its end of the socket until the other side closes it or asks for the end.
func Serve(conn net.Conn, script Script) error {
	if script.Now == nil {
		script.Now = monotime.Now
	}
	p := &Peer{conn: wire.NewConn(conn), raw: conn, script: script}
	stop := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() { p.beat(stop) })
	err := p.read()
	close(stop)
	closed := conn.Close()
	beating.Wait()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return errors.Join(err, closed)
}

func (p *Peer) read() error {
	for {
		kind, payload, err := p.conn.Receive()
		if err != nil {
			return err
		}
		switch kind {
		case wire.KindConfigure:
			err = handle(p, payload, &wire.Configure{}, p.configure)
		case wire.KindInspect:
			err = handle(p, payload, &wire.Inspect{}, p.inspect)
		case wire.KindSettle:
			err = handle(p, payload, &wire.Settle{}, p.settle)
		case wire.KindChange:
			err = handle(p, payload, &wire.Change{}, p.change)
		case wire.KindShutdown:
			return nil
		default:
			err = fmt.Errorf("%w: the supervisor sent kind %d", wire.ErrFrame, kind)
		}
		if err != nil {
			return err
		}
	}
}

func handle[M proto.Message](p *Peer, payload []byte, m M, then func(M)) error {
	if err := p.conn.Decode(payload, m); err != nil {
		return err
	}
	then(m)
	return nil
}

func (p *Peer) configure(m *wire.Configure) {
	p.mu.Lock()
	p.stations = m.GetStations()
	p.mu.Unlock()
	if !p.script.Mute {
		p.Send(wire.KindHello, &wire.Hello{Pid: int32(os.Getpid()), Version: "fake"})
	}
	if p.script.Configured != nil {
		p.script.Configured(p, m)
		return
	}
	for i := range m.GetStations() {
		p.State(uint32(i), wire.Phase_PHASE_READY, "")
	}
}

func (p *Peer) inspect(m *wire.Inspect) {
	if p.script.Inspect != nil {
		p.script.Inspect(p, m)
		return
	}
	p.Answer(m)
}

func (p *Peer) settle(m *wire.Settle) {
	if p.script.Settle != nil {
		p.script.Settle(p, m)
	}
}

func (p *Peer) change(m *wire.Change) {
	if p.script.Change != nil {
		p.script.Change(p, m)
		return
	}
	p.Take(m)
	p.Send(wire.KindChanged, &wire.Changed{
		Station: m.GetStation(), Generation: m.GetConfig().GetGeneration(),
	})
}

// Take inspects with what a change says, and reports it.
func (p *Peer) Take(m *wire.Change) {
	p.mu.Lock()
	p.stations[m.GetStation()] = m.GetConfig()
	p.mu.Unlock()
	p.State(m.GetStation(), wire.Phase_PHASE_READY, "")
}

// config is that of a station, empty before Configure.
func (p *Peer) config(station uint32) *wire.StationConfig {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(station) >= len(p.stations) {
		return &wire.StationConfig{}
	}
	return p.stations[station]
}

func (p *Peer) beat(stop chan struct{}) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if !p.script.Silent {
				p.Send(wire.KindHeartbeat, &wire.Heartbeat{Stations: p.script.Counts})
			}
		case <-stop:
			return
		}
	}
}

// Send sends any message, and says whether the supervisor took it. It may be gone, which ends the reading
// too.
func (p *Peer) Send(kind wire.Kind, m proto.Message) bool { return p.conn.Send(kind, m) == nil }

// Garbage writes raw bytes to the socket.
func (p *Peer) Garbage(b []byte) { _, _ = p.raw.Write(b) }

// Die closes the socket as the end of a process does.
func (p *Peer) Die() { _ = p.raw.Close() }

// State reports a station.
func (p *Peer) State(station uint32, phase wire.Phase, reason string) {
	c := p.config(station)
	digest := p.script.Digest
	if digest == "" {
		digest = c.GetBundleDigest()
	}
	p.Send(wire.KindStationState, &wire.StationState{
		Station: station, Phase: phase, Reason: reason, Provider: "fake", Simulated: true,
		Model:      &wire.Model{Name: "fake", Version: "1.0.0", Digest: digest},
		Generation: c.GetGeneration(),
	})
}

// Expose reports the exposure of a job, and says whether the supervisor took it.
func (p *Peer) Expose(m *wire.Inspect) bool {
	return p.Send(wire.KindExposed, &wire.Exposed{
		Station: m.GetStation(), Job: m.GetJob(), Frame: p.frame(), ExposedNs: p.script.Now(),
	})
}

// Answer exposes a job and answers it with these detections. It says whether the supervisor took the
// exposure.
func (p *Peer) Answer(m *wire.Inspect, found ...*wire.Detection) bool {
	exposed := p.Expose(m)
	p.Inspected(m, found...)
	return exposed
}

// Inspected answers a job with these detections.
func (p *Peer) Inspected(m *wire.Inspect, found ...*wire.Detection) {
	p.Send(wire.KindInspected, &wire.Inspected{
		Station: m.GetStation(), Job: m.GetJob(), ExposedNs: p.script.Now(), Width: 640, Height: 640,
		InferenceNs: 1, Detections: found, Simulated: true,
		Generation: p.config(m.GetStation()).GetGeneration(),
	})
}

// Fault answers a job with a fault.
func (p *Peer) Fault(m *wire.Inspect, fault wire.Fault, text string) {
	p.Send(wire.KindInspected, &wire.Inspected{
		Station: m.GetStation(), Job: m.GetJob(), Fault: fault, FaultText: text,
	})
}

func (p *Peer) frame() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames++
	return p.frames
}

// Launch starts workers of this script in the test's own process.
func Launch(script Script) func(context.Context) (vision.Process, error) {
	return func(context.Context) (vision.Process, error) {
		ours, theirs := net.Pipe()
		r := &running{conn: ours, theirs: theirs, ended: make(chan struct{})}
		go func() {
			defer close(r.ended)
			r.how = Serve(theirs, script)
		}()
		return r, nil
	}
}

type running struct {
	conn, theirs net.Conn
	ended        chan struct{}
	how          error
}

func (r *running) Conn() net.Conn { return r.conn }

func (r *running) Kill() { _ = r.theirs.Close() }

func (r *running) Wait() error {
	<-r.ended
	return r.how
}
