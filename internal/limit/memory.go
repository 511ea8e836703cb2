package limit

import (
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
)

const (
	minMemory = 512 << 20
	maxMemory = 4 << 30
	// beside is the resident memory of a process that the limit of Go's runtime does not
	// include: the program itself, and the page cache of SQLite.
	beside = 64 << 20
)

// A Memory is the memory limit of a process; nil is no limit.
type Memory struct {
	limit  int64
	isFull atomic.Bool
	sample []metrics.Sample
}

// LimitMemory limits the memory of the process to that many bytes. 0 means GOMEMLIMIT or
// else half of the memory of the machine or container, from 512 MB to 4 GB.
func LimitMemory(bytes int64) *Memory {
	env := debug.SetMemoryLimit(-1)
	switch {
	case bytes > 0:
	case env != math.MaxInt64:
		bytes = env + beside
	default:
		bytes = min(max(machineMemory()/2, minMemory), maxMemory)
		if c := containerMemory(); c > 0 && bytes > c/4*3 {
			bytes = c / 4 * 3
		}
	}
	debug.SetMemoryLimit(max(bytes-beside, bytes/2))
	return &Memory{limit: bytes, sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}}
}

// Limit returns the limit in bytes, 0 for none.
func (m *Memory) Limit() int64 {
	if m == nil {
		return 0
	}
	return m.limit
}

// check reports whether memory is short: live memory is counted, since collecting garbage
// does not free it. It stays so until a tenth of the limit is free again.
func (m *Memory) check() bool {
	if m == nil {
		return false
	}
	metrics.Read(m.sample)
	alive := int64(0)
	for _, s := range m.sample {
		alive += int64(s.Value.Uint64()) //nolint:gosec // of this machine's memory
	}
	mark := m.limit / 10 * 7
	if m.isFull.Load() {
		mark = m.limit / 10 * 6
	}
	m.isFull.Store(alive > mark)
	return alive > mark
}

func (m *Memory) tight() bool { return m != nil && m.isFull.Load() }

// machineMemory returns the memory of the machine or container by proc(5) and cgroups(7); 0
// if unknown.
func machineMemory() int64 {
	b, _ := os.ReadFile("/proc/meminfo")
	_, rest, _ := strings.Cut(string(b), "MemTotal:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kb, _ := strconv.ParseInt(fields[0], 10, 64)
	if c := containerMemory(); c > 0 {
		return min(kb<<10, c)
	}
	return kb << 10
}

// containerMemory returns the limit of the process's control group, 0 for none.
func containerMemory() int64 {
	self, _ := os.ReadFile("/proc/self/cgroup")
	_, path, _ := strings.Cut(strings.TrimSpace(string(self)), "0::")
	path, _, _ = strings.Cut(path, "\n")
	for _, dir := range []string{path, ""} {
		b, err := os.ReadFile("/sys/fs/cgroup" + dir + "/memory.max")
		if err != nil {
			continue
		}
		n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64) // max means no limit
		return n
	}
	return 0
}
