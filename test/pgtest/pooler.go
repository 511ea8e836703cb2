package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/slideatlas/ptiffstore/test/unprivileged"
)

// poolerPort is the port of PgBouncer, only part of the socket's name.
const poolerPort = "6432"

// Pool starts PgBouncer in front of the database at dsn, in a pool mode such as "session",
// with further lines of its configuration, and returns the URL of the database through it.
// The test is skipped if PgBouncer is not installed.
func Pool(t testing.TB, dsn, mode string, lines ...string) string {
	t.Helper()
	program, err := exec.LookPath("/usr/sbin/pgbouncer")
	if err != nil {
		t.Skip("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
	}
	behind, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "pgbouncer")
	if err != nil {
		t.Fatal(err)
	}
	ini := fmt.Sprintf(`[databases]
* = host=%s port=%s user=postgres
[pgbouncer]
auth_type = any
unix_socket_dir = %s
listen_port = %s
pool_mode = %s
default_pool_size = 100
`, behind.Query().Get("host"), port, dir, poolerPort, mode)
	for _, l := range lines {
		ini += l + "\n"
	}
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(ini), 0o644); err != nil { //nolint:gosec // another user reads it
		t.Fatal(err)
	}
	runPooler(t, dir, program, file)
	behind.RawQuery = url.Values{"host": {dir}, "port": {poolerPort}}.Encode()
	awaitPooler(t, behind.String(), dir)
	return behind.String()
}

// runPooler runs PgBouncer until the test ends.
func runPooler(t testing.TB, dir, program, file string) {
	t.Helper()
	account, err := unprivileged.HandOver(dir, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{dir: dir, account: account}
	cmd := exec.Command("/bin/sh", "-c", keep, dir, "TERM", program, file)
	s.prepare(cmd)
	alive, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		alive.Close()
		cmd.Wait() //nolint:errcheck // its status is that of the last command in it
	})
}

// awaitPooler returns when the database answers through the pooler in dir.
func awaitPooler(t testing.TB, dsn, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			conn.Close(ctx) //nolint:errcheck // it was only tried
			return
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("PgBouncer does not answer: %v\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
