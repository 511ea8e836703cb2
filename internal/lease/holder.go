package lease

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Holder returns a name for this process that is unique among the processes that share
// a catalog. It contains the host's name for people, and the process ID, PID namespace
// and start time, by which other processes of the host can tell that it has died.
func Holder(host string) string {
	pid := os.Getpid()
	return fmt.Sprintf("%s/%s/%d/%s", strings.ReplaceAll(host, "/", "_"), namespace(), pid, startTime(pid))
}

// isDead reports whether a holder was a process of this host that has ended. It is
// false for processes of other hosts.
func isDead(holder string) bool {
	part := strings.Split(holder, "/")
	if len(part) != 4 || part[1] == "" || part[1] != namespace() {
		return false
	}
	pid, err := strconv.Atoi(part[2])
	if err != nil || pid < 1 {
		return false
	}
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		return true
	}
	born := startTime(pid)
	return born != "" && part[3] != "" && born != part[3] // another process has the number now
}

// namespace identifies the PID namespace and the boot of the kernel: process numbers
// are comparable within it. It is "" if unknown.
func namespace() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte(string(boot) + space))
	return hex.EncodeToString(sum[:6])
}

// startTime is when a process started, in clock ticks since boot; see proc(5). It is ""
// if unknown.
func startTime(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	end := strings.LastIndex(string(b), ") ") // the name may contain anything
	fields := strings.Fields(string(b)[end+1:])
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}
