package socket

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// folder returns a new folder whose path is short enough for a socket.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		address, want string // the beginning of the error, "" for none
	}{
		{"127.0.0.1:80", ""},
		{":80", ""},
		{"[::1]:0", ""},
		{"unix:/run/a.sock", ""},
		{"unix:/" + strings.Repeat("a", maxPath-1), ""},
		{"unix:/" + strings.Repeat("a", maxPath), "the path of a Unix socket has at most"},
		{"unix:", "a Unix socket needs an absolute path"},
		{"unix:a.sock", "a Unix socket needs an absolute path"},
		{"unix:@abstract", "a Unix socket needs an absolute path"},
		{"127.0.0.1", "address 127.0.0.1: missing port"},
		{"", "missing port"},
	} {
		if err := Check(tt.address); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%q: %v, want %q", tt.address, err, tt.want)
		}
	}
}

// TestListen listens at paths where something is already.
func TestListen(t *testing.T) {
	t.Parallel()
	stale := func(t *testing.T, path string) {
		t.Helper()
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		o       Options
		want    string // part of the error, "" for none
		mode    fs.FileMode
	}{
		{"nothing", func(*testing.T, string) {}, Options{}, "", 0o660},
		{"nothing, open to all", func(*testing.T, string) {}, Options{Mode: 0o666}, "", 0o666},
		{"own group", func(*testing.T, string) {}, Options{Group: strconv.Itoa(os.Getegid())}, "", 0o660},
		{"unknown group", func(*testing.T, string) {}, Options{Group: "nonesuch"}, `unknown group "nonesuch"`, 0},
		{"left behind", stale, Options{}, "", 0o660},
		{"left behind before it was complete", func(t *testing.T, path string) { stale(t, path+newSuffix) }, Options{}, "", 0o660},
		{"a running server", func(t *testing.T, path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, Options{}, "another process listens there", 0},
		{"a file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("slide"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, Options{}, "is not a socket", 0},
		{"a link to a socket", func(t *testing.T, path string) {
			stale(t, path+"-other")
			if err := os.Symlink(path+"-other", path); err != nil {
				t.Fatal(err)
			}
		}, Options{}, "is not a socket", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(folder(t), "a.sock")
			tt.prepare(t, path)
			before, _ := os.Lstat(path)
			l, err := Listen("unix:"+path, tt.o)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %q", err, tt.want)
				}
				if after, _ := os.Lstat(path); (before == nil) != (after == nil) || before != nil && !os.SameFile(before, after) {
					t.Error("the file was touched")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			fi, err := os.Lstat(path)
			if err != nil || fi.Mode() != fs.ModeSocket|tt.mode {
				t.Errorf("%v, %v, want mode %v", fi.Mode(), err, tt.mode)
			}
			if got := Address(l.Addr()); got != "unix:"+path {
				t.Errorf("address %s", got)
			}
			dial, host, err := Dialer("unix:" + path)
			if err != nil || host != "localhost" {
				t.Fatal(host, err)
			}
			c, err := dial(t.Context(), "tcp", "localhost:80")
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			l.Close()
			list, err := os.ReadDir(filepath.Dir(path))
			if err != nil || len(list) != 0 {
				t.Errorf("after Close: %v, %v", list, err)
			}
		})
	}
}

// TestListenAtOnce starts several servers at one path: one of them gets it.
func TestListenAtOnce(t *testing.T) {
	t.Parallel()
	address := "unix:" + filepath.Join(folder(t), "a.sock")
	var mu sync.Mutex
	var won int
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			l, err := Listen(address, Options{})
			if err == nil {
				t.Cleanup(func() { l.Close() })
				mu.Lock()
				won++
				mu.Unlock()
			} else if !errors.Is(err, syscall.EADDRINUSE) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d servers listen", won)
	}
}

// TestCloseOfReplaced closes a listener whose path another server has taken.
func TestCloseOfReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(folder(t), "a.sock")
	first, err := Listen("unix:"+path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := Listen("unix:"+path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other server's socket: %v", err)
	}
}
