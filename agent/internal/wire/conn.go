// Package wire is the protocol between the supervisor and its worker processes: protobuf messages on a Unix
// stream socket, each behind a frame of four bytes of length (little endian, of what follows), and one byte
// of kind.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
)

// Kind says which message a frame holds.
type Kind byte

// The kinds of message. Numbers are part of the protocol.
const (
	KindConfigure    Kind = 1
	KindInspect      Kind = 2
	KindSettle       Kind = 3
	KindShutdown     Kind = 4
	KindChange       Kind = 5
	KindHello        Kind = 16
	KindStationState Kind = 17
	KindExposed      Kind = 18
	KindInspected    Kind = 19
	KindEvidence     Kind = 20
	KindHeartbeat    Kind = 21
	KindProgress     Kind = 22
	KindChanged      Kind = 23
	KindShadowed     Kind = 24 // an Inspected of the station's shadow, whenever it has seen a part
)

// MaxFrame bounds one message, evidence pictures included.
const MaxFrame = 32 << 20

const (
	headerBytes  = 5
	readBuffer   = 64 << 10
	writeTimeout = 2 * time.Second
)

// ErrFrame is wrapped by errors about a peer that does not speak the protocol.
var ErrFrame = errors.New("broken frame")

// Conn is one end of the socket. Send is safe for concurrent use; Receive has one reader.
type Conn struct {
	conn net.Conn

	writing sync.Mutex
	out     []byte

	reader  *bufio.Reader
	in      []byte
	header  [headerBytes]byte
	decoder proto.UnmarshalOptions
}

// NewConn takes over conn.
func NewConn(conn net.Conn) *Conn {
	return &Conn{
		conn:    conn,
		reader:  bufio.NewReaderSize(conn, readBuffer),
		decoder: proto.UnmarshalOptions{Merge: true, DiscardUnknown: true},
	}
}

// Close closes the socket and unblocks both directions.
func (c *Conn) Close() error { return c.conn.Close() }

// Send writes one message. It does not allocate once its buffer has grown, and gives up after two seconds,
// since a peer that does not read for so long is to be replaced.
func (c *Conn) Send(kind Kind, m proto.Message) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = append(c.out[:0], 0, 0, 0, 0, byte(kind))
	out, err := proto.MarshalOptions{}.MarshalAppend(c.out, m)
	if err != nil {
		return fmt.Errorf("encode message %d: %w", kind, err)
	}
	c.out = out
	if len(out) > MaxFrame {
		return fmt.Errorf("%w: message %d of %d bytes is over %d", ErrFrame, kind, len(out), MaxFrame)
	}
	binary.LittleEndian.PutUint32(out, uint32(len(out)-4))
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := c.conn.Write(out); err != nil {
		return fmt.Errorf("send message %d: %w", kind, err)
	}
	return nil
}

// Receive reads the next frame. The payload is valid until the next call. io.EOF means that the peer closed
// between two frames.
func (c *Conn) Receive() (Kind, []byte, error) {
	if _, err := io.ReadFull(c.reader, c.header[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(c.header[:4])
	if n < 1 || n > MaxFrame {
		return 0, nil, fmt.Errorf("%w: length %d", ErrFrame, n)
	}
	n--
	if uint32(cap(c.in)) < n {
		c.in = make([]byte, n)
	}
	c.in = c.in[:n]
	if _, err := io.ReadFull(c.reader, c.in); err != nil {
		return 0, nil, fmt.Errorf("%w: cut off: %w", ErrFrame, err)
	}
	return Kind(c.header[4]), c.in, nil
}

// Decode fills m, which the caller has reset or uses anew, from a payload. Messages of numbers only (Inspect)
// can be reused with their fields zeroed, and then nothing is allocated.
func (c *Conn) Decode(payload []byte, m proto.Message) error {
	if err := c.decoder.Unmarshal(payload, m); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return nil
}
