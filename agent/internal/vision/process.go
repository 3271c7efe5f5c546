package vision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Executable launches the worker at path: the socket is its file descriptor 3, its standard error goes to the
// log line by line, and it dies with the thread that launched it.
func Executable(path string, args []string, log *slog.Logger) func(context.Context) (Process, error) {
	return func(ctx context.Context) (Process, error) { return launch(ctx, path, args, log) }
}

// executed is a worker in a process of its own.
type executed struct {
	command *exec.Cmd
	conn    net.Conn
	stderr  *os.File
	logged  chan struct{}
	reap    sync.Once
	ended   chan struct{}
	how     error
}

func launch(ctx context.Context, path string, args []string, log *slog.Logger) (*executed, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirs.Close() }()
	reading, writing, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make worker's stderr pipe: %w", err), ours.Close())
	}
	defer func() { _ = writing.Close() }()
	//nolint:gosec,noctx // the path is the operator's configuration; Kill and Pdeathsig end it
	command := exec.Command(path, args...)
	command.Stderr = writing
	command.ExtraFiles = []*os.File{theirs}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start vision worker, check worker.path: %w", err), ours.Close(),
			reading.Close())
	}
	p := &executed{
		command: command, conn: ours, stderr: reading,
		logged: make(chan struct{}), ended: make(chan struct{}),
	}
	go func() {
		defer close(p.logged)
		logLines(ctx, reading, log)
	}()
	return p, nil
}

func (p *executed) Conn() net.Conn { return p.conn }

// Kill kills the whole process group. The leader is not yet reaped or its group still exists, else nothing is
// hit: a pid is not given to another process while a group of that number lives.
func (p *executed) Kill() {
	select {
	case <-p.ended:
		return
	default:
	}
	_ = unix.Kill(-p.command.Process.Pid, unix.SIGKILL)
}

// Wait may be called more than once and by several goroutines.
func (p *executed) Wait() error {
	p.reap.Do(func() {
		p.how = p.command.Wait()
		_ = unix.Kill(-p.command.Process.Pid, unix.SIGKILL) // what it left behind would hold our pipe open
		p.drain()
		close(p.ended)
	})
	<-p.ended
	return p.how
}

// drain lets the last lines reach the log, which tell why it died.
func (p *executed) drain() {
	timer := time.AfterFunc(goodbye, func() { _ = p.stderr.Close() })
	<-p.logged
	timer.Stop()
	_ = p.stderr.Close()
}

// socketPair returns our end as a connection and the worker's as a file.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make worker's socket: %w", err)
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), "supervisor"), os.NewFile(uintptr(fds[1]), "worker")
	conn, err := net.FileConn(mine)
	if err = errors.Join(err, mine.Close()); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("take worker's socket: %w", err), theirs.Close())
	}
	return conn, theirs, nil
}
