package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Holder returns a name for this process among all that share a catalog: that of its
// host, which is for people, and what tells those that see each other's processes
// whether it still lives.
func Holder(host string) string {
	pid := os.Getpid()
	return fmt.Sprintf("%s/%s/%d/%s", strings.ReplaceAll(host, "/", "_"), namespace(), pid, startTime(pid))
}

// isDead reports whether a holder was a process of this host that is no more. Of
// other hosts' processes nothing is known.
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
	return born != "" && part[3] != "" && born != part[3] // the number is another's by now
}

// namespace names the processes that see each other's numbers: those of one
// namespace since one start of the kernel. It is "" where that can't be told.
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

// startTime is when a process began, in ticks since the kernel did; see proc(5). It is
// "" where that can't be told.
func startTime(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	end := strings.LastIndex(string(b), ") ") // of the name, which may hold anything
	fields := strings.Fields(string(b)[end+1:])
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}
