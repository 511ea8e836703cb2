package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/task"
	"github.com/slideatlas/ptiffstore/test/pgtest"
	"github.com/slideatlas/ptiffstore/test/unprivileged"
)

// sick lists problems of a site: how they are caused, and the findings expected. There
// may be no others.
var sick = []struct {
	name string
	make func(*site)
	want []string // patterns of the findings that are not good, in their order
}{
	{"no data folder", func(s *site) {
		s.must(os.RemoveAll(s.dir))
		s.idle = true
	}, []string{`wrong database: .* does not exist → .*restore`, `wrong data directory: .* does not exist`, `unknown stores: .* → fix the database first`}},
	{"a file for the data folder", func(s *site) {
		s.must(os.RemoveAll(s.dir))
		s.must(os.WriteFile(s.dir, nil, 0o600))
		s.idle = true
	}, []string{`wrong database: `, `wrong data directory: .* is not a folder`, `unknown stores`}},
	{"a database that others may read", func(s *site) {
		s.must(os.Chmod(s.dir, 0o755))
		s.must(os.Chmod(filepath.Join(s.dir, "catalog.db"), 0o644))
	}, []string{`wrong data directory: .*catalog.db can be read by every user .* → chmod 700`}},
	{"a nearly full disk of slides", func(s *site) {
		managedStore(s, func(string) {})
		s.Free = func(dir string) (int64, error) {
			if dir == s.dir {
				return 1 << 40, nil
			}
			return 8 << 30, nil
		}
	}, []string{`warning store "Archive" .*: only 8.0 GB are free, less than the size of a large slide → free space`}},
	{"a cache larger than the disk", func(s *site) { s.CacheSize = 1 << 60 }, []string{`warning data directory: .* are free, and the image cache may grow by .* → use --cache-size`}},
	{"a damaged database", func(s *site) {
		path := filepath.Join(s.dir, "catalog.db")
		b, err := os.ReadFile(path)
		s.must(err)
		for i := len(b) / 2; i < len(b)/2+20000 && i < len(b); i++ {
			b[i] = 0xA5
		}
		s.must(os.WriteFile(path, b, 0o600))
		s.idle = true
	}, []string{`wrong database: .*(damaged|cannot read|cannot be read).* → .*restore`, `.*`}},
	{"no database", func(s *site) {
		s.must(os.WriteFile(filepath.Join(s.dir, "catalog.db"), []byte("these are no tables, not at all"), 0o600))
		s.idle = true
	}, []string{`wrong database: cannot read it: .*damaged.* → .*ptiffstore restore`, `unknown stores`}},
	{"a database of a newer program", func(s *site) {
		newer(s, 9999)
		s.idle = true
	}, []string{`wrong database: the tables of catalog have version 9999, and this program \(v1.2.3\) knows \d+: it refuses to start → use the newer program`, `unknown stores`}},
	{"a database that no server has run on", func(s *site) {
		s.sql(`DROP TABLE river_migration`)
		s.idle = true
	}, []string{`warning database: the tables of queues do not exist yet: no server has run on it → start ptiffstore serve`, `unknown stores`}},
	{"no such scheme", func(s *site) {
		s.Database, s.idle = "mysql://hunter2@db/x", true
	}, []string{`wrong database: .*invalid database URL: use sqlite`, `unknown stores`}},

	{
		"a folder that is away", func(s *site) { s.must(os.RemoveAll(s.root)) },
		[]string{`wrong store "Scanner 1" \(\w+\): its folder .* does not exist → mount its disk`},
	},
	{"another folder in its place", func(s *site) {
		s.must(os.Rename(s.root, s.root+".old"))
		s.must(os.Mkdir(s.root, 0o700))
	}, []string{`wrong store .*: .* is not the same folder as at the last scan: check that its disk is mounted → mount its disk; .*--confirm`}},
	{"broken images", func(s *site) {
		s.catalog(func(c *catalog.Catalog) {
			s.must(c.Images.Put(s.t.Context(), []*catalog.Image{
				{StoreID: s.store, Path: patient + "2.tiff", State: catalog.Broken},
				{StoreID: s.store, Path: patient + "3.tiff", State: catalog.Broken},
				{StoreID: s.store, Path: patient + "4.tiff", State: catalog.Quarantined},
			}))
		})
	}, []string{`warning store .*: 2 images are broken → .*retry IMAGE`, `warning store .*: 1 image is quarantined`}},
	{"an invalid schedule", func(s *site) {
		s.edit(func(st *catalog.Store) { st.Schedule = "sometimes" })
	}, []string{`wrong store .*"sometimes" is neither an interval like 15m nor five fields .* → ptiffstore store set`}},
	{"an unknown time zone", func(s *site) {
		s.edit(func(st *catalog.Store) { st.Verify, st.TimeZone = "0 3 * * *", "Mars/Olympus" })
	}, []string{`wrong store .*unknown time zone "Mars/Olympus"`}},
	{"an old scan", func(s *site) {
		s.idle = true
		old := time.Now().Add(-3 * time.Hour)
		s.catalog(func(c *catalog.Catalog) {
			s.must(c.Workers.Beat(s.t.Context(), catalog.Worker{ID: "w", Host: "here", Version: version, Queues: []string{"default"}, StartedAt: old}))
		})
		s.edit(func(st *catalog.Store) { st.LastSync = &old })
	}, []string{`wrong store .*: its last complete scan was 3 hours ago → .*--dry-run`, `wrong watches: no worker watches the store "Scanner 1" .*although one is alive → see the log of its worker`}},
	{"a process that is degraded", func(s *site) {
		s.Listen = serves(s.t, "ready, but degraded\nwatch: 2 of 3 failing since 2026-01-01T00:00:00Z: the database is unavailable\n")
	}, []string{`wrong background 127.*: watch: 2 of 3 failing since .*: the database is unavailable → see the log of the process`}},
	{"a managed store without its marker", func(s *site) {
		managedStore(s, func(root string) { s.must(os.Remove(filepath.Join(root, ".ptiffstore-store"))) })
	}, []string{`wrong store "Archive" .*has no file .ptiffstore-store.* → mount its disk`}},
	{"a managed store with another's marker", func(s *site) {
		managedStore(s, func(root string) {
			s.must(os.WriteFile(filepath.Join(root, ".ptiffstore-store"), []byte("other\n"), 0o644))
		})
	}, []string{`wrong store "Archive" .*is the folder of another store, other → mount the right disk`}},
	{"a managed store without its incoming folder", func(s *site) {
		managedStore(s, func(root string) { s.must(os.RemoveAll(filepath.Join(root, "incoming"))) })
	}, []string{`wrong store "Archive" .*incoming folder .* does not exist → create it`, `wrong store "Archive" .*cannot scan its folder`}},

	{"no worker", func(s *site) { s.idle = true }, []string{`warning workers: no worker is alive`}},
	{"a queue without workers", func(s *site) {
		s.withTasks(func(j *task.Service) {
			_, err := j.Submit(s.t.Context(), task.Submission{Kind: task.SyncStore, Queue: "autosync", Store: s.store})
			s.must(err)
		})
	}, []string{`wrong workers: in the queue autosync 1 task waits for a worker for \d+ seconds → start one: ptiffstore worker --queue autosync`}},
	{"a store whose queue has no workers", func(s *site) {
		s.edit(func(st *catalog.Store) { st.Queue = "slow" })
	}, []string{`warning workers: no worker serves the queue slow of the store "Scanner 1" \(\w+\) → .*--queue slow`}},
	{"a worker of another version", func(s *site) {
		s.idle = true
		s.Version = "v0.9"
		s.worker("here", "default")
		s.Version = version
	}, []string{`warning workers: the worker on here has version v0.9, this program v1.2.3`}},
	{"a worker that was killed", func(s *site) {
		s.worker("there", "scan")
		age(s, "workers", "seen_at", "there", time.Hour)
	}, []string{`wrong workers: no heartbeat of the worker on there for 60 minutes, and no other worker serves scan`}},
	{"a schedule that is overdue", func(s *site) {
		s.edit(func(st *catalog.Store) { st.Schedule = "1h" })
		enrol(s, 3*time.Hour)
	}, []string{`wrong schedules: sync_store of the store "Scanner 1" \(\w+\) was due 2 hours ago`}},
	{
		"a sync that was refused", func(s *site) { fail(s, task.SyncStore, 1) },
		[]string{`wrong tasks: 1 task sync_store, \{"store": ?"\w+"\}, failed or refused within a day → .*task show`},
	},

	{
		"a port for all", func(s *site) { s.Open, s.Listen = true, "0.0.0.0:8080" },
		[]string{`warning listening: --insecure-no-auth: every client that reaches 0.0.0.0:8080 sees all slides`},
	},
	{
		"flags that can't be", func(s *site) { s.Refused = errors.New("--auth central needs a URL") },
		[]string{`wrong listening: --auth central needs a URL`},
	},
	{"too few files", func(s *site) { s.OpenFiles = 1 << 31 }, []string{`wrong open files: the limit is \d+ open files, and --open-slides \d+ leaves none for connections → raise it`}},
	{"a secret that all may read", func(s *site) {
		path := filepath.Join(s.dir, "edge.key")
		s.must(os.WriteFile(path, []byte("hunter2"), 0o644))
		s.Secrets = map[string]string{"--edge-secret-file": path}
	}, []string{`wrong --edge-secret-file: .*edge.key can be read by every user of this host → chmod o=`}},
	{"no backup", func(s *site) { s.Backups = s.t.TempDir() }, []string{`wrong backups: no backup in .* → ptiffstore backup`}},
	{"an old backup", func(s *site) { s.backup(s.Database, 100*time.Hour) }, []string{`wrong backups: the last one in .* is 4 days old`}},
	{"a backup of another catalog", func(s *site) {
		s.backup(s.other(), 0)
	}, []string{`wrong backups: the last one is a backup of another catalog: it has 0 slides, 0 stores, 0 users; the site has 1 slide, 1 store, 0 users → .*--data`}},
	{"a backup from before there was anything", func(s *site) {
		url := s.Database
		s.Database = s.other()
		s.backup(s.Database, 0)
		s.catalog(func(c *catalog.Catalog) {
			_, err := c.Stores.Put(s.t.Context(), catalog.Store{Label: "Scanner 1", Mode: catalog.InPlace, Root: s.root})
			s.must(err)
			_, err = c.Contents(s.t.Context())
			s.must(err)
		})
		s.must(os.Rename(strings.TrimPrefix(s.Database, "sqlite:"), strings.TrimPrefix(url, "sqlite:")))
		s.Database = url
		s.withTasks(func(*task.Service) {})
	}, []string{`warning backups: the last one is of an empty site: it has 0 slides, 0 stores, 0 users; the site has 0 slides, 1 store`}},
	{"a backup that was cut", func(s *site) {
		s.must(os.Truncate(filepath.Join(s.backup(s.Database, 0), "catalog.db"), 4096))
	}, []string{`wrong backups: the last one is damaged: .* has 4096 bytes`}},
	{"a backup without its database", func(s *site) {
		s.must(os.Remove(filepath.Join(s.backup(s.Database, 0), "catalog.db")))
	}, []string{`wrong backups: cannot access the database of the last one`}},
	{"a backup that is no database", func(s *site) {
		path := filepath.Join(s.backup(s.Database, 0), "catalog.db")
		fi, err := os.Stat(path)
		s.must(err)
		s.must(os.WriteFile(path, make([]byte, fi.Size()), 0o600))
	}, []string{`wrong backups: cannot read the last one`}},

	{"an endpoint where nothing listens", func(s *site) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		s.must(err)
		s.must(l.Close())
		endpoint(s, "http://"+l.Addr().String())
	}, []string{`wrong endpoint http://127.*: cannot reach it from here: .*refused → start it`}},
	{"an endpoint that never answers", func(s *site) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		s.must(err)
		s.t.Cleanup(func() { l.Close() })
		s.Limit = 2 * time.Second
		endpoint(s, "http://"+l.Addr().String()+"/")
	}, []string{`wrong endpoint http://127.*: cannot reach it from here: no answer in time → check whether it runs`}},
	{
		"an endpoint that is another program", func(s *site) { endpoint(s, serve(s, nil, http.NotFound)) },
		[]string{`wrong endpoint .*: it answers /healthz with status 404`},
	},
	{
		"an endpoint of another version", func(s *site) { endpoint(s, serve(s, nil, healthy("v0.9"))) },
		[]string{`warning endpoint .*: it has version v0.9, this program v1.2.3`},
	},
	{"a host whose clock is wrong", func(s *site) {
		endpoint(s, serve(s, nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			healthy(version)(w, r)
		}))
	}, []string{`wrong endpoint .*: its clock and this machine's differ by (59|60) minutes`}},
	{"a certificate of an unknown authority", func(s *site) {
		endpoint(s, serve(s, &certificateOf{host: "127.0.0.1", left: 90 * 24 * time.Hour}, healthy(version)))
	}, []string{`wrong endpoint https://.*: its certificate is signed by an unknown authority`}},
	{
		"a certificate that has ended", func(s *site) { central(s, &certificateOf{host: "127.0.0.1", left: -50 * time.Hour}) },
		[]string{`wrong central server: its certificate expired 2 days ago → renew it`},
	},
	{
		"a certificate that ends soon", func(s *site) { central(s, &certificateOf{host: "127.0.0.1", left: 100 * time.Hour}) },
		[]string{`warning central server: its certificate expires in 4 days → renew it`},
	},
	{
		"a certificate for another name", func(s *site) { central(s, &certificateOf{host: "other.example.org", left: 90 * 24 * time.Hour}) },
		[]string{`wrong central server: its certificate is not for 127.0.0.1`},
	},
	{"a central server that knows no such secret", func(s *site) {
		central(s, &certificateOf{host: "127.0.0.1", left: 90 * 24 * time.Hour})
		s.AskCentral = func(context.Context) error { return errors.New("it answered 401") }
	}, []string{`wrong central server: .* answers with an error: it answered 401 → .*--edge-secret-file`}},
}

func TestSick(t *testing.T) {
	t.Parallel()
	for _, tt := range sick {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "")
			tt.make(s)
			expect(t, s.examine(), tt.want)
		})
	}
}

// expect compares the findings with patterns.
func expect(t *testing.T, r Report, want []string) {
	t.Helper()
	got := bad(r)
	ok, wrong := len(got) == len(want), false
	for i := range min(len(got), len(want)) {
		ok = ok && regexp.MustCompile("^"+want[i]).MatchString(got[i])
		wrong = wrong || strings.HasPrefix(got[i], string(Wrong))
	}
	if !ok {
		t.Errorf("findings:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	} else if r.Healthy == wrong {
		t.Errorf("healthy %v with %q", r.Healthy, got)
	}
}

// newer records a newer version of the tables.
func newer(s *site, n int) {
	s.t.Helper()
	s.sql(fmt.Sprintf(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, TRUE)`, n))
}

// age sets a time of a row with an id back.
func age(s *site, table, column, id string, by time.Duration) {
	s.t.Helper()
	s.sql(fmt.Sprintf(`UPDATE %s SET %s = %s - %d WHERE id = '%s'`, table, column, column, by.Microseconds(), id))
}

// enrol records how long ago the store's schedule was last followed.
func enrol(s *site, ago time.Duration) {
	s.t.Helper()
	s.sql(fmt.Sprintf(`INSERT INTO schedules (store, kind, schedule, last_enqueued) VALUES ('%s', 'sync_store', '1h', %d)`, s.store, time.Now().Add(-ago).UnixMicro()))
}

// fail runs tasks of a kind that fail permanently.
func fail(s *site, kind string, times int) {
	s.t.Helper()
	s.catalog(func(c *catalog.Catalog) {
		refuse := func(context.Context, *task.Task) (any, error) { return nil, task.Permanent(errors.New("refused")) }
		j, err := task.Open(s.t.Context(), task.Options{Catalog: c, Kinds: []task.Kind{{Name: kind, Run: refuse}}})
		s.must(err)
		ctx, stop := context.WithCancel(s.t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			j.Work(ctx, task.WorkOptions{Queues: map[string]int{task.DefaultQueue: 1}}) //nolint:errcheck // it is stopped
		}()
		for range times {
			v, err := j.Submit(ctx, task.Submission{Kind: kind, Store: s.store})
			s.must(err)
			_, err = j.Wait(ctx, v.ID)
			s.must(err)
		}
		stop()
		<-ended
	})
}

// managedStore adds a managed store and calls spoil on its folder.
func managedStore(s *site, spoil func(root string)) {
	s.t.Helper()
	root := filepath.Join(filepath.Dir(s.root), "archive")
	s.catalog(func(c *catalog.Catalog) {
		_, err := managed.AddStore(s.t.Context(), c, catalog.Store{Label: "Archive", Mode: catalog.Managed, Root: root})
		s.must(err)
	})
	spoil(root)
}

func endpoint(s *site, base string) {
	s.t.Helper()
	s.edit(func(st *catalog.Store) { st.Endpoint = base })
}

// healthy answers as a server of a version does.
func healthy(v string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Ptiffstore-Version", v) }
}

// A certificateOf describes the certificate of a server.
type certificateOf struct {
	host string
	left time.Duration
	pool *x509.CertPool // trusts it
}

// serve runs a server, with TLS if it has a certificate, and returns its address.
func serve(s *site, c *certificateOf, h http.HandlerFunc) string {
	s.t.Helper()
	server := httptest.NewUnstartedServer(h)
	s.t.Cleanup(server.Close)
	if c == nil {
		server.Start()
		return server.URL
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{c.make(s.t)}}
	server.StartTLS()
	return server.URL
}

func (c *certificateOf) make(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: c.host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(c.left + time.Hour),
	}
	if ip := net.ParseIP(c.host); ip != nil {
		x.IPAddresses = []net.IP{ip}
	} else {
		x.DNSNames = []string{c.host}
	}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c.pool = x509.NewCertPool()
	c.pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// central configures a central server with a certificate.
func central(s *site, c *certificateOf) {
	s.t.Helper()
	s.Auth = "central"
	s.Central = serve(s, c, healthy(version))
	s.Roots = c.pool
}

// TestSickPostgreSQL lists the problems of PostgreSQL.
func TestSickPostgreSQL(t *testing.T) {
	t.Parallel()
	s := newSite(t, pgtest.New(t))
	expect(t, s.examine(), nil)
	newer(s, 9999)
	s.idle = true
	expect(t, s.examine(), []string{`wrong database: the tables of catalog have version 9999`, `unknown stores`})

	server := pgtest.NewServer(t)
	s = newSite(t, server.URL)
	s.sql(`ALTER SYSTEM SET max_connections = 40`)
	s.must(server.Stop())
	s.idle = true
	expect(t, s.examine(), []string{`wrong database: it does not answer: .* → start it`, `unknown stores`})

	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and never answers
	s.must(err)
	defer l.Close()
	s.Database = "postgres://someone:hunter2@" + l.Addr().String() + "/x"
	s.Limit = 3 * time.Second
	began := time.Now()
	expect(t, s.examine(), []string{`(wrong|unknown) database: `, `unknown stores`})
	if took := time.Since(began); took > 5*s.Limit { // it would never end
		t.Errorf("a database that says nothing: %v", took)
	}
}

// TestPermissions needs an unprivileged user: as root it runs again as the user nobody.
func TestPermissions(t *testing.T) {
	if unprivileged.Rerun(t) {
		return
	}
	closed := func(s *site, path string, mode os.FileMode) {
		s.must(os.Chmod(path, mode))
		s.t.Cleanup(func() { os.Chmod(path, 0o700) })
	}
	for _, tt := range []struct {
		name string
		make func(*site)
		want []string
	}{
		{"data that can't be written", func(s *site) {
			s.worker("here", task.DefaultQueue)
			s.idle = true
			closed(s, s.dir, 0o500)
		}, []string{`wrong data directory: .* cannot be written to by user 65534: permission denied`}},
		{"a catalog that can't be written", func(s *site) {
			s.worker("here", task.DefaultQueue)
			s.idle = true
			closed(s, filepath.Join(s.dir, "catalog.db"), 0o400)
		}, []string{`wrong data directory: .*catalog.db cannot be written to by user 65534`}},
		{
			"a store that can't be read", func(s *site) { closed(s, s.root, 0) },
			[]string{`wrong store .*: its folder .* cannot be read by user 65534: permission denied → .*setfacl -m u:65534:rx`},
		},
		{"slides that can't be read", func(s *site) {
			s.write("closed/"+patient+".tiff", 1)
			s.write(patient+"2.tiff", 1)
			closed(s, filepath.Join(s.root, "closed"), 0)
			closed(s, filepath.Join(s.root, patient+"2.tiff"), 0)
		}, []string{`wrong store .*: 2 files and folders cannot be read by user 65534 → .*setfacl -R -m u:65534:rX`}},
		{"a managed store that can't be written", func(s *site) {
			managedStore(s, func(root string) { closed(s, filepath.Join(root, "incoming"), 0o500) })
		}, []string{`wrong store "Archive" .*: its incoming folder .* cannot be emptied by user 65534`}},
		{"a secret that can't be read", func(s *site) {
			path := filepath.Join(s.dir, "edge.key")
			s.must(os.WriteFile(path, nil, 0))
			s.Secrets = map[string]string{"--edge-secret-file": path}
		}, []string{`wrong --edge-secret-file: .* cannot be read by user 65534`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, "")
			tt.make(s)
			expect(t, s.examine(), tt.want)
		})
	}
}

// serves runs a server that answers all requests with text, and returns its URL.
func serves(t *testing.T, text string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}
