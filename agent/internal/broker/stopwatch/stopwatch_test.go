package stopwatch_test

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/broker/brokertest"
	"github.com/sightline-edge/sightline/agent/internal/broker/stopwatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 5 * time.Second

func TestEachMessageHasTheTimeOfItsArrival(t *testing.T) {
	m := brokertest.Start(t, "allow_anonymous true")
	w, err := stopwatch.Dial(t.Context(), m.URL(), "watch", "line/+")
	require.NoError(t, err)
	laps := make(chan stopwatch.Lap)
	ended := make(chan error, 1)
	go func() { ended <- w.Collect(t.Context(), laps) }()
	up := make(chan bool, 4)
	conn, err := broker.Dial(broker.Options{
		URL: m.URL(), ClientID: "press", OnState: func(connected bool) { up <- connected },
	})
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	require.True(t, <-up)
	for _, payload := range []string{"one", "", "three"} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		before := time.Now()
		published := make(chan error, 1)
		go func() {
			m := broker.Message{Topic: "line/result", QoS: 1, Payload: []byte(payload)}
			published <- conn.Publish(ctx, m)
		}()
		lap := <-laps
		require.NoError(t, <-published)
		cancel()
		require.Equal(t, payload, string(lap.Payload))
		require.WithinRange(t, lap.At, before, time.Now())
	}
	require.NoError(t, w.Close())
	require.Error(t, <-ended)
}

func TestAWatchWithoutABrokerSaysSo(t *testing.T) {
	for _, url := range []string{"tcp://127.0.0.1:1", "ssl://127.0.0.1:8883", "::"} {
		_, err := stopwatch.Dial(t.Context(), url, "watch", "line/+")
		require.ErrorContains(t, err, "stopwatch: ", url)
	}
}

// A header may claim 256 MiB.
func TestNoMoreMemoryIsTakenThanAMessageMayHave(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- claim(listener, []byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 't'}) }()
	w, err := stopwatch.Dial(t.Context(), "tcp://"+listener.Addr().String(), "watch", "line/+")
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = w.Next()
	runtime.ReadMemStats(&after)
	require.Error(t, err, "the packet is never complete")
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))
	require.NoError(t, w.Close())
	require.NoError(t, <-served)
}

// claim is a broker that grants one subscription, sends these bytes and goes away.
func claim(listener net.Listener, last []byte) error {
	defer func() { _ = listener.Close() }()
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for _, answer := range [][]byte{{0x20, 2, 0, 0}, {0x90, 3, 0, 1, 0}} {
		if _, err = packets.ReadPacket(conn); err != nil {
			return err
		}
		if _, err = conn.Write(answer); err != nil {
			return err
		}
	}
	_, err = conn.Write(last)
	return err
}
