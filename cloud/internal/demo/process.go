package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const stopLimit = 8 * time.Second

// process is a child whose standard error goes to a log file. It ends with this process, however that ends.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	out  io.ReadCloser
	done chan error // closed after one value
}

// start runs a program that stands beside this one.
func start(ctx context.Context, logDir, name string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own folder: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err = os.Stat(path); err != nil {
		return nil, fmt.Errorf("%s is not beside sightline-demo: run make build", name)
	}
	log, err := os.Create(filepath.Join(logDir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	p := &process{
		name: name,
		cmd:  exec.CommandContext(ctx, path, args...), //nolint:gosec // a program of ours beside this one
		log:  log,
		done: make(chan error, 1),
	}
	p.cmd.Stderr = log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopLimit
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		return nil, errors.Join(fmt.Errorf("pipe of %s: %w", name, err), log.Close())
	}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	return p, nil
}

// firstLine decodes the one JSON line that the child prints when it listens, drains the rest, and watches its
// end.
func (p *process) firstLine(into any) error {
	decoder := json.NewDecoder(p.out)
	err := decoder.Decode(into)
	p.watch()
	if err != nil {
		return fmt.Errorf("%s said nothing of where it listens, see %s: %w", p.name, p.log.Name(), err)
	}
	return nil
}

func (p *process) watch() {
	go func() {
		_, _ = io.Copy(io.Discard, p.out)
		p.done <- p.cmd.Wait()
		close(p.done)
	}()
}

// stop asks the child to end and waits for it.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	err := <-p.done
	return errors.Join(err, p.log.Close())
}
