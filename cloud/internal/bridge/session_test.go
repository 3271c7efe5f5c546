package bridge

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// answering is a broker that gives each connection the answers of one script.
func answering(t *testing.T, answer func(p packets.ControlPacket) packets.ControlPacket) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serve(c, answer)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-served
	})
	return "tcp://" + listener.Addr().String()
}

func serve(c net.Conn, answer func(p packets.ControlPacket) packets.ControlPacket) {
	defer func() { _ = c.Close() }()
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		if reply := answer(p); reply == nil || reply.Write(c) != nil {
			return
		}
	}
}

func session(t *testing.T, url string) (subscribed bool, err error) {
	t.Helper()
	b := unstarted(t, url)
	defer b.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return b.session(ctx)
}

// unstarted is a bridge whose gate a single message closes; nothing is carried to Kafka.
func unstarted(t *testing.T, url string) *Bridge {
	t.Helper()
	registry := prometheus.NewRegistry()
	b, err := New(Options{
		MQTT:  MQTT{URL: url, ClientID: "b", KeepAlive: time.Second},
		Kafka: Kafka{Brokers: []string{"127.0.0.1:1"}}, MaxUnacked: 1,
		Metrics: NewMetrics(registry), Log: slog.New(slog.DiscardHandler),
	}, registry)
	require.NoError(t, err)
	return b
}

// The broker goes with messages unread: its end stands behind them, and only a ping finds it out.
func TestABrokerThatGoesWhileTheGateIsClosedIsNoticed(t *testing.T) {
	gone := make(chan struct{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		defer close(gone)
		c, failed := listener.Accept()
		if failed != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = packets.ReadPacket(c)
		_ = packets.NewControlPacket(packets.Connack).Write(c)
		asked, _ := packets.ReadPacket(c)
		_ = granted(asked).Write(c)
		for range 3 { // one passes and closes the gate
			_, _ = c.Write(message(t, []byte("unread")))
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-gone
	})
	begin := time.Now()
	subscribed, err := session(t, "tcp://"+listener.Addr().String())
	require.True(t, subscribed)
	require.Error(t, err)
	require.Less(t, time.Since(begin), 10*time.Second)
}

// granted answers a subscription.
func granted(p packets.ControlPacket) packets.ControlPacket {
	reply, _ := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	if asked, ok := p.(*packets.SubscribePacket); ok {
		reply.MessageID, reply.ReturnCodes = asked.MessageID, asked.Qoss
	}
	return reply
}

func TestARefusedSubscriptionSaysWhatToAllow(t *testing.T) {
	subscribed, err := session(t, answering(t, func(p packets.ControlPacket) packets.ControlPacket {
		switch p := p.(type) {
		case *packets.ConnectPacket:
			return packets.NewControlPacket(packets.Connack)
		case *packets.SubscribePacket:
			reply, _ := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			reply.MessageID = p.MessageID
			for range p.Topics {
				reply.ReturnCodes = append(reply.ReturnCodes, refusedQoS)
			}
			return reply
		}
		return nil
	}))
	require.False(t, subscribed)
	require.ErrorIs(t, err, errSubscribe)
	require.ErrorContains(t, err, "access list")
}

func TestARefusedConnectionIsAnError(t *testing.T) {
	const badPassword = 4
	subscribed, err := session(t, answering(t, func(packets.ControlPacket) packets.ControlPacket {
		reply, _ := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
		reply.ReturnCode = badPassword
		return reply
	}))
	require.False(t, subscribed)
	require.ErrorContains(t, err, "connect to the mqtt broker")
}

func TestABrokerThatSpeaksSomethingElseIsAnError(t *testing.T) {
	subscribed, err := session(t, answering(t, func(packets.ControlPacket) packets.ControlPacket {
		return packets.NewControlPacket(packets.Pingresp)
	}))
	require.False(t, subscribed)
	require.Error(t, err)
}
