//go:build cgo

package main

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

const inheritedSocket = 3

// Of oom_score_adj, the highest of which is 1000: who tries a bundle goes before who inspects.
const (
	expendable     = "500"
	mostExpendable = "1000"
)

// confine lets the kernel end this process with its supervisor, and bounds its memory if asked to.
func confine(memoryLimit uint64) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("ask to end with the supervisor: %w", err)
	}
	if memoryLimit == 0 {
		return nil
	}
	limit := unix.Rlimit{Cur: memoryLimit, Max: memoryLimit}
	if err := unix.Setrlimit(unix.RLIMIT_AS, &limit); err != nil {
		return fmt.Errorf("limit memory to %d bytes: %w", memoryLimit, err)
	}
	return nil
}

// forbidCoreDumps keeps what this process holds in memory, passwords of cameras among it, out of files. Who
// wants a dump says so to Go, as GOTRACEBACK=crash: the limits are then as they were.
func forbidCoreDumps() error {
	if os.Getenv("GOTRACEBACK") == "crash" {
		return nil
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}

// goFirst asks the kernel to end this process before all others when memory runs out: the supervisor then
// starts another, while the supervisor's own end would cost open parts. To raise one's own score needs no
// privilege.
func goFirst(trial bool) error {
	f, err := os.OpenFile("/proc/self/oom_score_adj", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open own score: %w", err)
	}
	score := expendable
	if trial {
		score = mostExpendable
	}
	_, err = f.WriteString(score)
	return errors.Join(err, f.Close())
}

// connect takes the inherited socket, else dials the path.
func connect(path string) (net.Conn, error) {
	if path != "" {
		conn, err := (&net.Dialer{}).Dial("unix", path)
		if err != nil {
			return nil, fmt.Errorf("connect to the supervisor: %w", err)
		}
		return conn, nil
	}
	file := os.NewFile(inheritedSocket, "supervisor")
	if file == nil {
		return nil, errors.New("no socket: the agent starts this program; by hand, give --socket")
	}
	defer func() { _ = file.Close() }()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d is no socket: the agent starts this program; "+
			"by hand, give --socket: %w", inheritedSocket, err)
	}
	return conn, nil
}
