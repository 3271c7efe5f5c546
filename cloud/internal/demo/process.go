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
	"strings"
	"syscall"
	"time"
)

const stopLimit = 8 * time.Second

// process is a child whose standard error goes to a log file. It ends with this process, however that ends.
type process struct {
	name string
	cmd  *exec.Cmd
	end  context.CancelFunc // asks the child to end, and kills it when it has not within stopLimit
	log  *os.File
	out  io.ReadCloser
	done chan error // closed after one value
}

// beside finds a program that stands beside this one.
func beside(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own folder: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err = os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not beside sightline-demo: run make build", name)
	}
	return path, nil
}

// start runs a program. The end of ctx does not end it: servers and agent outlive the line.
func start(ctx context.Context, logDir, path string, args ...string) (*process, error) {
	name := filepath.Base(path)
	log, err := os.Create(filepath.Join(logDir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	p := &process{
		name: name,
		cmd:  exec.CommandContext(living, path, args...), //nolint:gosec // a program of ours beside this one
		end:  end,
		log:  log,
		done: make(chan error, 1),
	}
	p.cmd.Stderr = log
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopLimit
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if p.out, err = p.cmd.StdoutPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		end()
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	return p, nil
}

// firstLine decodes the one JSON line that the child prints when it listens, drains the rest, and watches its
// end. A child that has not said it by the end of ctx is ended.
func (p *process) firstLine(ctx context.Context, into any) error {
	stopped := context.AfterFunc(ctx, p.end)
	defer stopped()
	err := json.NewDecoder(p.out).Decode(into)
	p.watch()
	if err == nil {
		return nil
	}
	p.end()
	exit := <-p.done
	if ctx.Err() != nil {
		return fmt.Errorf("stopped while %s was starting: %w", p.name, ctx.Err())
	}
	return fmt.Errorf("%s did not start: %s (%w, its log: %s)", p.name, lastLine(p.log.Name()), exit,
		p.log.Name())
}

// lastLine is where a program's log says why it ended.
func lastLine(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return lines[len(lines)-1]
}

func (p *process) watch() {
	go func() {
		_, _ = io.Copy(io.Discard, p.out)
		p.done <- p.cmd.Wait()
		close(p.done)
	}()
}

// stop asks the child to end and waits for it, for stopLimit at most.
func (p *process) stop() error {
	p.end()
	err := <-p.done
	if errors.Is(err, context.Canceled) { // it ended well, as it was asked to
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("stop %s, see %s: %w", p.name, p.log.Name(), err)
	}
	return errors.Join(err, p.log.Close())
}
