package health

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"
)

// Systemd is what the service manager asked for. Without a socket nothing is sent.
type Systemd struct {
	Socket   string        // path, or @name of an abstract socket
	Watchdog time.Duration // it restarts a process that is silent for so long; 0: never
}

// FromEnvironment reads $NOTIFY_SOCKET and $WATCHDOG_USEC.
func FromEnvironment() Systemd {
	s := Systemd{Socket: os.Getenv("NOTIFY_SOCKET")}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	pid := os.Getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		s.Watchdog = time.Duration(usec) * time.Microsecond
	}
	return s
}

// watch reports ready, feeds the watchdog while the process is alive, and reports the end.
func (s Systemd) watch(ctx context.Context, alive func() error, log *slog.Logger) {
	s.tell(ctx, "READY=1", log)
	defer s.tell(context.WithoutCancel(ctx), "STOPPING=1", log)
	if s.Socket == "" || s.Watchdog <= 0 {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(s.Watchdog / 3)
	defer ticker.Stop()
	for {
		if err := alive(); err != nil {
			log.ErrorContext(ctx, "watchdog not fed, the agent will be restarted", "error", err)
		} else {
			s.tell(ctx, "WATCHDOG=1", log)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s Systemd) tell(ctx context.Context, state string, log *slog.Logger) {
	if s.Socket == "" {
		return
	}
	if err := s.send(ctx, state); err != nil {
		log.WarnContext(ctx, "service manager not told", "state", state, "error", err)
	}
}

func (s Systemd) send(ctx context.Context, state string) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unixgram", s.Socket)
	if err != nil {
		return fmt.Errorf("open notify socket: %w", err)
	}
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte(state))
	return err
}
