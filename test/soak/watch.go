package soak

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Sample is the resource use of a process at one time.
type Sample struct {
	Resident   int64 // bytes
	Goroutines int
	Files      int // open
}

func (s Sample) String() string {
	return fmt.Sprintf("%d MB, %d goroutines, %d files", s.Resident>>20, s.Goroutines, s.Files)
}

// larger returns the maximum of each value.
func (s Sample) larger(o Sample) Sample {
	return Sample{max(s.Resident, o.Resident), max(s.Goroutines, o.Goroutines), max(s.Files, o.Files)}
}

// A watch samples a process periodically.
type watch struct {
	t  *Target
	mu sync.Mutex
	s  Sample // the largest since begin
}

func (w *watch) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		s := Sample{Resident: w.resident()}
		if n%5 == 0 { // these are expensive for the server
			s = w.sample()
		}
		w.mu.Lock()
		w.s = w.s.larger(s)
		w.mu.Unlock()
		time.Sleep(200 * time.Millisecond)
	}
}

func (w *watch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.s = Sample{}
}

func (w *watch) peak() Sample {
	now := w.sample()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.s = w.s.larger(now)
	return w.s
}

// sample takes one sample. Unknown values are 0.
func (w *watch) sample() Sample {
	files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.t.PID))
	return Sample{w.resident(), w.goroutines(), len(files)}
}

// resident is VmRSS of proc(5).
func (w *watch) resident() int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.t.PID))
	_, rest, _ := bytes.Cut(b, []byte("VmRSS:"))
	f := strings.Fields(string(rest[:min(len(rest), 40)]))
	if len(f) == 0 {
		return 0
	}
	kb, _ := strconv.ParseInt(f[0], 10, 64)
	return kb << 10
}

var figures = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func (w *watch) goroutines() int {
	resp, err := figures.Get("http://" + w.t.Debug + "/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), "go_goroutines "); ok {
			n, _ := strconv.ParseFloat(v, 64)
			return int(n)
		}
	}
	return 0
}
