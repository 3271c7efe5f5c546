package broker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

const (
	packetTypeMask = 0xf0
	packetPublish  = 0x30
	maxHeaderBytes = 5 // type, and a length of up to four bytes of seven bits
)

var errFrame = errors.New("broker: broken MQTT frame")

// guard stands between the MQTT library and the socket. It is the first to see the end of a connection,
// whichever way it comes, so that lost is closed before the library completes any token; and it shortens a
// packet whose header claims more than limit bytes, since the library allocates what a header claims.
type guard struct {
	net.Conn

	lost chan struct{}
	once sync.Once

	in     *bufio.Reader
	limit  int
	header []byte // rest of the current packet's header, to be handed on
	body   int    // bytes of it to hand on
	excess int    // bytes of it to throw away
	buf    [maxHeaderBytes]byte
}

// Bounded returns the connection such that no incoming packet claims more than limit bytes: an MQTT library
// allocates what a header claims. A longer publication is cut; any other longer packet is an error.
func Bounded(conn net.Conn, limit int) net.Conn { return newGuard(conn, limit) }

func newGuard(conn net.Conn, limit int) *guard {
	return &guard{Conn: conn, lost: make(chan struct{}), in: bufio.NewReader(conn), limit: limit}
}

// Read has one caller, the library's reader.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.read(p)
	if err != nil {
		g.markLost()
	}
	return n, err
}

func (g *guard) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(g.header) == 0 && g.body == 0 {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	if len(g.header) > 0 {
		n := copy(p, g.header)
		g.header = g.header[n:]
		return n, nil
	}
	n, err := g.in.Read(p[:min(len(p), g.body)])
	g.body -= n
	return n, err
}

// next throws away what is left of an oversized packet and reads the header of the one behind it.
func (g *guard) next() error {
	if g.excess > 0 {
		n, err := g.in.Discard(g.excess)
		g.excess -= n
		if err != nil {
			return err
		}
	}
	kind, err := g.in.ReadByte()
	if err != nil {
		return err
	}
	length, err := readLength(g.in)
	if err != nil {
		return err
	}
	if length > g.limit {
		if kind&packetTypeMask != packetPublish {
			return fmt.Errorf("%w: packet %#x of %d bytes", errFrame, kind, length)
		}
		g.excess = length - g.limit
		length = g.limit
	}
	g.body = length
	g.header = appendLength(append(g.buf[:0], kind), length)
	return nil
}

func readLength(r io.ByteReader) (int, error) {
	length := 0
	for shift := 0; shift < 28; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		length |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return length, nil
		}
	}
	return 0, fmt.Errorf("%w: length of more than four bytes", errFrame)
}

func appendLength(b []byte, length int) []byte {
	for length >= 0x80 {
		b = append(b, byte(length)|0x80)
		length >>= 7
	}
	return append(b, byte(length))
}

// Write is called by the library's writer.
func (g *guard) Write(p []byte) (int, error) {
	n, err := g.Conn.Write(p)
	if err != nil {
		g.markLost()
	}
	return n, err
}

// Close closes the socket and says so.
func (g *guard) Close() error {
	g.markLost()
	return g.Conn.Close()
}

func (g *guard) markLost() { g.once.Do(func() { close(g.lost) }) }
