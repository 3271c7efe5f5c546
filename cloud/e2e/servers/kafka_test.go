package servers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
)

const topicName = "sightline.test"

func write(ctx context.Context, addr, value string) error {
	transport := &kafka.Transport{DialTimeout: time.Second}
	defer transport.CloseIdleConnections()
	writer := &kafka.Writer{
		Addr: kafka.TCP(addr), Topic: topicName, RequiredAcks: kafka.RequireAll, MaxAttempts: 1,
		BatchTimeout: time.Millisecond, WriteTimeout: 2 * time.Second, Transport: transport,
	}
	defer func() { _ = writer.Close() }()
	return writer.WriteMessages(ctx, kafka.Message{Key: []byte("line1"), Value: []byte(value)})
}

func read(t *testing.T, addr string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{addr}, Topic: topicName, MaxWait: 100 * time.Millisecond,
	})
	defer func() { _ = reader.Close() }()
	var values []string
	for range n {
		message, err := reader.ReadMessage(ctx)
		require.NoError(t, err)
		values = append(values, string(message.Value))
	}
	return values
}

func TestKafkaKeepsAddressAndRecordsThroughEveryOutage(t *testing.T) {
	k := NewKafka(t)
	k.CreateTopics(1, topicName)
	require.NoError(t, write(t.Context(), k.Addr(), "first"))

	k.Stop()
	require.Error(t, write(t.Context(), k.Addr(), "while stopped"))
	k.Start()
	require.NoError(t, write(t.Context(), k.Addr(), "second"))

	k.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Error(t, k.answers(ctx), "a paused node must not answer")
	k.Resume()
	require.NoError(t, k.answers(t.Context()))

	k.Kill()
	k.Start()
	require.NoError(t, write(t.Context(), k.Addr(), "third"))
	require.Equal(t, []string{"first", "second", "third"}, read(t, k.Addr(), 3))
}

func TestStartKafkaServesAndEndsWithItsTest(t *testing.T) {
	var addr string
	t.Run("serves", func(t *testing.T) {
		addr = StartKafka(t)
		conn, err := kafka.DialContext(t.Context(), "tcp", addr)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	})
	_, err := kafka.DialContext(t.Context(), "tcp", addr)
	require.Error(t, err, "the node must have ended")
}

func TestAMissingServerSaysWhatToRun(t *testing.T) {
	t.Run("jars", func(t *testing.T) {
		_, _, err := locateKafka(t.TempDir())
		require.ErrorContains(t, err, "run scripts/setup --tests")
	})
	t.Run("java", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, _, err := locateKafka(repositoryRoot())
		require.ErrorContains(t, err, "run scripts/setup --tests")
	})
	t.Run("mosquitto", func(t *testing.T) {
		_, err := locateMosquitto("mosquitto-that-nobody-has")
		require.ErrorContains(t, err, "run scripts/setup --tests")
	})
}

func TestFreePortsDifferAndStayOutOfTheClientsRange(t *testing.T) {
	ports, err := freePorts(20)
	require.NoError(t, err)
	seen := map[int]bool{}
	for _, port := range ports {
		require.False(t, seen[port], fmt.Sprint(ports))
		require.True(t, port >= firstPort && port < lastPort, fmt.Sprint(ports))
		seen[port] = true
	}
}
