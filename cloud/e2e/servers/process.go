package servers

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// stopGrace is how long a server may take to end after SIGTERM before it is killed. Kafka on a busy
// two-core machine needs about two seconds.
const stopGrace = 20 * time.Second

// process is one run of a server. It is not safe for concurrent use.
type process struct {
	cmd    *exec.Cmd
	log    *Tail
	exited chan struct{} // closed after Wait has returned; err is set before
	err    error
}

// spawn starts path with args. The child dies with the test binary, even when that is killed.
func spawn(path string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(context.Background(), path, args...), log: &Tail{}}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.exited = make(chan struct{})
	started := make(chan error)
	go p.own(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// own starts the child and waits for it on one thread: the kernel delivers the parent-death signal
// when the thread that forked ends, not when the process does.
func (p *process) own(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.exited)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.err = p.cmd.Wait()
	}
}

// alive reports whether the process has not ended.
func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// signal sends sig. A process that has ended already is no error.
func (p *process) signal(sig syscall.Signal) error {
	err := syscall.Kill(p.cmd.Process.Pid, sig)
	if !p.alive() || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// stop ends the process in order, or by force after stopGrace, and waits for its end. A paused process
// is continued first, because SIGTERM stays pending on it otherwise.
func (p *process) stop() error {
	if !p.alive() {
		return nil
	}
	if err := errors.Join(p.signal(syscall.SIGTERM), p.signal(syscall.SIGCONT)); err != nil {
		return fmt.Errorf("terminate %s: %w", p.cmd.Path, err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopGrace):
		return p.kill()
	}
}

// kill ends the process as a power cut does and waits for its end.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", p.cmd.Path, err)
	}
	<-p.exited
	return nil
}

// await polls ready until it succeeds, the process ends or limit passes.
func (p *process) await(limit time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	last := errors.New("not asked yet")
	for {
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended before it was ready: %w", p.cmd.Path, p.cause())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %w", p.cmd.Path, limit, last)
		case <-poll.C:
		}
		if last = ready(ctx); last == nil && p.alive() {
			return nil
		}
	}
}

// cause is why the process ended; call it only when it has.
func (p *process) cause() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// show prints the log's tail when the test has failed.
func (p *process) show(tb testing.TB, name string) {
	tb.Helper()
	if p != nil && tb.Failed() {
		tb.Logf("last lines of %s:\n%s", name, p.log)
	}
}

// must fails the test at once when a server could not be steered.
func must(tb testing.TB, step string, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("%s: %v", step, err)
	}
}
