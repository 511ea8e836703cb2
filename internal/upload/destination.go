package upload

import (
	"context"
	"errors"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// A destination is where a store keeps its uploads: a [folder], or a part of a bucket, [objects].
// Records of uploads are authoritative: code that changes an upload reads its record first. A
// destination is of one request.
type destination interface {
	storeOf() *catalog.Store
	indexOf() *index
	close()

	// create begins an upload, and saves its record.
	create(r *record) error
	// load returns the record of an upload. The error may be errNoUpload.
	load(id string) (*record, error)
	// save writes the record of an upload durably. The error is errTaken if another process
	// has written it since it was loaded.
	save(r *record) error
	// remove removes an upload with its bytes; a file that was received stays.
	remove(id string) error
	// claim keeps other processes from writing to an upload until release is called. The error
	// is errLocked if one does.
	claim(id string) (release func(), err error)
	// openBytes opens the bytes of an upload for writing, and claims it; see writer. The record is the one
	// after that.
	openBytes(id string) (sink, *record, error)
	// finish makes a complete upload a slide of the store, or refuses it. It is called again if
	// it was interrupted. The record holds the outcome.
	finish(ctx context.Context, r *record) error

	// free is how many bytes may be written.
	free() (int64, error)
	// scan returns the uploads. It reads the records that are new or have changed.
	scan(known map[string]entry) (map[string]entry, error)
	// sweep removes what no upload needs.
	sweep(ctx context.Context) error

	expired(e *entry) bool
	isDue(e *entry) bool
}

// A sink takes the bytes of an upload, from an offset that its record has.
type sink interface {
	// write appends bytes, and returns how many it took; those count even if there is an error.
	write(b []byte) (n int, err error)
	// due reports whether the bytes so far should be kept now, so that a crash costs few of them.
	due() bool
	// keep makes the bytes so far durable, and saves the record, which has the new offset.
	keep(next *record) error
	// discard forgets the bytes that were not kept.
	discard() error
	// close releases the upload for other processes. Bytes that were not kept are lost.
	close()
}

var errNoBuckets = errors.New("this server does not receive uploads into buckets")
