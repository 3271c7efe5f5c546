//go:build cgo

package ort

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// signalStack is stack_t of sigaltstack(2).
type signalStack struct {
	at    uintptr
	flags int32
	size  uintptr
}

// undisturbed calls what loads or frees a provider. OpenVINO's plugin for CPUs puts a signal stack of its own
// in the place of Go's, and takes it away on whichever thread frees it: the next signal there, such as Go's
// own by which it parts its threads' time, ends the process. Here the thread has its stack back before a
// signal can come.
func undisturbed(call func() error) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before signalStack
	if err = exchange(nil, &before); err != nil {
		return err
	}
	var held, mask unix.Sigset_t
	for i := range held.Val {
		held.Val[i] = ^held.Val[i]
	}
	for _, fault := range []unix.Signal{ // of this thread's own making: Go tells of them
		unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV,
	} {
		held.Val[0] &^= 1 << (fault - 1)
	}
	if err = unix.PthreadSigmask(unix.SIG_BLOCK, &held, &mask); err != nil {
		return fmt.Errorf("hold signals back: %w", err)
	}
	defer func() {
		err = errors.Join(err, exchange(&before, nil), unix.PthreadSigmask(unix.SIG_SETMASK, &mask, nil))
	}()
	return call()
}

// exchange sets or reads the thread's signal stack.
func exchange(set, was *signalStack) error {
	//nolint:gosec // as sigaltstack(2) takes them
	_, _, code := unix.RawSyscall(unix.SYS_SIGALTSTACK, uintptr(unsafe.Pointer(set)),
		uintptr(unsafe.Pointer(was)), 0)
	if code != 0 {
		return fmt.Errorf("look after the thread's signal stack: %w", code)
	}
	return nil
}
