package bridge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
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
	maxAcks        = 4 << 10 // bytes
	ackDelay       = time.Millisecond
)

var errFraming = errors.New("the broker sent what is not MQTT")

// conn stands between the MQTT client and its socket and sees packet by packet:
//
//   - While the gate is closed no further message is read. TCP then holds the broker back, which keeps the
//     messages in the session. The client would take the silence for a dead connection, since its ping is
//     answered behind those messages, so conn answers that ping itself and swallows the true answer when it
//     comes.
//   - A message over maxMessage is cut to that length before the client allocates for it. It is then known by
//     its length, rejected and acknowledged: one enormous message neither fills the memory nor stops the
//     stream.
//   - A write that fails ends the connection and is told through failed. The client reports neither a ping
//     that it could not send nor the end of a socket that it did not close itself, and while the gate is
//     closed nobody reads.
//
// One goroutine reads; Write and Close are safe for concurrent use.
type conn struct {
	net.Conn
	in         *bufio.Reader
	gate       *gate
	maxMessage int
	failed     func(error)

	head []byte // delivered before the body
	body int    // bytes of the socket still to deliver
	skip int    // bytes of the socket to throw away after the body
	owed int    // answers to pings that conn has given in advance

	writing sync.Mutex
	acks    []byte // acknowledgements that wait for more

	pinged    chan struct{} // holds a token while a ping is unanswered
	closed    chan struct{}
	closeOnce sync.Once
}

func newConn(socket net.Conn, g *gate, maxMessage int, failed func(error)) *conn {
	return &conn{
		Conn: socket, in: bufio.NewReaderSize(socket, readBuffer), gate: g, maxMessage: maxMessage,
		failed: failed, pinged: make(chan struct{}, 1), closed: make(chan struct{}),
	}
}

// lost is closed when the connection is: whatever came by it will be delivered again by another.
func (c *conn) lost() <-chan struct{} { return c.closed }

// Close ends a Read that waits at the gate, too.
func (c *conn) Close() error {
	c.closeOnce.Do(func() { close(c.closed) })
	return c.Conn.Close() //nolint:wrapcheck // net.Conn
}

// Write passes packets on, each given by itself. Acknowledgements wait up to a millisecond for more of them:
// one system call and one wake-up of the broker for a batch, where each alone would cost more than the
// message.
func (c *conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	switch p[0] >> 4 {
	case typePubAck:
		return c.delay(p)
	case typePingReq:
		select {
		case c.pinged <- struct{}{}:
		default:
		}
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	return c.send(p)
}

// send is called with writing held.
func (c *conn) send(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil && !errors.Is(err, net.ErrClosed) { // closed: whoever did it knows why
		c.failed(err)
		_ = c.Close() // the reader learns of it
	}
	return n, err //nolint:wrapcheck // net.Conn
}

// delay is called with writing held.
func (c *conn) delay(ack []byte) (int, error) {
	if len(c.acks) == 0 {
		time.AfterFunc(ackDelay, func() {
			c.writing.Lock()
			defer c.writing.Unlock()
			_ = c.flush() // tells its error through failed
		})
	}
	c.acks = append(c.acks, ack...)
	if len(c.acks) < maxAcks {
		return len(ack), nil
	}
	return len(ack), c.flush()
}

// flush is called with writing held.
func (c *conn) flush() error {
	if len(c.acks) == 0 {
		return nil
	}
	_, err := c.send(c.acks)
	c.acks = c.acks[:0]
	return err
}

// Read delivers whole packets in pieces of any size.
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

// next stands between two packets and sets head, body and skip for the one that follows.
func (c *conn) next() error {
	if _, err := c.in.Discard(c.skip); err != nil {
		return err //nolint:wrapcheck // net.Conn
	}
	c.skip = 0
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
	case kind == typePublish && length > c.maxMessage:
		c.head = appendLength(header[:1:1], c.maxMessage)
		c.body, c.skip = c.maxMessage, length-c.maxMessage
	case kind != typePublish && length > maxControl:
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

// pass waits until a message may be read. It returns true when it has put the answer to a ping in its place.
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
		c.owed++
		c.head = []byte{typePingResp << 4, 0}
		return true, nil
	case <-c.closed:
		return false, net.ErrClosed
	}
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

func appendLength(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}
