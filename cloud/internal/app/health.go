package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	healthTimeout = 10 * time.Second
	off           = "off"
)

// health serves /metrics, /healthz (the process lives) and /readyz (messages pass).
type health struct {
	listener net.Listener // nil: off
	server   *http.Server
}

func openHealth(listen string, from prometheus.Gatherer, ready func() error) (*health, error) {
	if listen == off {
		return &health{}, nil
	}
	listener, err := net.Listen("tcp", listen) //nolint:noctx // returns at once
	if err != nil {
		return nil, fmt.Errorf("listen for health: %w: choose another address, or off", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(from, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz",
		func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	return &health{listener: listener, server: &http.Server{
		Handler: mux, ReadHeaderTimeout: healthTimeout,
		ReadTimeout: healthTimeout, WriteTimeout: healthTimeout,
	}}, nil
}

// address is host:port, or "" when off.
func (h *health) address() string {
	if h.listener == nil {
		return ""
	}
	return h.listener.Addr().String()
}

// run serves until ctx ends.
func (h *health) run(ctx context.Context) error {
	if h.listener == nil {
		return nil
	}
	stopped := context.AfterFunc(ctx, func() { _ = h.server.Close() })
	defer stopped()
	if err := h.server.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve health: %w", err)
	}
	return nil
}
