package bridge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/stretchr/testify/require"
)

// message is a PUBLISH packet of QoS 1.
func message(tb testing.TB, payload []byte) []byte {
	tb.Helper()
	p, ok := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	require.True(tb, ok)
	p.Qos, p.MessageID, p.TopicName, p.Payload = 1, 7, "a/b", payload
	var b bytes.Buffer
	require.NoError(tb, p.Write(&b))
	return b.Bytes()
}

var (
	pingReq  = []byte{typePingReq << 4, 0}
	pingResp = []byte{typePingResp << 4, 0}
)

// socket is a peer that has sent everything already.
type socket struct {
	net.Conn
	in io.Reader
}

func (s socket) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s socket) Write(p []byte) (int, error) { return len(p), nil }
func (s socket) Close() error                { return nil }

func over(b []byte, g *gate, limit int, deliver func(inbound)) *conn {
	return newConn(socket{in: bytes.NewReader(b)}, g, limit, deliver, func(error) {})
}

// readAll returns what the MQTT client sees and what is delivered beside it.
func readAll(b []byte, limit int) (seen []byte, got []inbound, err error) {
	seen, err = io.ReadAll(over(b, newGate(1, 1), limit, func(m inbound) { got = append(got, m) }))
	return seen, got, err
}

func TestMessagesAreDeliveredWholeAndTheClientSeesTheRest(t *testing.T) {
	var all, rest []byte
	var want []inbound
	for i, size := range []int{0, 1, 100, 200, 20_000, 3 << 20} {
		payload := bytes.Repeat([]byte{byte(i)}, size)
		want = append(want, inbound{"a/b", payload, 7})
		all = slices.Concat(all, message(t, payload), pingResp)
		rest = append(rest, pingResp...)
	}
	seen, got, err := readAll(all, 4<<20)
	require.NoError(t, err)
	require.Equal(t, rest, seen)
	require.Equal(t, want, got)
}

func TestAMessageThatWantsNoAcknowledgementGetsNone(t *testing.T) {
	_, got, err := readAll([]byte{typePublish << 4, 5, 0, 1, 'a', 'x', 'y'}, 100)
	require.NoError(t, err)
	require.Equal(t, []inbound{{"a", []byte("xy"), 0}}, got)
	var writes [][]byte
	c := newConn(counted{socket{}, &writes}, newGate(1, 1), 1, nil, func(error) {})
	c.acknowledge([]delivery{{id: 0}})
	require.Empty(t, writes)
}

func TestAnEnormousMessageIsCutAndTheNextIsWhole(t *testing.T) {
	all := append(message(t, make([]byte, 5<<20)), message(t, []byte("next"))...)
	_, got, err := readAll(all, 1000)
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, uint16(7), got[0].id, "it can be acknowledged")
	require.Len(t, got[0].payload, 1000-2-len("a/b")-2)
	require.Equal(t, "next", string(got[1].payload))
}

func TestAClosedGateHoldsMessagesButAnswersPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 1<<20)
		messages, seen := make(chan string), make(chan packets.ControlPacket)
		all := slices.Concat(message(t, []byte("held")), pingResp, message(t, []byte("after")))
		c := over(all, g, 1<<20, func(m inbound) { messages <- string(m.payload) })
		g.add(time.Now(), 10)
		go func() {
			defer close(seen)
			for {
				p, err := packets.ReadPacket(c)
				if err != nil {
					return
				}
				seen <- p
			}
		}()
		quiet := func() {
			t.Helper()
			synctest.Wait()
			select {
			case m := <-messages:
				require.Fail(t, "passed the gate", m)
			case p := <-seen:
				require.Fail(t, "came from nowhere", p)
			default:
			}
		}
		quiet()
		_, err := c.Write(pingReq)
		require.NoError(t, err)
		require.IsType(t, &packets.PingrespPacket{}, <-seen, "answered in the broker's place")
		quiet()
		g.done(10)
		require.Equal(t, "held", <-messages)
		require.Equal(t, "after", <-messages, "the broker's own answer is swallowed")
		_, more := <-seen
		require.False(t, more)
	})
}

func TestAPieceOfAMessageIsASignOfLife(t *testing.T) {
	broker, client := net.Pipe()
	got := make(chan string, 2)
	c := newConn(client, newGate(1, 1), 1<<20, func(m inbound) { got <- string(m.payload) },
		func(error) {})
	defer func() { require.NoError(t, c.Close()) }()
	seen := make(chan packets.ControlPacket, 1) // the answer may come before the next piece
	go func() {
		defer close(seen)
		for {
			p, err := packets.ReadPacket(c)
			if err != nil {
				return
			}
			seen <- p
		}
	}()
	send := func(b []byte) {
		_, err := broker.Write(b)
		require.NoError(t, err)
	}
	large := message(t, []byte("large"))
	send(large[:8])
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = c.Write(pingReq)
	}()
	_, err := io.ReadFull(broker, make([]byte, len(pingReq)))
	require.NoError(t, err)
	<-asked
	send(large[8:9])
	require.IsType(t, &packets.PingrespPacket{}, <-seen, "answered before the message is whole")
	require.Empty(t, got)
	send(slices.Concat(large[9:], message(t, []byte("next")), pingResp))
	require.Equal(t, "large", <-got)
	require.Equal(t, "next", <-got)
	require.NoError(t, broker.Close())
	_, more := <-seen
	require.False(t, more, "the broker's own answer is swallowed")
}

// Over a slow line, what is cut off a message takes longer than the client waits for its answer.
func TestAPieceOfWhatIsCutOffIsASignOfLife(t *testing.T) {
	broker, client := net.Pipe()
	got := make(chan int, 2)
	c := newConn(client, newGate(1, 1), 100, func(m inbound) { got <- len(m.payload) }, func(error) {})
	defer func() { require.NoError(t, c.Close()) }()
	seen := make(chan packets.ControlPacket, 1)
	go func() {
		defer close(seen)
		for {
			p, err := packets.ReadPacket(c)
			if err != nil {
				return
			}
			seen <- p
		}
	}()
	send := func(b []byte) {
		_, err := broker.Write(b)
		require.NoError(t, err)
	}
	large := message(t, make([]byte, 1<<20))
	send(large[:200])
	require.Equal(t, 93, <-got, "cut: what follows is thrown away")
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = c.Write(pingReq)
	}()
	_, err := io.ReadFull(broker, make([]byte, len(pingReq)))
	require.NoError(t, err)
	<-asked
	send(large[200:201])
	select {
	case p := <-seen:
		require.IsType(t, &packets.PingrespPacket{}, p)
	case <-time.After(5 * time.Second):
		require.Fail(t, "no answer before the whole message is thrown away")
	}
	send(slices.Concat(large[201:], message(t, []byte("next")), pingResp))
	require.Equal(t, len("next"), <-got)
	require.NoError(t, broker.Close())
	_, more := <-seen
	require.False(t, more, "the broker's own answer is swallowed")
}

func TestCloseEndsAReadAtTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 1<<20)
		g.add(time.Now(), 1)
		c := over(message(t, nil), g, 1<<20, nil)
		failed := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			failed <- err
		}()
		synctest.Wait()
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-failed, net.ErrClosed)
		<-c.lost()
	})
}

// broken is a peer that is gone.
type broken struct{ socket }

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAWriteThatFailsIsToldAndEndsTheConnection(t *testing.T) {
	for name, write := range map[string]func(*conn){
		"ping":            func(c *conn) { _, _ = c.Write(pingReq) },
		"acknowledgement": func(c *conn) { c.acknowledge([]delivery{{id: 1}}) },
	} {
		t.Run(name, func(t *testing.T) {
			told := make(chan error, 1)
			c := newConn(broken{socket{in: bytes.NewReader(nil)}}, newGate(1, 1), 1, nil,
				func(err error) { told <- err })
			write(c)
			require.ErrorIs(t, <-told, io.ErrClosedPipe)
			<-c.lost()
		})
	}
}

func TestWhatIsNotMQTTIsAnError(t *testing.T) {
	for name, b := range map[string][]byte{
		"endless length":         {typePublish << 4, 0xff, 0xff, 0xff, 0xff, 0xff},
		"enormous control":       {9 << 4, 0xff, 0xff, 0xff, 0x7f},
		"ends within the header": {typePublish << 4, 0x80},
		"ends within a message":  {typePublish << 4, 5, 0, 1},
		"no topic":               {typePublish << 4, 1, 0},
		"topic of too few bytes": {typePublish << 4, 3, 0, 2, 'a'},
		"no id":                  {typePublish<<4 | 2, 4, 0, 1, 'a', 0},
		"id 0":                   {typePublish<<4 | 2, 5, 0, 1, 'a', 0, 0},
		"exactly once":           {typePublish<<4 | 4, 5, 0, 1, 'a', 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, got, err := readAll(b, 1<<20)
			require.Error(t, err)
			require.True(t, errors.Is(err, errFraming) || errors.Is(err, io.ErrUnexpectedEOF))
			require.Empty(t, got)
		})
	}
}

// counted is a peer that notes what it is sent.
type counted struct {
	socket
	writes *[][]byte
}

func (c counted) Write(p []byte) (int, error) {
	*c.writes = append(*c.writes, bytes.Clone(p))
	return len(p), nil
}

func TestAcknowledgementsOfABatchAreOneWrite(t *testing.T) {
	var writes [][]byte
	c := newConn(counted{socket{}, &writes}, newGate(1, 1), 1, nil, func(error) {})
	c.acknowledge([]delivery{{id: 1}, {id: 0x0203}, {id: 0}, {id: 7}})
	require.Equal(t, [][]byte{{
		typePubAck << 4, 2, 0, 1, typePubAck << 4, 2, 2, 3, typePubAck << 4, 2, 0, 7,
	}}, writes)
}

func TestTheGateOpensBelowBothBounds(t *testing.T) {
	g := newGate(2, 100)
	isOpen := func() bool {
		select {
		case <-g.open():
			return true
		default:
			return false
		}
	}
	require.True(t, isOpen())
	g.add(time.Now(), 100)
	require.False(t, isOpen(), "bytes")
	g.add(time.Now(), 0)
	g.done(100)
	require.True(t, isOpen())
	g.add(time.Now(), 1)
	require.False(t, isOpen(), "messages")
	g.done(1)
	g.done(0)
	require.True(t, isOpen())
	count, held := g.held()
	require.Zero(t, count+held)
}

func TestTheGateKnowsTheOldestMessageItHolds(t *testing.T) {
	g := newGate(10, 100)
	require.Zero(t, g.oldest())
	first := time.Unix(1, 0)
	for i := range 3 {
		g.add(first.Add(time.Duration(i)), 1)
	}
	require.Equal(t, first, g.oldest())
	g.undo(1)
	require.Equal(t, first, g.oldest(), "the newest is taken back")
	g.done(1)
	require.Equal(t, first.Add(1), g.oldest())
	g.done(1)
	require.Zero(t, g.oldest())
	count, held := g.held()
	require.Zero(t, count+held)
}

func FuzzConn(f *testing.F) {
	f.Add(message(f, []byte("x")), 4)
	f.Add(append(message(f, make([]byte, 300)), pingResp...), 64)
	f.Add([]byte{typePublish << 4, 0xff, 0xff, 0xff, 0xff}, 3)
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		limit = 1 + max(limit, 0)%(1<<16)
		seen, got, err := readAll(b, limit)
		taken := len(seen)
		for _, m := range got {
			require.LessOrEqual(t, len(m.topic)+len(m.payload), limit)
			taken += len(m.topic) + len(m.payload)
		}
		require.LessOrEqual(t, taken, len(b))
		for rest := seen; err == nil && len(rest) > 1; {
			length, n := binary.Uvarint(rest[1:]) // MQTT's remaining length is one
			require.Positive(t, n, "each header is whole")
			require.NotEqual(t, typePublish, int(rest[0]>>4))
			rest = rest[min(1+n+int(length), len(rest)):]
		}
	})
}
