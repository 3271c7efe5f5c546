package broker

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pipeConn is a connection whose peer has sent some bytes and closed.
type pipeConn struct {
	net.Conn
	io.Reader
}

func (p pipeConn) Read(b []byte) (int, error) { return p.Reader.Read(b) }

func through(in []byte, limit int) ([]byte, error) {
	return io.ReadAll(newGuard(pipeConn{Reader: bytes.NewReader(in)}, limit))
}

func packet(kind byte, body int) []byte {
	return append(appendLength([]byte{kind}, body), bytes.Repeat([]byte{7}, body)...)
}

func TestGuardHandsSmallPacketsOnUnchanged(t *testing.T) {
	in := bytes.Join([][]byte{packet(0xd0, 0), packet(0x32, 1), packet(0x40, 2), packet(0x30, 200)}, nil)
	out, err := through(in, 200)
	require.NoError(t, err)
	require.Equal(t, in, out)
}

func TestGuardCutsALargePublishAndKeepsTheNextPacketWhole(t *testing.T) {
	out, err := through(bytes.Join([][]byte{packet(0x32, 100_000), packet(0x40, 2)}, nil), 64)
	require.NoError(t, err)
	require.Equal(t, bytes.Join([][]byte{packet(0x32, 64), packet(0x40, 2)}, nil), out)
}

func TestGuardRefusesWhatIsNoMQTT(t *testing.T) {
	_, err := through([]byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}, 64)
	require.ErrorIs(t, err, errFrame)
	_, err = through(packet(0x90, 65), 64)
	require.ErrorIs(t, err, errFrame)
}

func FuzzGuardNeverClaimsMoreThanItsLimit(f *testing.F) {
	f.Add(bytes.Join([][]byte{packet(0x32, 300), packet(0x40, 2), packet(0x30, 17)}, nil))
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 128
		out, _ := through(in, limit)
		for len(out) > 0 {
			r := bytes.NewReader(out[1:])
			length, err := readLength(r)
			require.NoError(t, err)
			require.LessOrEqual(t, length, limit)
			header := len(out) - r.Len()
			out = out[min(len(out), header+length):]
		}
	})
}

func TestPaceBacksOffToTwoSecondsAndPunishesQuickEnds(t *testing.T) {
	p := pace{longest: longestPause}
	for range 20 {
		require.LessOrEqual(t, p.failed(), lastDelay*5/4)
	}
	_, takeover := p.ended(time.Hour)
	require.False(t, takeover)
	var pauses []time.Duration
	for range 12 {
		d, over := p.ended(p.last) // the rival pauses as long as we do
		if over {
			pauses = append(pauses, d)
		}
	}
	require.Len(t, pauses, 10)
	require.Greater(t, pauses[len(pauses)-1], longestPause/2)
	d, takeover := p.ended(time.Hour)
	require.False(t, takeover)
	require.Less(t, d, time.Second)
}
