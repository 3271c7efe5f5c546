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

func over(b []byte, g *gate, limit int) *conn {
	return newConn(socket{in: bytes.NewReader(b)}, g, limit, func(error) {})
}

func read(t *testing.T, c *conn) packets.ControlPacket {
	t.Helper()
	p, err := packets.ReadPacket(c)
	require.NoError(t, err)
	return p
}

func TestPacketsPassUnchanged(t *testing.T) {
	var all []byte
	for _, size := range []int{0, 1, 100, 200, 20_000, 3 << 20} {
		all = append(all, message(t, make([]byte, size))...)
		all = append(all, pingResp...)
	}
	got, err := io.ReadAll(over(all, newGate(1, 1), 4<<20))
	require.NoError(t, err)
	require.True(t, bytes.Equal(all, got))
}

func TestAnEnormousMessageIsCutAndTheNextIsWhole(t *testing.T) {
	all := append(message(t, make([]byte, 5<<20)), message(t, []byte("next"))...)
	c := over(all, newGate(1, 1), 1000)
	first, ok := read(t, c).(*packets.PublishPacket)
	require.True(t, ok)
	require.Equal(t, uint16(7), first.MessageID, "it can be acknowledged")
	require.Len(t, first.Payload, 1000-2-len("a/b")-2)
	second, ok := read(t, c).(*packets.PublishPacket)
	require.True(t, ok)
	require.Equal(t, "next", string(second.Payload))
}

func TestAClosedGateHoldsMessagesButAnswersPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 1<<20)
		c := over(append(message(t, []byte("held")), append(pingResp, message(t, []byte("after"))...)...), g,
			1<<20)
		g.add(time.Now(), 10)
		got := make(chan packets.ControlPacket)
		go func() {
			for range 3 {
				p, err := packets.ReadPacket(c)
				if err != nil {
					close(got)
					return
				}
				got <- p
			}
		}()
		synctest.Wait()
		require.Empty(t, got)
		_, err := c.Write(pingReq)
		require.NoError(t, err)
		require.IsType(t, &packets.PingrespPacket{}, <-got, "answered in the broker's place")
		synctest.Wait()
		require.Empty(t, got)
		g.done(10)
		held, ok := (<-got).(*packets.PublishPacket)
		require.True(t, ok)
		require.Equal(t, "held", string(held.Payload))
		after, ok := (<-got).(*packets.PublishPacket)
		require.True(t, ok, "the broker's own answer is swallowed")
		require.Equal(t, "after", string(after.Payload))
	})
}

func TestCloseEndsAReadAtTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 1<<20)
		g.add(time.Now(), 1)
		c := over(message(t, nil), g, 1<<20)
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
	for name, packet := range map[string][]byte{
		"ping": pingReq, "acknowledgement": {typePubAck << 4, 2, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := make(chan error, 1)
				c := newConn(broken{socket{in: bytes.NewReader(nil)}}, newGate(1, 1), 1,
					func(err error) { told <- err })
				_, _ = c.Write(packet)
				require.ErrorIs(t, <-told, io.ErrClosedPipe)
				<-c.lost()
			})
		})
	}
}

func TestWhatIsNotMQTTIsAnError(t *testing.T) {
	for name, b := range map[string][]byte{
		"endless length":         {typePublish << 4, 0xff, 0xff, 0xff, 0xff, 0xff},
		"enormous control":       {9 << 4, 0xff, 0xff, 0xff, 0x7f},
		"ends within the header": {typePublish << 4, 0x80},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := io.ReadAll(over(b, newGate(1, 1), 1<<20))
			require.Error(t, err)
			require.True(t, errors.Is(err, errFraming) || errors.Is(err, io.ErrUnexpectedEOF))
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

func TestAcknowledgementsGoOutTogetherInOrderAndBeforeAnythingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var writes [][]byte
		c := newConn(counted{socket{in: bytes.NewReader(nil)}, &writes}, newGate(1, 1), 1, func(error) {})
		send := func(p ...byte) {
			n, err := c.Write(p)
			require.NoError(t, err)
			require.Equal(t, len(p), n)
		}
		sent := func() [][]byte {
			c.writing.Lock()
			defer c.writing.Unlock()
			return slices.Clone(writes)
		}
		send(typePubAck<<4, 2, 0, 1)
		send(typePubAck<<4, 2, 0, 2)
		require.Empty(t, sent())
		time.Sleep(2 * ackDelay) //nolint:forbidigo // the bubble's clock
		require.Equal(t, [][]byte{{typePubAck << 4, 2, 0, 1, typePubAck << 4, 2, 0, 2}}, sent())
		send(typePubAck<<4, 2, 0, 3)
		send(pingReq...)
		require.Equal(t, [][]byte{{typePubAck << 4, 2, 0, 3}, pingReq}, sent()[1:])
		time.Sleep(2 * ackDelay) //nolint:forbidigo // the bubble's clock
		require.Len(t, sent(), 3)
		for range maxAcks / 4 {
			send(typePubAck<<4, 2, 0, 4)
		}
		require.Len(t, sent()[3], maxAcks, "a full batch does not wait")
		time.Sleep(2 * ackDelay) //nolint:forbidigo // the bubble's clock
	})
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
		got, err := io.ReadAll(over(b, newGate(1, 1), limit))
		require.LessOrEqual(t, len(got), len(b))
		for rest := got; err == nil && len(rest) > 1; {
			length, n := binary.Uvarint(rest[1:]) // MQTT's remaining length is one
			require.Positive(t, n, "each header is whole")
			if rest[0]>>4 == typePublish {
				require.LessOrEqual(t, length, uint64(limit))
			}
			rest = rest[min(1+n+int(length), len(rest)):]
		}
	})
}
