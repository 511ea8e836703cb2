package mongodb

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.uber.org/goleak"

	"github.com/slideatlas/ptiffstore/internal/slideatlas"
	"github.com/slideatlas/ptiffstore/test/mongotest"
)

const image = slideatlas.ID("5356d8b9e67655244bf3273a")

// jpeg returns bytes that begin and end like a JPEG.
func jpeg(text string) []byte { return []byte("\xff\xd8\xff\xe0" + text + "\xff\xd9") }

// tile returns the document of a tile.
func tile(name string, b []byte) bson.D {
	return bson.D{{Key: "name", Value: name}, {Key: "level", Value: int32(7)}, {Key: "file", Value: bson.Binary{Data: b}}}
}

// connect opens a database that is named after the test.
func connect(t *testing.T, host, query string, o Options) *Database {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = time.Minute // the machine may be busy
	}
	a, err := ParseAddress("mongodb://" + host + "/" + t.Name() + query)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(a, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// insert adds documents to a collection.
func insert[D any](t *testing.T, d *Database, collection string, docs ...D) {
	t.Helper()
	if _, err := d.database.Collection(collection).InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
}

func TestDatabase(t *testing.T) {
	server := mongotest.New(t)
	d := connect(t, server.Host, "", Options{})
	if err := d.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	collect := func(collection string) (list []int32, err error) {
		err = d.Documents(t.Context(), collection, func(doc bson.Raw) error {
			n, _ := doc.Lookup("_id").Int32OK()
			list = append(list, n)
			return nil
		})
		return list, err
	}
	if list, err := collect("images"); err != nil || list != nil {
		t.Errorf("an empty database: %v, %v", list, err)
	}
	const n = 3*batch + 1
	var docs []bson.D
	for i := range int32(n) {
		docs = append(docs, bson.D{{Key: "_id", Value: n - 1 - i}})
	}
	insert(t, d, "images", docs...)
	list, err := collect("images")
	if err != nil || len(list) != n {
		t.Fatalf("%d documents, %v", len(list), err)
	}
	for i, id := range list {
		if id != int32(i) {
			t.Fatalf("document %d has the _id %d", i, id)
		}
	}
	stop := errors.New("stop")
	if err := d.Documents(t.Context(), "images", func(bson.Raw) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of the caller: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := d.Documents(ctx, "images", func(bson.Raw) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestTile(t *testing.T) {
	d := connect(t, mongotest.New(t).Host, "", Options{})
	insert(
		t, d, string(image), tile("t.jpg", jpeg("t")), tile("tq.jpg", jpeg("tq")), tile("tr.jpg", nil), tile("ts.jpg", []byte("no JPEG")),
		bson.D{{Key: "name", Value: "tt.jpg"}, {Key: "file", Value: "a text"}}, bson.D{{Key: "name", Value: "tqs.jpg"}}, tile("1.png", jpeg("1")),
	)
	for _, tt := range []struct {
		name, want string
		err        error
	}{
		{"t.jpg", string(jpeg("t")), nil},
		{"tq.jpg", string(jpeg("tq")), nil},
		{"tr.jpg", "", slideatlas.ErrNotJPEG},
		{"ts.jpg", "no JPEG", slideatlas.ErrNotJPEG},
		{"tt.jpg", "", errAny},
		{"tqs.jpg", "", errAny},
		{"tqq.jpg", "", slideatlas.ErrNoTile},
	} {
		address, _ := slideatlas.ParseName(tt.name)
		b, err := d.Tile(t.Context(), image, address)
		if tt.err == errAny && err != nil {
			tt.err = err
		}
		if string(b) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %v, want %v", tt.name, b, err, tt.err)
		}
	}
	if b, err := d.Tile(t.Context(), image, slideatlas.Tile{Zoom: 1, Column: 2}); !errors.Is(err, slideatlas.ErrNoTile) {
		t.Errorf("an impossible tile: %q, %v", b, err)
	}
	if b, err := d.Tile(t.Context(), "5356d8b9e67655244bf3273b", slideatlas.Tile{}); !errors.Is(err, slideatlas.ErrNoTile) {
		t.Errorf("an image without tiles: %q, %v", b, err)
	}
	good, bad := 0, 0
	if err := d.Tiles(t.Context(), image, func(tile slideatlas.Tile, b []byte, err error) error {
		if err != nil {
			bad++
			return nil
		}
		good++
		if want, err := d.Tile(t.Context(), image, tile); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%v: %q, want %q, %v", tile, b, want, err)
		}
		return nil
	}); err != nil || good != 2 || bad != 5 {
		t.Errorf("%d tiles, %d others, %v", good, bad, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Tile(ctx, image, slideatlas.Tile{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// errAny stands for any error.
var errAny = errors.New("any error")

func TestIndexed(t *testing.T) {
	d := connect(t, mongotest.New(t).Host, "", Options{})
	insert(t, d, string(image), tile("t.jpg", jpeg("t")))
	if ok, err := d.Indexed(t.Context(), image); ok || err != nil {
		t.Errorf("without an index: %t, %v", ok, err)
	}
	create := func(keys bson.D) {
		if _, err := d.database.Collection(string(image)).Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: keys}); err != nil {
			t.Fatal(err)
		}
	}
	create(bson.D{{Key: "level", Value: 1}, {Key: "name", Value: 1}})
	if ok, err := d.Indexed(t.Context(), image); ok || err != nil {
		t.Errorf("with the name as the second key: %t, %v", ok, err)
	}
	create(bson.D{{Key: "name", Value: 1}})
	if ok, err := d.Indexed(t.Context(), image); !ok || err != nil {
		t.Errorf("with an index: %t, %v", ok, err)
	}
}

// The number of connections is bounded.
func TestConnections(t *testing.T) {
	proxy := newProxy(t, mongotest.New(t).Host)
	d := connect(t, proxy.host, "?directConnection=true", Options{Connections: 3})
	insert(t, d, string(image), tile("t.jpg", jpeg("t")))
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if _, err := d.Tile(t.Context(), image, slideatlas.Tile{}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := proxy.accepted(); n > 3+2 { // two watch the server
		t.Errorf("%d connections", n)
	}
}

// A proxy counts the connections to a server.
type proxy struct {
	host string
	mu   sync.Mutex
	n    int
}

func (p *proxy) accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{host: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.n++
			p.mu.Unlock()
			s, err := net.Dial("tcp", target)
			if err != nil {
				c.Close()
				return
			}
			go func() { _, _ = s.(*net.TCPConn).ReadFrom(c); s.Close() }()
			go func() { _, _ = c.(*net.TCPConn).ReadFrom(s); c.Close() }()
		}
	}()
	return p
}

// A server that is away, and one that accepts connections and never answers.
func TestUnavailable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, host := range map[string]string{"away": "127.0.0.1:1", "silent": silent.Addr().String()} {
		d := connect(t, "reader@"+host, "", Options{Timeout: 50 * time.Millisecond, Password: "hunter2"})
		for what, err := range map[string]error{
			"ping":      d.Ping(t.Context()),
			"tile":      second(d.Tile(t.Context(), image, slideatlas.Tile{})),
			"indexed":   second(d.Indexed(t.Context(), image)),
			"documents": d.Documents(t.Context(), "images", func(bson.Raw) error { return nil }),
		} {
			if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "hunter2") || strings.Contains(fmt.Sprintf("%+v %#v", err, err), "hunter2") {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestServerStops(t *testing.T) {
	server := mongotest.NewServer(t)
	d := connect(t, server.Host, "", Options{})
	insert(t, d, string(image), tile("t.jpg", jpeg("t")))
	server.Stop()
	d.timeout = 100 * time.Millisecond
	if _, err := d.Tile(t.Context(), image, slideatlas.Tile{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("after the end of the server: %v", err)
	}
}

func TestRefused(t *testing.T) {
	d := connect(t, mongotest.New(t).Host, "", Options{})
	d.password = "hunter2"
	for _, tt := range []struct {
		code int32
		want error
	}{{13, ErrRefused}, {18, ErrRefused}, {91, ErrUnavailable}, {11600, ErrUnavailable}, {0, ErrUnavailable}} {
		err := d.failed(mongo.CommandError{Code: tt.code, Message: "not for hunter2"})
		if !errors.Is(err, tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("code %d: %v, want %v", tt.code, err, tt.want)
		}
	}
	if err := d.Documents(t.Context(), "", func(bson.Raw) error { return nil }); err == nil {
		t.Error("a collection without a name has documents")
	}
}

func TestOpenRefused(t *testing.T) {
	a, err := ParseAddress("mongodb://host/tiles1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(a, Options{Password: "hunter2"}); err == nil || !strings.Contains(err.Error(), "no user") {
		t.Errorf("a password without a user: %v", err)
	}
	for _, query := range []string{"?authMechanism=NONE", "?readPreference=none", "?tlsCAFile=/absent"} {
		a, err := ParseAddress("mongodb://reader@host/tiles1" + query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(a, Options{Password: "hunter2"}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	server := mongotest.NewServer(t, cert, key)
	d := connect(t, server.Host, "?tls=true&tlsCAFile="+cert, Options{})
	insert(t, d, string(image), tile("t.jpg", jpeg("t")))
	if b, err := d.Tile(t.Context(), image, slideatlas.Tile{}); err != nil || string(b) != string(jpeg("t")) {
		t.Errorf("with TLS: %q, %v", b, err)
	}
	for _, query := range []string{"?tls=true", ""} { // an unknown authority, and no TLS
		d := connect(t, server.Host, query, Options{Timeout: 300 * time.Millisecond})
		if err := d.Ping(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: %v", query, err)
		}
	}
}

// certificate writes a certificate for 127.0.0.1 and its key to files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	b, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "certificate") // the server is another user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", b), write("key.pem", "PRIVATE KEY", secret)
}

// Closing a database ends all its goroutines.
func TestClose(t *testing.T) {
	server := mongotest.New(t)
	before := goleak.IgnoreCurrent()
	a, err := ParseAddress("mongodb://" + server.Host + "/" + t.Name())
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(a, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}
