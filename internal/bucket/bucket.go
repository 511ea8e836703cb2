// Package bucket reads and writes the objects of a bucket on an S3-compatible server: bounded
// numbers of requests and bounded times, no credentials and no keys of objects in errors.
//
// Objects have an [Identity]. A read returns bytes of the object with that identity, or an
// error: each request has the condition If-Match, and each answer is compared, because not
// every server honours the condition.
package bucket

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

var (
	// ErrUnavailable: the server did not answer in time, answered with an error that passes,
	// or was not asked because it failed before. The same call may succeed later.
	ErrUnavailable = errors.New("the object storage is unreachable")
	// ErrDenied: the server refused the request: credentials, region, bucket, clock, or an
	// object that is archived. It says nothing about whether an object exists.
	ErrDenied = errors.New("the object storage refused the request")
	// ErrArchived: an [ErrDenied] of an object that must be restored from an archive first. Others
	// may be readable.
	ErrArchived = errors.New("the object is archived")
	// ErrGone: the server says that there is no object with this key. It proves a deletion
	// only together with a listing.
	ErrGone = errors.New("the object does not exist")
	// ErrChanged: the object is another one than that of the identity.
	ErrChanged = errors.New("the object has changed")
	// ErrExists: there is an object with this key already.
	ErrExists = errors.New("an object with this key exists")
)

// An Object is what a listing has of an object.
type Object struct {
	Key      string // without the prefix of the address; any UTF-8, also "..", "//" and capitals
	Identity Identity
}

// An Identity tells the contents of a key from what the key had before or has later. Two are
// compared with [Identity.Same].
type Identity struct {
	ETag     string    // without quotes; "" if the server has none
	Size     int64     // bytes
	Modified time.Time // whole seconds, UTC
	Version  string    // "" in listings, and in buckets without versions
}

// Same reports whether two identities are of the same contents. Versions count only if both
// are known: listings have none.
func (id Identity) Same(other Identity) bool {
	return id.ETag == other.ETag && id.Size == other.Size && id.Modified.Equal(other.Modified) &&
		(id.Version == "" || other.Version == "" || id.Version == other.Version)
}

// Settings are those of a process. They are never stored, and never shown completely. The
// credentials are found as the tools of AWS find them, see [Open].
type Settings struct {
	Endpoint  string // URL of the server, https://HOST[:PORT] or http://…; "" for AWS
	Region    string // "" for that of the environment, else us-east-1
	PathStyle bool   // the bucket is in the path of URLs on all servers, also on those that have it in the host's name
	CAFile    string // PEM file of certificate authorities, in addition to those of the system
	Profile   string // section of the shared credentials file; "" for that of the environment

	Requests   int // concurrent requests for tiles to a bucket; 256 if 0
	Background int // the same for other work; 32 if 0

	Log     *slog.Logger // nil for none; never gets keys
	Figures *Figures     // nil to count nothing
}

const (
	defaultRegion     = "us-east-1"
	defaultRequests   = 256
	defaultBackground = 32
	queueFactor       = 8 // requests that may wait, for each that may be sent
)

// A Bucket is the part of a bucket that an address names. Its methods may be called
// concurrently.
type Bucket struct {
	*connection
	address Address
	effort  effort
	limit   *limit
}

// A connection is what a bucket and its view for background work share.
type connection struct {
	core       *minio.Core
	creds      *credentials.Credentials
	transport  *transport
	renewal    renewal
	breaker    *breaker
	background *limit
	figures    *Figures
	log        *slog.Logger
}

// An effort is what a request may cost.
type effort struct {
	attempts int
	total    time.Duration // of all attempts; 0 for no limit
	attempt  time.Duration // of one attempt; a server that sends a byte now and then makes progress
	stall    time.Duration // without any progress of one attempt
	wait     time.Duration // before the second attempt; doubled before each further one
}

var (
	tileEffort       = effort{attempts: 2, total: 5 * time.Second, attempt: 5 * time.Second, stall: 3 * time.Second, wait: 400 * time.Millisecond}
	backgroundEffort = effort{attempts: 6, attempt: 10 * time.Minute, stall: 30 * time.Second, wait: 2 * time.Second}
)

// maxWait limits the time between two attempts.
const maxWait = 15 * time.Second

// backoff returns the time to wait after the n-th attempt, with jitter.
func (e effort) backoff(n int) time.Duration {
	d := min(e.wait<<min(n-1, 10), maxWait)
	return d/2 + rand.N(d)
}

// OpenURL is Open for a URL, such as s3://BUCKET/PREFIX/.
func OpenURL(url string, s Settings) (*Bucket, error) {
	a, err := ParseAddress(url)
	if err != nil {
		return nil, err
	}
	return Open(a, s)
}

// Open prepares a client; it sends no request. The caller closes the bucket.
//
// Credentials come from the first of these that is present: AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY, the profile of the shared files, a web identity
// (AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN), a container (AWS_CONTAINER_CREDENTIALS_…), and
// on AWS the role of the instance. Without any, requests are not signed.
func Open(a Address, s Settings) (*Bucket, error) {
	endpoint, err := parseEndpoint(s.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("the endpoint of the object storage %w", err)
	}
	t, err := newTransport(s.CAFile, s.Figures)
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupAuto                    // in the host's name on AWS, and on few others
	if s.PathStyle || strings.Contains(a.Bucket, ".") { // a certificate for *.HOST does not match a name with dots
		lookup = minio.BucketLookupPath
	}
	region := s.region()
	creds := s.credentials(endpoint == nil, region)
	host, secure := "s3.amazonaws.com", true
	if endpoint != nil {
		host, secure = endpoint.Host, endpoint.Scheme == "https"
	}
	core, err := minio.NewCore(host, &minio.Options{
		Creds: creds, Secure: secure, Transport: t, Region: region, BucketLookup: lookup,
		MaxRetries: 1, // attempts are counted and delayed here
	})
	if err != nil {
		return nil, errors.New("the endpoint of the object storage is not valid: write https://HOST:PORT")
	}
	orDefault := func(n, otherwise int) int {
		if n <= 0 {
			return otherwise
		}
		return n
	}
	c := &connection{
		core: core, creds: creds, transport: t, breaker: &breaker{}, figures: s.Figures, log: s.Log,
		background: newLimit(orDefault(s.Background, defaultBackground), queueFactor),
	}
	if c.figures == nil {
		c.figures = &Figures{}
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	t.figures = c.figures
	c.figures.add(c.breaker)
	return &Bucket{c, a, tileEffort, newLimit(orDefault(s.Requests, defaultRequests), queueFactor)}, nil
}

// parseEndpoint returns nil for AWS. Errors do not contain the endpoint, which may hold a
// password; they continue a text that begins with its name.
func parseEndpoint(s string) (*url.URL, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // as said above
	}
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "":
		return nil, errors.New("is not a URL: write https://HOST or https://HOST:PORT")
	case u.User != nil:
		return nil, errors.New("contains credentials, which others could read: give them to the process as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in the shared credentials file")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("has a path: write https://HOST:PORT; the bucket belongs to the address of the store")
	}
	return u, nil
}

// CheckEndpoint returns an error unless s is "" or the URL of a server. Its text continues one
// that begins with the name of the setting.
func CheckEndpoint(s string) error {
	_, err := parseEndpoint(s)
	return err
}

// Close closes the connections.
func (b *Bucket) Close() {
	b.figures.remove(b.breaker)
	b.transport.close()
}

// Address returns the address of the bucket.
func (b *Bucket) Address() Address { return b.address }

// Background returns the bucket for work that may wait: more attempts, longer times, and a
// limit of its own for concurrent requests, so that it takes no place of a tile. Closing one
// closes both.
func (b *Bucket) Background() *Bucket {
	return &Bucket{b.connection, b.address, backgroundEffort, b.background}
}

// fullKey returns the key in the bucket.
func (b *Bucket) fullKey(key string) (string, error) {
	full := b.address.Prefix + key
	if key == "" || len(full) > maxKey || !utf8.ValidString(key) || strings.TrimSpace(full) == "" {
		return "", &failure{class: ErrDenied, text: "the key is empty, longer than 1,024 bytes or not UTF-8"}
	}
	return full, nil
}

var errShort = io.ErrUnexpectedEOF
