package broker_test

import (
	"fmt"
	"log/slog"
	"testing"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/internal/broker/brokertest"
)

// startMochi runs a broker that lets everybody in and subscribe nothing that is called forbidden.
// (mosquitto's access file grants every subscription and then delivers nothing.)
func startMochi(tb testing.TB) (url string) {
	tb.Helper()
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(tb, server.AddHook(new(gatekeeper), nil))
	address := fmt.Sprintf("127.0.0.1:%d", brokertest.FreePort(tb))
	require.NoError(tb, server.AddListener(listeners.NewTCP(listeners.Config{ID: "t", Address: address})))
	require.NoError(tb, server.Serve())
	tb.Cleanup(func() { require.NoError(tb, server.Close()) })
	return "tcp://" + address
}

type gatekeeper struct{ mochi.HookBase }

func (*gatekeeper) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

func (*gatekeeper) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (*gatekeeper) OnACLCheck(_ *mochi.Client, topic string, _ bool) bool {
	return topic != "forbidden"
}
