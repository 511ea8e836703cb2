package limit

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// connected returns the info of a new connection, and its other end.
func connected(t *testing.T, addr string) (*connInfo, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	tcp, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	return &connInfo{client: tcp.(*net.TCPConn), addr: netip.MustParseAddr(addr)}, c.(*net.TCPConn)
}

// TestMain lets the process start a minute ago, so that earlier times are positive.
func TestMain(m *testing.M) {
	began = began.Add(-time.Minute)
	os.Exit(m.Run())
}

// closed reports whether this end of a connection has been closed.
func closed(pl *connInfo) bool { return pl.client.SetDeadline(time.Time{}) != nil }

// TestCloseOrder closes the connections of an address: first those of slow clients, then
// those that have been idle longest, then the rest, new ones last.
func TestCloseOrder(t *testing.T) {
	t.Parallel()
	var conns [7]*connInfo
	for i := range conns {
		conns[i], _ = connected(t, "127.0.0.1")
	}
	now := monotonic() // after the connections, which may take long to open
	ago := func(d time.Duration) int64 { return now - int64(d) }
	states := [len(conns)]struct {
		name           string
		since, waiting int64
	}{
		{"new", -ago(0), 0},
		{"idle", ago(5 * time.Second), 0},
		{"taken up", 0, ago(time.Second)},
		{"slow body", 0, ago(20 * time.Second)},
		{"idle for long", ago(50 * time.Second), 0},
		{"half a head", -ago(8 * time.Second), 0},
		{"slower body", 0, ago(25 * time.Second)},
	}
	of := &peer{conns: map[*connInfo]struct{}{}}
	names := map[*connInfo]string{}
	for i, st := range states {
		pl := conns[i]
		pl.since.Store(st.since)
		pl.waiting.Store(st.waiting)
		of.conns[pl], names[pl] = struct{}{}, st.name
	}
	var got []string
	for range states {
		if !of.close(fresh, 3) {
			t.Fatal("nothing was closed")
		}
		for pl, name := range names {
			if closed(pl) {
				got = append(got, name)
				delete(names, pl)
			}
		}
	}
	want := []string{"slower body", "slow body", "half a head", "idle for long", "idle", "taken up", "new"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("closed in this order (-want +got):\n%s", diff)
	}
}

// TestBudgetRelieved uses up a budget: the slowest connections of the address that holds
// the most are closed, and small requests of others are still accepted.
func TestBudgetRelieved(t *testing.T) {
	t.Parallel()
	b := NewBudget(1 << 20)
	b.relieved = -int64(time.Hour)
	open := func(addr string, bytes int64, slow bool) *connInfo {
		pl, _ := connected(t, addr)
		if slow {
			pl.waiting.Store(1) // since the process began
		} else {
			pl.startWait()
		}
		h := b.open(pl)
		if h == nil || !h.fit(bytes) {
			t.Fatalf("no %d bytes for %s", bytes, addr)
		}
		return pl
	}
	greedy := open("127.0.0.1", 400<<10, true)
	quick := open("127.0.0.1", 100<<10, false)
	modest := open("127.0.0.2", 200<<10, true)
	if _, ok := b.Take(200 << 10); ok {
		t.Fatal("more than the budget was given out")
	}
	if !closed(greedy) || closed(quick) || closed(modest) {
		t.Errorf("closed: the slow one of the address with the most %v, its quick one %v, a slow one of another %v", closed(greedy), closed(quick), closed(modest))
	}
	for range 5 {
		if b.open(nil) == nil {
			t.Error("no room for a small request")
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"192.0.2.7", "192.0.2.7"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"fe80::1%eth0", "fe80::"},
	} {
		if got := counted(netip.MustParseAddr(tt.in)); got != netip.MustParseAddr(tt.want) {
			t.Errorf("%s is counted as %s, want %s", tt.in, got, tt.want)
		}
	}
}
