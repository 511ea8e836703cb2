package doctor

import (
	"context"
	"errors"
	"time"

	"github.com/slideatlas/ptiffstore/internal/bucket"
	"github.com/slideatlas/ptiffstore/internal/bucketstore"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// bucketTime limits all requests to the server of a bucket.
const bucketTime = 8 * time.Second

// inBucket checks whether a store in a bucket can be listed and read, whether its server honours
// conditions, and its clock. A managed store is also written to: an object with a random name is
// created and deleted at once, because nothing else shows whether that is permitted.
func (e *examination) inBucket(ctx context.Context, n *notes, s *catalog.Store) {
	a, err := bucket.ParseAddress(s.Root)
	if err != nil {
		n.wrong("ptiffstore store set "+s.ID, "%v", err)
		return
	}
	b, err := bucket.Open(a, e.Bucket)
	if err != nil {
		n.wrong("correct the settings s3 of the processes", "%v", err)
		return
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(ctx, bucketTime)
	defer cancel()
	source := e.Bucket.CredentialSource()
	p, err := b.Probe(ctx)
	bucketClock(n, p.Clock)
	if err != nil {
		bucketError(n, err, s.Root+" cannot be listed", "allow s3:ListBucket for the bucket", source)
		return
	}
	n.ok("%s can be listed; credentials: %s", s.Root, source)
	bucketObject(n, p, source)
	bucketRules(ctx, n, s, b)
	if s.ManagedBucket() {
		switch err := bucketstore.CheckMarker(ctx, s, b); {
		case errors.Is(err, bucketstore.ErrNoMarker), errors.Is(err, bucketstore.ErrOtherStore):
			n.wrong("check the address of the store and --s3-endpoint; nothing is marked missing meanwhile", "%v", err)
		case err != nil:
			bucketError(n, err, "the marker of the store cannot be read", "allow s3:GetObject for the objects of the bucket", source)
		}
		if err := b.ProbeWriting(ctx); err != nil {
			bucketError(n, err, "an object cannot be written and deleted", "allow s3:PutObject and s3:DeleteObject for the objects of the bucket", source)
		} else {
			n.ok("objects can be written and deleted")
		}
	}
}

// bucketRules reports rules of the bucket that delete slides, hide them or cost money. A server
// that does not say is not reported: most have no such rules.
func bucketRules(ctx context.Context, n *notes, s *catalog.Store, b *bucket.Bucket) {
	r, err := b.Rules(ctx)
	if err != nil {
		return
	}
	if r.Expires {
		n.wrong("restrict the rule to another prefix or to objects with a tag, or remove it", "a lifecycle rule of the bucket deletes slides at some age")
	}
	if r.Archives {
		n.warn("restrict the rule to classes that can be read at once, such as infrequent access", "a lifecycle rule of the bucket moves slides to another storage class: from an archive they cannot be read")
	}
	if !s.ManagedBucket() {
		return
	}
	if r.Versions && !r.Forgets {
		n.warn("add a lifecycle rule NoncurrentVersionExpiration, for example of 30 days", "the bucket keeps the versions of deleted slides for ever, which has to be paid for")
	}
	if !r.Aborts {
		n.ok("no lifecycle rule aborts unfinished uploads: the server does it while it runs; a rule AbortIncompleteMultipartUpload of 8 days would do it even without a server")
	}
}

// bucketClock reports a difference between the clocks.
func bucketClock(n *notes, ahead time.Duration) {
	word := "ahead of"
	if ahead < 0 {
		word = "behind"
	}
	switch d := ahead.Abs(); {
	case d >= bucket.ClockLimit:
		n.wrong("synchronize both clocks, for example with chrony", "the clock of the object storage is %s %s this machine's: it refuses requests from 15 minutes on", d, word)
	case d >= bucket.ClockWarn:
		n.warn("synchronize both clocks, for example with chrony", "the clock of the object storage is %s %s this machine's: from 15 minutes on it refuses requests", d, word)
	}
}

// bucketError reports why a request failed.
func bucketError(n *notes, err error, what, permission, source string) {
	fix := permission
	switch {
	case errors.Is(err, bucket.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		fix = "check --s3-endpoint, the network and the server; nothing is marked missing meanwhile"
	case source == "none":
		fix = "give the process credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the shared credentials file; it has none"
	case errors.Is(err, bucket.ErrDenied):
		fix = "check credentials, bucket, region and clock, and " + permission
	}
	n.wrong(fix, "%s: %v", what, err)
}

// bucketObject reports how the object that was read behaves.
func bucketObject(n *notes, p bucket.Probe, source string) {
	switch {
	case !p.Objects:
		n.unknown("", "it has no objects with contents yet, so reading was not checked")
	case p.Readable != nil:
		bucketError(n, p.Readable, "an object cannot be read", "allow s3:GetObject for the objects of the bucket", source)
	case !p.ETags:
		n.warn("write objects through the object storage, not into the folder behind it", "an object has no ETag, so it is recognized only by its size and the second of its modification")
	case !p.IfMatch:
		n.warn("update the object storage, if a newer version honours If-Match", "the object storage ignores the condition If-Match of reads; each answer is compared with the catalog instead")
	default:
		n.ok("an object can be read, and is not with a wrong ETag")
	}
}
