// Package bucket reads and writes the objects of a bucket on an S3-compatible server: bounded
// numbers of requests and bounded times, no credentials and no keys of objects in errors.
//
// Objects have an [Identity]. A read returns bytes of the object with that identity, or an
// error: each request has the condition If-Match, and each answer is compared, because not
// every server honours the condition.
package bucket

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrUnavailable: the server did not answer in time, answered with an error that passes,
	// or was not asked because it failed before. The same call may succeed later.
	ErrUnavailable = errors.New("the object storage is unreachable")
	// ErrDenied: the server refused the request: credentials, region, bucket, clock, or an
	// object that is archived. It says nothing about whether an object exists.
	ErrDenied = errors.New("the object storage refused the request")
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
	Key      string // without the prefix of the address; any bytes of UTF-8, also "..", "//" and capitals
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

// A Bucket is the part of a bucket that an address names. Its methods may be called
// concurrently.
type Bucket struct {
	address  Address
	settings Settings
}

// Settings are those of a process. They are never stored and never shown completely.
type Settings struct {
	Endpoint  string // URL of the server, http://HOST[:PORT] or https://…; "" for AWS
	Region    string // "" for us-east-1
	PathStyle bool   // the bucket is in the path of URLs, not in the host's name
	CAFile    string // PEM file of certificate authorities, in addition to those of the system
	Profile   string // section of the shared credentials file
}

// Open prepares a client; it sends no request. The caller closes the bucket.
func Open(a Address, s Settings) (*Bucket, error) { return &Bucket{a, s}, nil }

// Close closes the connections.
func (b *Bucket) Close() {}

// Address returns the address of the bucket.
func (b *Bucket) Address() Address { return b.address }

// Background returns the bucket for work that may wait: more attempts, longer times, and a
// limit of its own for concurrent requests, so that it takes no place of a tile.
func (b *Bucket) Background() *Bucket { return b }

// List calls yield with all objects whose key begins with the prefix of the address and below,
// in the order of the bytes of their keys, at constant memory. Keys that end with a slash
// (markers of folders) are left out. It returns nil only if the listing is complete. The error
// may be that of yield.
func (b *Bucket) List(ctx context.Context, below string, yield func(Object) error) error {
	return ErrUnavailable
}

// Stat returns the identity of an object. [ErrGone] comes from a listing of the key.
func (b *Bucket) Stat(ctx context.Context, key string) (Identity, error) {
	return Identity{}, ErrUnavailable
}

// ReadAt reads exactly len(p) bytes at an offset of the object with this identity, with one
// request an attempt. If it returns an error, p has undefined contents. Bytes beyond the size
// of the identity are [io.ErrUnexpectedEOF].
func (b *Bucket) ReadAt(ctx context.Context, key string, id Identity, p []byte, off int64) error {
	return ErrUnavailable
}

// A Probe is what [Bucket.Probe] found out.
type Probe struct {
	Region   string        // "" if the server does not say
	Clock    time.Duration // how far the clock of the server is ahead of ours; 0 if it sends none
	Objects  bool          // there is at least one object below the prefix
	IfMatch  bool          // a read with a wrong ETag is refused; known only with Objects
	ETags    bool          // objects have an ETag
	Writable bool          // an object could be written and deleted, if that was asked for
}

// Probe asks the server for one page of a listing, and for one byte of an object with the
// right and with a wrong ETag.
func (b *Bucket) Probe(ctx context.Context) (Probe, error) { return Probe{}, ErrUnavailable }
