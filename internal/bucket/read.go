package bucket

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// ReadAt reads exactly len(p) bytes at an offset of the object with this identity, with one
// request an attempt. If it returns an error, p has undefined contents. Bytes beyond the size
// of the identity are [io.ErrUnexpectedEOF].
func (b *Bucket) ReadAt(ctx context.Context, key string, id Identity, p []byte, off int64) error {
	full, err := b.fullKey(key)
	if err != nil {
		return err
	}
	if off < 0 || off > id.Size || int64(len(p)) > id.Size-off {
		return errShort
	}
	if len(p) == 0 {
		return nil
	}
	err = b.do(ctx, kindGet, func(ctx context.Context, x *exchange) error { return b.read(ctx, x, full, id, p, off) })
	if errors.Is(err, ErrChanged) {
		b.figures.changed.Add(1)
	}
	return err
}

// read sends one request.
func (b *Bucket) read(ctx context.Context, x *exchange, key string, id Identity, p []byte, off int64) error {
	var o minio.GetObjectOptions
	if err := o.SetRange(off, off+int64(len(p))-1); err != nil {
		return err
	}
	if id.ETag != "" {
		if err := o.SetMatchETag(id.ETag); err != nil {
			return err
		}
	}
	body, _, header, err := b.core.GetObject(ctx, b.address.Bucket, key, o)
	if err != nil {
		return err
	}
	defer body.Close()
	if x.status != http.StatusPartialContent {
		return bad("it sent the whole object instead of a part")
	}
	if fail := compare(header, id, off, len(p)); fail != nil {
		return fail
	}
	n, err := io.ReadFull(body, p)
	if err == nil {
		var one [1]byte
		if more, _ := body.Read(one[:]); more > 0 {
			return bad("it sent more bytes than were asked for")
		}
		return nil
	}
	x.err = err
	if n < len(p) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return bad("the answer was cut short")
	}
	return err
}

// compare returns a failure unless the header is that of the part of the object.
func compare(h http.Header, id Identity, off int64, n int) *failure {
	first, last, total, ok := parseContentRange(h.Get("Content-Range"))
	if !ok {
		return bad("it does not say which part of the object it sent")
	}
	got := Identity{ETag: trimETag(h.Get("ETag")), Size: total, Modified: headerTime(h, "Last-Modified")}
	if got.Modified.IsZero() || got.ETag == "" && id.ETag != "" {
		return bad("it does not say which version of the object it sent")
	}
	if !got.Same(Identity{ETag: id.ETag, Size: id.Size, Modified: id.Modified}) {
		return &failure{class: ErrChanged, health: healthy}
	}
	if first != off || last != off+int64(n)-1 {
		return bad("it sent another part of the object than was asked for")
	}
	return nil
}

// parseContentRange parses "bytes FIRST-LAST/TOTAL".
func parseContentRange(s string) (first, last, total int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	part, size, slash := strings.Cut(s, "/")
	from, to, dash := strings.Cut(part, "-")
	if !ok || !slash || !dash {
		return 0, 0, 0, false
	}
	var n [3]int64
	for i, text := range []string{from, to, size} {
		v, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return 0, 0, 0, false
		}
		n[i] = int64(v) //nolint:gosec // 63 bits
	}
	return n[0], n[1], n[2], n[0] <= n[1] && n[1] < n[2]
}

// trimETag removes the quotes, and the mark of weak tags that some proxies add.
func trimETag(s string) string {
	return strings.Trim(strings.TrimPrefix(s, "W/"), `"`)
}

// headerTime returns the time in a header, or zero.
func headerTime(h http.Header, name string) time.Time {
	t, err := http.ParseTime(h.Get(name))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// Stat returns the identity of an object. [ErrGone] comes from a listing of the key, because
// the answer 404 to HEAD has many reasons.
func (b *Bucket) Stat(ctx context.Context, key string) (Identity, error) {
	h, err := b.head(ctx, key)
	if err != nil {
		return Identity{}, err
	}
	return h.id, nil
}

// A head is the answer to HEAD.
type head struct {
	id       Identity
	metadata http.Header
}

func (b *Bucket) head(ctx context.Context, key string) (head, error) {
	full, err := b.fullKey(key)
	if err != nil {
		return head{}, err
	}
	var h head
	err = b.do(ctx, kindHead, func(ctx context.Context, x *exchange) error {
		o := minio.StatObjectOptions{Checksum: true}
		if _, err := b.core.StatObject(ctx, b.address.Bucket, full, o); err != nil {
			return err
		}
		size, err := strconv.ParseUint(x.header.Get("Content-Length"), 10, 63)
		h = head{Identity{ETag: trimETag(x.header.Get("ETag")), Size: int64(size), Modified: headerTime(x.header, "Last-Modified"), Version: x.header.Get("X-Amz-Version-Id")}, x.header} //nolint:gosec // 63 bits
		if err != nil || h.id.Modified.IsZero() {
			return bad("it does not say the size and the time of the object")
		}
		return nil
	})
	if fail, ok := errors.AsType[*failure](err); ok && strings.HasPrefix(fail.detail, "404") {
		return head{}, b.absent(ctx, full)
	}
	return h, err
}

// absent returns [ErrGone] if a listing lacks the key, and another error if it does not or
// cannot be read.
func (b *Bucket) absent(ctx context.Context, full string) error {
	found := false
	err := b.list(ctx, full, "", 1, func(o Object) error {
		found = o.Key == full
		return errStop
	})
	switch {
	case err != nil && !errors.Is(err, errStop):
		return err
	case found:
		return bad("it has the object in its listing, and says that it does not exist")
	}
	return &failure{class: ErrGone, health: healthy}
}

var errStop = errors.New("stop")
