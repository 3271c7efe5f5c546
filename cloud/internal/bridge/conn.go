package bridge

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// The parts of MQTT's framing that the connection must know.
const (
	typePublish    = 3
	typePubAck     = 4
	typePingReq    = 12
	typePingResp   = 13
	maxLengthBytes = 4       // of the remaining length, 7 bits in each
	maxControl     = 4 << 10 // any packet that is not a message is far smaller
	readBuffer     = 64 << 10
)

var errFraming = errors.New("the broker sent what is not MQTT")

// conn stands between the MQTT client and its socket. The client connects, subscribes and pings; messages and
// their acknowledgements are conn's own, since each would pass through five goroutines of the client and be
// copied twice:
//
//   - A message is handed to deliver by the goroutine that reads, and the client never sees it. acknowledge
//     answers for a whole batch with one system call and one wake-up of the broker, where each alone would
//     cost more than the message.
//   - While the gate is closed no further message is read. TCP then holds the broker back, which keeps the
//     messages in the session. The client, which sees none of them, would take the connection for dead, since
//     its ping is answered behind those messages, so conn answers that ping itself as soon as there is a
//     message, and swallows the true answer when it comes.
//   - A message over maxMessage is cut to that length before memory is taken for it. It is then known by its
//     length, rejected and acknowledged: one enormous message neither fills the memory nor stops the stream.
//   - A write that fails ends the connection and is told through failed. The client reports neither a ping
//     that it could not send nor the end of a socket that it did not close itself, and while the gate is
//     closed nobody reads.
//
// One goroutine reads; acknowledge, Write and Close are safe for concurrent use.
type conn struct {
	net.Conn
	in         *bufio.Reader
	gate       *gate
	maxMessage int
	deliver    func(inbound)
	failed     func(error)

	head []byte // delivered before the body
	body int    // bytes of the socket still to deliver
	skip int    // bytes of the socket to throw away after a message
	owed int    // answers to pings that conn has given in advance

	first  byte   // of the message that is being read
	packet []byte // the rest of it behind its length; nil between two messages
	filled int    // bytes of it that are read

	writing   sync.Mutex
	pinged    chan struct{} // holds a token while a ping is unanswered
	closed    chan struct{}
	closeOnce sync.Once
}

// inbound is one message. id is 0 where it wants no acknowledgement.
type inbound struct {
	topic   string
	payload []byte
	id      uint16
}

func newConn(socket net.Conn, g *gate, maxMessage int, deliver func(inbound), failed func(error)) *conn {
	return &conn{
		Conn: socket, in: bufio.NewReaderSize(socket, readBuffer), gate: g, maxMessage: maxMessage,
		deliver: deliver, failed: failed, pinged: make(chan struct{}, 1), closed: make(chan struct{}),
	}
}

// lost is closed when the connection is: whatever came by it will be delivered again by another.
func (c *conn) lost() <-chan struct{} { return c.closed }

func (c *conn) isLost() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// Close ends a Read that waits at the gate, too.
func (c *conn) Close() error {
	c.closeOnce.Do(func() { close(c.closed) })
	return c.Conn.Close() //nolint:wrapcheck // net.Conn
}

// acknowledge answers for messages that are durable, in order. It tells its error through failed.
func (c *conn) acknowledge(batch []delivery) {
	packets := make([]byte, 0, 4*len(batch))
	for i := range batch {
		if id := batch[i].id; id != 0 {
			packets = append(packets, typePubAck<<4, 2, byte(id>>8), byte(id))
		}
	}
	if len(packets) > 0 {
		_, _ = c.Write(packets)
	}
}

// Write passes packets on.
func (c *conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if p[0]>>4 == typePingReq {
		select {
		case c.pinged <- struct{}{}:
		default:
		}
	}
	n, err := c.Conn.Write(p)
	if err != nil && !errors.Is(err, net.ErrClosed) { // closed: whoever did it knows why
		c.failed(err)
		_ = c.Close() // the reader learns of it
	}
	return n, err //nolint:wrapcheck // net.Conn
}

// Read delivers whole packets in pieces of any size, but for messages.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(c.head) == 0 && c.body == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	n, err := c.in.Read(p[:min(len(p), c.body)])
	c.body -= n
	return n, err //nolint:wrapcheck // net.Conn
}

// next stands between two packets, within a message or behind what was kept of one. It delivers one, or sets
// head and body for what follows.
func (c *conn) next() error {
	if c.packet != nil {
		return c.message()
	}
	if c.skip > 0 {
		return c.discard()
	}
	first, err := c.in.Peek(1)
	if err != nil {
		return err //nolint:wrapcheck // net.Conn
	}
	kind := first[0] >> 4
	if kind == typePublish {
		if answered, failed := c.pass(); failed != nil || answered {
			return failed
		}
	}
	header, length, err := c.readHeader()
	if err != nil {
		return err
	}
	switch {
	case kind == typePublish:
		c.first, c.packet = header[0], make([]byte, min(length, c.maxMessage))
		c.skip = length - len(c.packet)
		return c.message()
	case length > maxControl:
		return fmt.Errorf("%w: a control packet of %d bytes", errFraming, length)
	case kind == typePingResp && c.owed > 0:
		c.owed--
		c.skip = length
	default:
		if kind == typePingResp {
			c.takePing()
		}
		c.head, c.body = header, length
	}
	return nil
}

// discard throws away a piece of what stands behind a message that was cut, or answers a ping that waits: up
// to 260 MB may stand there, which take minutes on a slow line.
func (c *conn) discard() error {
	select {
	case <-c.pinged:
		c.answerPing()
		return nil
	default:
	}
	if _, err := c.in.Peek(1); err != nil {
		return err //nolint:wrapcheck // net.Conn
	}
	n, err := c.in.Discard(min(c.skip, c.in.Buffered())) // only what is there: the rest is not waited for
	c.skip -= n
	return err //nolint:wrapcheck // net.Conn
}

// message reads on in the message that has begun, and delivers it when it is whole. Its bytes are as good a
// sign of life as an answer: a ping that waits is answered between two pieces, since the broker's own answer
// may stand behind eight megabytes, or behind a million messages.
func (c *conn) message() error {
	for c.filled < len(c.packet) {
		select {
		case <-c.pinged:
			c.answerPing()
			return nil
		default:
		}
		n, err := c.in.Read(c.packet[c.filled:])
		c.filled += n
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("read a message: %w", err)
		}
	}
	m, err := readMessage(c.first, c.packet)
	if err != nil {
		return err
	}
	c.packet, c.filled = nil, 0
	c.deliver(m)
	return nil
}

// readMessage takes a PUBLISH packet apart, without copying its payload.
func readMessage(first byte, packet []byte) (inbound, error) {
	acknowledged := first >> 1 & 3 // its quality of service
	if acknowledged > atLeastOnce {
		return inbound{}, fmt.Errorf("%w: a message of quality of service %d", errFraming, acknowledged)
	}
	var m inbound
	name, rest, ok := cutString(packet)
	m.topic, m.payload = string(name), rest
	if ok && acknowledged == atLeastOnce {
		if ok = len(rest) >= 2; ok {
			m.id, m.payload = binary.BigEndian.Uint16(rest), rest[2:]
			ok = m.id != 0
		}
	}
	if !ok {
		return inbound{}, fmt.Errorf("%w: a message of %d bytes without topic or id", errFraming, len(packet))
	}
	return m, nil
}

// cutString cuts off a string behind its length in two bytes.
func cutString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return nil, nil, false
	}
	return b[2:n], b[n:], true
}

// pass waits until a message may be read. It returns true when it has answered a ping instead.
func (c *conn) pass() (answered bool, err error) {
	opened := c.gate.open()
	select {
	case <-opened:
		return false, nil
	default:
	}
	select {
	case <-opened:
		return false, nil
	case <-c.pinged:
		c.answerPing()
		return true, nil
	case <-c.closed:
		return false, net.ErrClosed
	}
}

// answerPing gives the client an answer in the broker's place.
func (c *conn) answerPing() {
	c.owed++
	c.head = []byte{typePingResp << 4, 0}
}

func (c *conn) takePing() {
	select {
	case <-c.pinged:
	default:
	}
}

// readHeader reads the fixed header: one byte, then the remaining length.
func (c *conn) readHeader() (header []byte, length int, err error) {
	header = make([]byte, 0, 1+maxLengthBytes)
	first, err := c.in.ReadByte()
	if err != nil {
		return nil, 0, err //nolint:wrapcheck // net.Conn
	}
	header = append(header, first)
	for shift := 0; shift < 7*maxLengthBytes; shift += 7 {
		b, err := c.in.ReadByte()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, 0, err //nolint:wrapcheck // net.Conn
		}
		header = append(header, b)
		length |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return header, length, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: a remaining length of more than %d bytes", errFraming, maxLengthBytes)
}
