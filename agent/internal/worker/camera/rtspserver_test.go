//go:build cgo && customenv

package camera

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rtspCamera speaks RTSP (RFC 2326, interleaved on TCP) and sends JPEG over RTP (RFC 2435) to one client at
// a time: what a network camera does.
type rtspCamera struct {
	listener net.Listener
	silent   atomic.Bool // accepts and never answers, or stops in the middle of its stream
	frozen   atomic.Bool // sends the same picture again
	sent     atomic.Int64
	stop     chan struct{}
	wg       sync.WaitGroup
}

const (
	rtspWidth, rtspHeight = 320, 240
	rtspPeriod            = 20 * time.Millisecond
)

func newRTSPCamera(t *testing.T) *rtspCamera {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &rtspCamera{listener: l, stop: make(chan struct{})}
	c.wg.Go(c.accept)
	t.Cleanup(func() {
		close(c.stop)
		_ = l.Close()
		c.wg.Wait()
	})
	return c
}

func (c *rtspCamera) uri() string {
	return "rtsp://user:secret@" + c.listener.Addr().String() + "/stream"
}

func (c *rtspCamera) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.wg.Go(func() { c.serve(conn) })
		c.wg.Go(func() { // ends the connection with the camera
			<-c.stop
			_ = conn.Close()
		})
	}
}

func (c *rtspCamera) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	for {
		method, seq, err := request(r)
		if err != nil {
			return
		}
		if c.silent.Load() {
			continue
		}
		if _, err := conn.Write([]byte(c.answer(method, seq))); err != nil {
			return
		}
		if method == "PLAY" {
			c.wg.Go(func() { c.stream(conn) })
		}
	}
}

// request reads a request's head; what the client interleaves (RTCP) is passed over.
func request(r *bufio.Reader) (method, seq string, err error) {
	for {
		first, err := r.Peek(1)
		if err != nil {
			return "", "", err
		}
		if first[0] != '$' {
			break
		}
		var head [4]byte
		for i := range head {
			if head[i], err = r.ReadByte(); err != nil {
				return "", "", err
			}
		}
		if _, err := r.Discard(int(binary.BigEndian.Uint16(head[2:]))); err != nil {
			return "", "", err
		}
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			return method, seq, nil
		case method == "":
			method, _, _ = strings.Cut(line, " ")
		case strings.HasPrefix(line, "CSeq:"):
			seq = strings.TrimSpace(line[5:])
		}
	}
}

func (c *rtspCamera) answer(method, seq string) string {
	head := "RTSP/1.0 200 OK\r\nCSeq: " + seq + "\r\n"
	switch method {
	case "OPTIONS":
		return head + "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n"
	case "DESCRIBE":
		sdp := "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\n" +
			"m=video 0 RTP/AVP 26\r\na=control:track1\r\na=framerate:50\r\n"
		return head + fmt.Sprintf("Content-Base: rtsp://%s/stream/\r\nContent-Type: application/sdp\r\n"+
			"Content-Length: %d\r\n\r\n%s", c.listener.Addr(), len(sdp), sdp)
	case "SETUP":
		return head + "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n\r\n"
	default:
		return head + "Session: 1\r\n\r\n"
	}
}

func (c *rtspCamera) stream(conn net.Conn) {
	tick := time.NewTicker(rtspPeriod)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-c.stop:
			return
		}
		if c.silent.Load() {
			continue
		}
		shown := n
		if c.frozen.Load() {
			shown = 0
		}
		if _, err := conn.Write(rtpJPEG(n, shown)); err != nil {
			return
		}
		c.sent.Add(1)
	}
}

// rtpJPEG is one picture as one RTP packet, interleaved on channel 0.
func rtpJPEG(n, shown int) []byte {
	img := image.NewYCbCr(image.Rect(0, 0, rtspWidth, rtspHeight), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = byte(i/rtspWidth + 3*shown)
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = 128, 128
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 50}); err != nil {
		panic(err)
	}
	tables, scan := dissect(b.Bytes())
	p := []byte{0x80, 0x80 | 26}
	p = binary.BigEndian.AppendUint16(p, uint16(n))
	p = binary.BigEndian.AppendUint32(p, uint32(n*1800)) // 90 kHz
	p = binary.BigEndian.AppendUint32(p, 0x5167)
	// Offset 0; type 1 is 4:2:0; Q 255: tables follow, of 8 bits.
	p = append(p, 0, 0, 0, 0, 1, 255, rtspWidth/8, rtspHeight/8, 0, 0, 0, byte(len(tables)))
	p = append(p, tables...)
	p = append(p, scan...)
	head := binary.BigEndian.AppendUint16([]byte{'$', 0}, uint16(len(p)))
	return append(head, p...)
}

// dissect returns the two quantization tables and the entropy-coded scan of a baseline JPEG.
func dissect(data []byte) (tables, scan []byte) {
	for at := 2; ; {
		marker, size := data[at+1], int(binary.BigEndian.Uint16(data[at+2:]))
		body := data[at+4 : at+2+size]
		switch marker {
		case 0xdb:
			for ; len(body) >= 65; body = body[65:] {
				tables = append(tables, body[1:65]...)
			}
		case 0xda:
			return tables, bytes.TrimSuffix(data[at+2+size:], []byte{0xff, 0xd9})
		}
		at += 2 + size
	}
}

func TestDissectedJPEGHasItsParts(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 32, 32))
	img.Set(1, 1, color.White)
	tables, scan := dissect(asJPEG(t, img))
	require.Len(t, tables, 128)
	require.NotEmpty(t, scan)
}
