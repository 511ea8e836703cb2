package lease

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

func TestHolder(t *testing.T) {
	t.Parallel()
	own := Holder("a host/with a slash")
	if namespace() == "" {
		t.Skip("no /proc here")
	}
	part := strings.Split(own, "/")
	with := func(i int, v string) string {
		p := append([]string(nil), part...)
		p[i] = v
		return strings.Join(p, "/")
	}
	child := exec.Command("true")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, holder string
		dead         bool
	}{
		{"this process", own, false},
		{"another with its number", with(3, "1"), true},
		{"one that has ended", with(2, strconv.Itoa(child.Process.Pid)), true},
		{"of another host", with(1, "0123456789ab"), false},
		{"no number", with(2, "x"), false},
		{"a group of processes", with(2, "-1"), false},
		{"a plain name", "worker 1", false},
		{"nothing", "", false},
	}
	for _, tt := range tests {
		if got := isDead(tt.holder); got != tt.dead {
			t.Errorf("%s: isDead(%q) = %v, want %v", tt.name, tt.holder, got, tt.dead)
		}
	}
	if part[2] != strconv.Itoa(os.Getpid()) || part[3] == "" {
		t.Errorf("Holder gives %q", own)
	}
}
