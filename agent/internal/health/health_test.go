package health_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sightline-edge/sightline/agent/internal/broker"
	"github.com/sightline-edge/sightline/agent/internal/evidence"
	"github.com/sightline-edge/sightline/agent/internal/health"
	"github.com/sightline-edge/sightline/agent/internal/outbox"
	"github.com/sightline-edge/sightline/agent/internal/samples"
	"github.com/sightline-edge/sightline/agent/internal/uplink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(tb testing.TB, o health.Options) *health.Server {
	tb.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	s, err := health.Start(tb.Context(), o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

func get(tb testing.TB, s *health.Server, path string) (status int, body string) {
	tb.Helper()
	url := "http://" + s.Address() + path
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(tb, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	require.NoError(tb, err)
	b, err := io.ReadAll(response.Body)
	require.NoError(tb, err)
	require.NoError(tb, response.Body.Close())
	return response.StatusCode, string(b)
}

func TestReadinessNamesTheStationThatIsNotReady(t *testing.T) {
	stations := []health.Station{
		{Station: "a/b/c/l/s1", Ready: true, State: "Ready"},
		{Station: "a/b/c/l/s2", State: "Error", Reason: "camera unplugged"},
	}
	s := start(t, health.Options{Stations: func() []health.Station { return stations }})
	status, body := get(t, s, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"ready":false,"stations":[{"station":"a/b/c/l/s1","ready":true,"state":"Ready"},
		{"station":"a/b/c/l/s2","ready":false,"state":"Error","reason":"camera unplugged"}]}`, body)
	stations[1].Ready = true
	status, _ = get(t, s, "/readyz")
	require.Equal(t, http.StatusOK, status)
}

func TestLivenessFollowsAlive(t *testing.T) {
	var sick atomic.Bool
	s := start(t, health.Options{Alive: func() error {
		if sick.Load() {
			return errors.New("station actor is stuck")
		}
		return nil
	}})
	status, _ := get(t, s, "/healthz")
	require.Equal(t, http.StatusOK, status)
	sick.Store(true)
	status, body := get(t, s, "/healthz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "stuck")
}

func TestMetricsShowTheWayToTheCloud(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(health.Durability{
		Outbox:   func() outbox.Stats { return outbox.Stats{Backlog: 7, Dropped: [2]uint64{3, 1}} },
		Uplink:   func() uplink.Stats { return uplink.Stats{Sent: 5} },
		Link:     func() broker.Stats { return broker.Stats{Takeovers: 2, Failures: 8} },
		Evidence: func() evidence.Stats { return evidence.Stats{Bytes: 9} },
		Samples:  func() samples.Stats { return samples.Stats{Count: 4, Evicted: 6} },
	})
	s := start(t, health.Options{Metrics: registry})
	status, body := get(t, s, "/metrics")
	require.Equal(t, http.StatusOK, status)
	for _, line := range []string{
		"sightline_samples 4", "sightline_samples_evicted_total 6",
		"sightline_outbox_backlog 7", `sightline_outbox_dropped_total{priority="normal"} 3`,
		`sightline_outbox_dropped_total{priority="high"} 1`, "sightline_uplink_sent_total 5",
		"sightline_uplink_takeovers_total 2", "sightline_uplink_failures_total 8",
		"sightline_evidence_bytes 9",
	} {
		require.Contains(t, body, line)
	}
}

func TestTakenAddressSaysWhatToDo(t *testing.T) {
	s := start(t, health.Options{})
	o := health.Options{Listen: s.Address(), Metrics: prometheus.NewRegistry()}
	_, err := health.Start(t.Context(), o)
	require.ErrorContains(t, err, "health.listen")
}

func TestServiceManagerIsFedWhileAliveOnly(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "unixgram", socket)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	read := func() string {
		buf := make([]byte, 64)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
		n, _, err := conn.ReadFrom(buf)
		require.NoError(t, err)
		return string(buf[:n])
	}
	var sick atomic.Bool
	asked := make(chan struct{}, 1000)
	s := start(t, health.Options{
		Listen: health.Off, Systemd: health.Systemd{Socket: socket, Watchdog: 30 * time.Millisecond},
		Alive: func() error {
			asked <- struct{}{}
			if sick.Load() {
				return errors.New("stuck")
			}
			return nil
		},
	})
	require.Empty(t, s.Address())
	require.Equal(t, "READY=1", read())
	require.Equal(t, "WATCHDOG=1", read())
	require.Equal(t, "WATCHDOG=1", read())
	sick.Store(true)
	for range 5 + len(asked) {
		<-asked
	}
	require.NoError(t, s.Close())
	for last := ""; last != "STOPPING=1"; {
		last = read() // at most what was under way, then the end
	}
}

func TestEnvironmentOfAnotherProcessIsIgnored(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "@sd")
	t.Setenv("WATCHDOG_USEC", "30000000")
	t.Setenv("WATCHDOG_PID", "1")
	require.Equal(t, health.Systemd{Socket: "@sd"}, health.FromEnvironment())
	t.Setenv("WATCHDOG_PID", "")
	require.Equal(t, 30*time.Second, health.FromEnvironment().Watchdog)
}
