//go:build native && cgo && linux

package jpeg2000

/*
#cgo CFLAGS: -O2 -std=gnu11 -Wall -Wextra -fstack-protector-strong
#cgo LDFLAGS: -l:libopenjp2.a -lm
#include "helper.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// startTime limits how long a new helper may take until it greets.
const startTime = 10 * time.Second

// The size of the pipe for pixels: what every user may set, and the command of fcntl(2) for it,
// F_SETPIPE_SZ.
const (
	pipeSize    = 1 << 20
	setPipeSize = 1031
)

// Available reports whether this build decodes JPEG 2000.
func Available() bool { return true }

// Name returns the name and version of the decoder, such as "OpenJPEG 2.5.0"; "" without one.
func Name() string { return "OpenJPEG " + C.GoString(C.openjpeg_version()) }

// startHelper starts a process and waits until its cage is closed.
func startHelper() (*helper, error) {
	var in, out [2]int
	if err := syscall.Pipe2(in[:], syscall.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	if err := syscall.Pipe2(out[:], syscall.O_CLOEXEC); err != nil {
		closeAll(in[:])
		return nil, fmt.Errorf("pipe: %w", err)
	}
	// A tile that fits into the pipe is written by one call. Without this it still works.
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(out[1]), setPipeSize, pipeSize)
	pid := spawn(in[0], out[1])
	closeAll([]int{in[0], out[1]})
	if pid < 0 {
		closeAll([]int{in[1], out[0]})
		return nil, fmt.Errorf("process: %w", syscall.Errno(-pid))
	}
	process, err := os.FindProcess(pid)
	if err != nil { // it ends by the end of its input
		closeAll([]int{in[1], out[0]})
		return nil, err
	}
	h := &helper{in: file(in[1]), out: file(out[0]), pid: pid}
	h.end = func() {
		h.in.Close()
		h.out.Close()
		_ = process.Kill() // it may have ended already
		_, _ = process.Wait()
	}
	if err := h.greet(); err != nil {
		h.end()
		return nil, err
	}
	return h, nil
}

// greet reads the greeting of a new helper.
func (h *helper) greet() error {
	if err := h.out.SetReadDeadline(time.Now().Add(startTime)); err != nil {
		return err
	}
	var b [greetingSize]byte
	if _, err := io.ReadFull(h.out, b[:]); err != nil {
		return fmt.Errorf("it did not greet: %w", err)
	}
	if order.Uint32(b[:]) != greetingMagic {
		return errors.New("it is another program")
	}
	if order.Uint32(b[4:]) != 1 {
		unfiltered()
	}
	return nil
}

// unfiltered warns once that the kernel has no seccomp.
var unfiltered = sync.OnceFunc(func() {
	slog.Warn("the kernel does not filter system calls (seccomp): the JPEG 2000 decoder is confined only by resource limits")
})

// file returns a pipe whose reads and writes end at deadlines.
func file(fd int) *os.File {
	_ = syscall.SetNonblock(fd, true) // the descriptor is open
	return os.NewFile(uintptr(fd), "JPEG 2000 decoder")
}

func closeAll(fds []int) {
	for _, fd := range fds {
		syscall.Close(fd)
	}
}

// A start is a helper to be started.
type start struct {
	in, out int
	pid     chan int
}

// spawner starts processes from one thread that never ends: a helper ends with the thread that
// started it.
var spawner = sync.OnceValue(func() chan<- start {
	c := make(chan start)
	go func() {
		runtime.LockOSThread()
		for s := range c {
			s.pid <- int(C.start_helper(C.int(s.in), C.int(s.out)))
		}
	}()
	return c
})

// spawn returns the id of a new process, or a negative error number.
func spawn(in, out int) int {
	pid := make(chan int)
	spawner() <- start{in, out, pid}
	return <-pid
}
