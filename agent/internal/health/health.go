// Package health tells the outside how the agent is: metrics for Prometheus, liveness and readiness over
// HTTP, and the watchdog of systemd.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Off as the address to listen on means that there is no HTTP.
const Off = "off"

const (
	readTimeout    = 5 * time.Second
	writeTimeout   = 10 * time.Second
	maxHeaderBytes = 8 << 10
	closeTimeout   = 2 * time.Second
)

// Station is the readiness of one station.
type Station struct {
	Station string `json:"station"` // its path
	Ready   bool   `json:"ready"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
}

// Options have defaults; Listen and Metrics must be set.
type Options struct {
	Listen  string              // 127.0.0.1:9120, or Off
	Metrics prometheus.Gatherer // the agent's own registry
	// Stations is asked at each request for readiness. All must be ready.
	Stations func() []Station
	// Alive returns why the process should be restarted, or nil. It must answer at once. Default: always
	// alive.
	Alive   func() error
	Systemd Systemd
	Log     *slog.Logger
}

// Server answers until it is closed. It is safe for concurrent use; it calls Stations and Alive so, too.
type Server struct {
	options  Options
	listener net.Listener
	http     *http.Server
	cancel   context.CancelFunc
	owned    sync.WaitGroup
}

// Start listens, and tells systemd that the agent is ready.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Alive == nil {
		o.Alive = func() error { return nil }
	}
	if o.Stations == nil {
		o.Stations = func() []Station { return nil }
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{options: o, cancel: cancel}
	if o.Listen != Off {
		if err := s.listen(ctx); err != nil {
			cancel()
			return nil, err
		}
	}
	s.owned.Go(func() { o.Systemd.watch(ctx, o.Alive, o.Log) })
	return s, nil
}

func (s *Server) listen(ctx context.Context) error {
	var err error
	s.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", s.options.Listen)
	if err != nil {
		return fmt.Errorf("listen for metrics and readiness, change health.listen or set it to off: %w", err)
	}
	if a, ok := s.listener.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		s.options.Log.WarnContext(ctx, "metrics and readiness are open to the network", "address", a.String())
	}
	s.http = &http.Server{
		Handler: s.routes(), MaxHeaderBytes: maxHeaderBytes,
		ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		ErrorLog: slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug),
	}
	s.owned.Go(func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.options.Log.ErrorContext(ctx, "metrics and readiness have ended", "error", err)
		}
	})
	return nil
}

// Address is where it listens, empty when Off.
func (s *Server) Address() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Close tells systemd, finishes running requests for two seconds at most, and waits.
func (s *Server) Close() error {
	s.cancel()
	var err error
	if s.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		err = s.http.Shutdown(ctx)
	}
	s.owned.Wait()
	return err
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.options.Metrics, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: writeTimeout,
	}))
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	return mux
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := s.options.Alive(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	body := struct {
		Ready    bool      `json:"ready"`
		Stations []Station `json:"stations"`
	}{Ready: true, Stations: s.options.Stations()}
	for _, station := range body.Stations {
		body.Ready = body.Ready && station.Ready
	}
	w.Header().Set("Content-Type", "application/json")
	if !body.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.options.Log.DebugContext(r.Context(), "readiness not delivered", "error", err)
	}
}
