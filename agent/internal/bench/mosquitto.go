package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const brokerStart = 5 * time.Second

// server is a mosquitto on a free port of loopback, for one benchmark.
type server struct {
	cmd  *exec.Cmd
	dir  string
	addr string
}

func startMosquitto(ctx context.Context) (*server, error) {
	path, err := findMosquitto()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sightline-bench-")
	if err != nil {
		return nil, fmt.Errorf("make folder for mosquitto: %w", err)
	}
	s := &server{dir: dir, addr: addr}
	if err := s.run(ctx, path); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func findMosquitto() (string, error) {
	if path, err := exec.LookPath("mosquitto"); err == nil {
		return path, nil
	}
	const debian = "/usr/sbin/mosquitto" // not in the PATH of everybody
	if _, err := os.Stat(debian); err != nil {
		return "", errors.New("mosquitto is not installed: run scripts/setup, or name a broker with --broker")
	}
	return debian, nil
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

func (s *server) run(ctx context.Context, path string) error {
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return fmt.Errorf("find a free port: %w", err)
	}
	// Without delay, as docs/plc.md has it: else a result may wait for the acknowledgement of the one before.
	config := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"+
		"max_inflight_messages 0\nmax_queued_messages 0\npersistence false\n", port)
	file := filepath.Join(s.dir, "mosquitto.conf")
	//nolint:forbidigo // a temporary file of one benchmark need not survive a power cut
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return fmt.Errorf("configure mosquitto: %w", err)
	}
	//nolint:gosec // found in PATH or where Debian puts it
	s.cmd = exec.CommandContext(ctx, path, "-c", file)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start mosquitto: %w", err)
	}
	return s.wait(ctx)
}

func (s *server) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, brokerStart)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("mosquitto does not listen: %w", err)
		case <-tick.C:
		}
	}
}

func (s *server) stop() error {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill() // it may have ended with the context
		_ = s.cmd.Wait()
	}
	return os.RemoveAll(s.dir)
}
