package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/sightline-edge/sightline/agent/topic"
	"github.com/sightline-edge/sightline/cloud/e2e/servers"
	"github.com/sightline-edge/sightline/cloud/internal/record"
)

// accessList is the one of docs/cloud.md.
const accessList = `user bridge
topic read sightline/v1/+/+/+/+/+/inspection
topic read sightline/v1/+/+/+/+/+/state
topic read sightline/v1/+/+/+/+/+/metrics
topic read sightline/v1/+/+/+/+/+/update
topic read sightline/v1/+/+/+/+/+/evidence/#
user node
topic write sightline/v1/acme/dongguan/smt/line3/#
`

func TestTheBridgeNeedsNoMoreThanTheRightsThatItsGuideGives(t *testing.T) {
	broker := servers.StartMosquitto(t, servers.MosquittoOptions{
		TLS: true, ClientCertificate: true, ACL: accessList,
		Users: map[string]string{"bridge": "b", "node": "n"},
	})
	server := servers.NewKafka(t)
	authority, certificate, key := broker.Files()
	flags := func(user, password string) []string {
		file := filepath.Join(t.TempDir(), "password")
		require.NoError(t, os.WriteFile(file, []byte(password+"\n"), 0o600))
		return []string{
			"--mqtt", broker.URL(), "--mqtt-ca-file", authority, "--mqtt-cert-file", certificate,
			"--mqtt-key-file", key, "--mqtt-username", user, "--mqtt-password-file", file,
			"--kafka", server.Addr(), "--evidence-dir", t.TempDir(),
		}
	}
	bridge := startBridge(t, flags("bridge", "topsecret")...)
	require.Eventually(t, func() bool {
		return strings.Contains(bridge.log.String(),
			"connect to the mqtt broker")
	},
		patience, 20*time.Millisecond)
	code, _ := bridge.get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	bridge.end(t, stopGently)
	require.NotContains(t, bridge.log.String(), "topsecret")
	startBridge(t, flags("bridge", "b")...).ready(t)
	node := newNode(t, broker.URL())
	node.options.SetUsername("node").SetPassword("n").SetTLSConfig(broker.TLSConfig())
	node.publish(station(1).Topic(topic.Inspection), inspection(t, 1, 0, 0))
	follow(t, server.Addr(), record.Inspections,
		func(m kafka.Message) bool { return head(m, "ce_id") == "1-0" })
}
