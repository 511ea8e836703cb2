package bucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"strings"
	"time"

	"github.com/minio/crc64nvme"
	"github.com/minio/minio-go/v7"
)

const (
	minPart  = 16 << 20
	maxParts = 900 // some servers allow 1,000
	listMax  = 10_000
	// slowTime is how long a server may be busy with the parts of an object, without sending
	// anything.
	slowTime = 10 * time.Minute
)

// PartSize returns the size of all parts but the last of an object of this many bytes: equal
// parts of whole MiB, at least 16 MiB each and at most 900.
func PartSize(length int64) int64 {
	const mib = 1 << 20
	return max(minPart, ((length+maxParts-1)/maxParts+mib-1)/mib*mib)
}

// NewCRC returns the checksum that servers keep of whole objects: CRC64NVME.
func NewCRC() hash.Hash64 { return crc64nvme.New() }

// A Part is a part of an upload.
type Part struct {
	Number int // from 1
	ETag   string
	Size   int64 // 0 if it is not known
}

// uploadID is the name of the metadata that tells the object of an upload from others.
const uploadID = "upload-id"

// BeginUpload begins to write an object in parts, and returns the server's name of the upload.
// Token is kept with the object; [Bucket.CompleteUpload] recognizes it. The condition IfAbsent
// counts there.
func (b *Bucket) BeginUpload(ctx context.Context, key, token string, o PutOptions) (upload string, err error) {
	full, err := b.fullKey(key)
	if err != nil {
		return "", err
	}
	metadata := map[string]string{uploadID: token}
	for name, value := range o.Metadata {
		metadata[name] = value
	}
	err = b.do(ctx, kindUpload, func(ctx context.Context, _ *exchange) error {
		var err error
		upload, err = b.core.NewMultipartUpload(ctx, b.address.Bucket, full, minio.PutObjectOptions{ContentType: o.ContentType, UserMetadata: metadata})
		if err == nil && upload == "" {
			return bad("it began no upload")
		}
		return err
	})
	return upload, err
}

// UploadPart writes a part, or replaces it. The server checks its digest.
func (b *Bucket) UploadPart(ctx context.Context, key, upload string, number int, p []byte) (Part, error) {
	full, err := b.fullKey(key)
	if err != nil {
		return Part{}, err
	}
	sum := sha256.Sum256(p)
	part := Part{Number: number, Size: int64(len(p))}
	err = b.do(ctx, kindPart, func(ctx context.Context, _ *exchange) error {
		got, err := b.core.PutObjectPart(ctx, b.address.Bucket, full, upload, number, bytes.NewReader(p), int64(len(p)),
			minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true})
		if err == nil && got.ETag == "" {
			return bad("it gave the part no ETag")
		}
		part.ETag = got.ETag
		return err
	})
	return part, err
}

// Parts returns the parts of an upload that the server has, by number.
func (b *Bucket) Parts(ctx context.Context, key, upload string) ([]Part, error) {
	full, err := b.fullKey(key)
	if err != nil {
		return nil, err
	}
	var list []Part
	for more, marker := true, 0; more; {
		if err := b.do(ctx, kindUpload, func(ctx context.Context, _ *exchange) error {
			r, err := b.core.ListObjectParts(ctx, b.address.Bucket, full, upload, marker, pageKeys)
			if err != nil {
				return err
			}
			for _, p := range r.ObjectParts {
				if p.PartNumber <= marker || len(list) >= listMax {
					return &failure{class: ErrDenied, text: "its list of parts is not in order, or too long", health: healthy}
				}
				marker = p.PartNumber
				list = append(list, Part{p.PartNumber, trimETag(p.ETag), p.Size})
			}
			more = r.IsTruncated && len(r.ObjectParts) > 0
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// A Finish says what [Bucket.CompleteUpload] has to arrive at.
type Finish struct {
	Token    string // as for [Bucket.BeginUpload]
	Size     int64  // of the object
	CRC      uint64 // of the object, by [NewCRC]
	IfAbsent bool   // fail with [ErrExists] if there is another object
}

// CompleteUpload joins the parts to the object, and returns its identity after comparing size,
// token and checksum with those that the server has. Checked is false if it keeps no checksum
// that can be compared: then the contents are to be read.
//
// Whatever the server answers is not believed, because an answer may be lost, and one of
// success may be of an object that has been replaced since. So it can be repeated. The error is
// [ErrExists] if the key has another object, and [ErrGone] if neither the upload nor the object
// exists.
func (b *Bucket) CompleteUpload(ctx context.Context, key, upload string, parts []Part, f Finish) (id Identity, checked bool, err error) {
	full, err := b.fullKey(key)
	if err != nil {
		return Identity{}, false, err
	}
	list := make([]minio.CompletePart, len(parts))
	for i, p := range parts {
		list[i] = minio.CompletePart{PartNumber: p.Number, ETag: p.ETag}
	}
	asked := b.slow().do(ctx, kindComplete, func(ctx context.Context, _ *exchange) error {
		_, err := b.core.CompleteMultipartUpload(ctx, b.address.Bucket, full, upload, list, PutOptions{IfAbsent: f.IfAbsent}.options())
		return err
	})
	if asked != nil && !errors.Is(asked, ErrChanged) && codeOf(asked) != "NoSuchUpload" {
		return Identity{}, false, asked
	}
	h, err := b.head(ctx, key)
	switch {
	case err != nil:
		return Identity{}, false, err
	case h.metadata.Get("X-Amz-Meta-"+uploadID) != f.Token || h.id.Size != f.Size:
		return Identity{}, false, &failure{class: ErrExists, text: "it is not the one that was uploaded"}
	}
	crc, ok := h.crc()
	if ok && crc != f.CRC {
		return Identity{}, false, &failure{class: ErrChanged, text: "its checksum is not that of the bytes that were sent"}
	}
	return h.id, ok, nil
}

// slow returns the bucket for requests during which the server copies whole objects.
func (b *Bucket) slow() *Bucket {
	s := *b
	s.effort.stall, s.effort.attempt, s.effort.total = slowTime, 3*slowTime, 0
	return &s
}

// crc returns the checksum of the whole object, if the server has it.
func (h *head) crc() (uint64, bool) {
	if t := h.metadata.Get("X-Amz-Checksum-Type"); t != "" && !strings.EqualFold(t, "FULL_OBJECT") {
		return 0, false
	}
	b, err := base64.StdEncoding.DecodeString(h.metadata.Get("X-Amz-Checksum-Crc64nvme"))
	if err != nil || len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// CRC returns the checksum that the server keeps of an object, without reading it. The object
// must have this identity; ok is false if there is no checksum.
func (b *Bucket) CRC(ctx context.Context, key string, id Identity) (crc uint64, ok bool, err error) {
	h, err := b.head(ctx, key)
	if err != nil {
		return 0, false, err
	}
	if !h.id.Same(id) {
		return 0, false, &failure{class: ErrChanged}
	}
	crc, ok = h.crc()
	return crc, ok, nil
}

// AbortUpload ends an upload and removes its parts. One that does not exist is no error.
func (b *Bucket) AbortUpload(ctx context.Context, key, upload string) error {
	full, err := b.fullKey(key)
	if err != nil {
		return err
	}
	err = b.do(ctx, kindUpload, func(ctx context.Context, _ *exchange) error {
		return b.core.AbortMultipartUpload(ctx, b.address.Bucket, full, upload)
	})
	if codeOf(err) == "NoSuchUpload" {
		return nil
	}
	return err
}

// An Upload is one that has neither been completed nor aborted.
type Upload struct {
	Key   string
	ID    string    // the server's name
	Begun time.Time // by the server's clock
}

// Uploads calls yield with the unfinished uploads below the prefix of the address.
func (b *Bucket) Uploads(ctx context.Context, yield func(Upload) error) error {
	var key, id string // of the last one
	for more := true; more; {
		var page []Upload
		if err := b.do(ctx, kindUpload, func(ctx context.Context, _ *exchange) error {
			r, err := b.core.ListMultipartUploads(ctx, b.address.Bucket, b.address.Prefix, key, id, "", pageKeys)
			if err != nil {
				return err
			}
			page = page[:0]
			for _, u := range r.Uploads {
				if strings.HasPrefix(u.Key, b.address.Prefix) {
					page = append(page, Upload{u.Key[len(b.address.Prefix):], u.UploadID, u.Initiated.UTC()})
				}
			}
			if more = r.IsTruncated; more && r.NextKeyMarker == key && r.NextUploadIDMarker == id {
				return &failure{class: ErrDenied, text: "its list of uploads does not end", health: healthy}
			}
			key, id = r.NextKeyMarker, r.NextUploadIDMarker
			return nil
		}); err != nil {
			return err
		}
		for _, u := range page {
			if err := yield(u); err != nil {
				return err
			}
		}
	}
	return nil
}

// codeOf returns the server's code of a failure, or "".
func codeOf(err error) string {
	if fail, ok := errors.AsType[*failure](err); ok {
		return fail.code
	}
	return ""
}

const (
	copyMax  = 5 << 30 // bytes that one request copies
	copyPart = 1 << 30
)

// Copy copies an object that must have this identity, inside the server, and returns the
// identity of the copy after comparing size and checksums. Not every server honours IfAbsent;
// the key is looked up before, but an object that is written in between may be replaced.
func (b *Bucket) Copy(ctx context.Context, from string, id Identity, to string, o PutOptions) (Identity, error) {
	return b.copyIn(ctx, from, id, to, o, copyMax, copyPart)
}

// copyIn copies objects larger than most in parts of that size.
func (b *Bucket) copyIn(ctx context.Context, from string, id Identity, to string, o PutOptions, most, part int64) (Identity, error) {
	source, err := b.head(ctx, from)
	if err != nil {
		return Identity{}, err
	}
	if !source.id.Same(id) {
		return Identity{}, &failure{class: ErrChanged}
	}
	if o.IfAbsent {
		if _, err := b.Stat(ctx, to); err == nil {
			return Identity{}, &failure{class: ErrExists}
		} else if !errors.Is(err, ErrGone) {
			return Identity{}, err
		}
	}
	if id.Size > most {
		err = b.copyParts(ctx, from, id, to, o, part)
	} else {
		err = b.copyWhole(ctx, from, id, to)
	}
	if err != nil {
		return Identity{}, err
	}
	h, err := b.head(ctx, to)
	if err != nil {
		return Identity{}, err
	}
	was, known := source.crc()
	is, same := h.crc()
	if h.id.Size != id.Size || known && same && was != is {
		return Identity{}, &failure{class: ErrChanged, text: "the copy is not like the object"}
	}
	return h.id, nil
}

// condition returns the header with which the server copies nothing but this object.
func condition(id Identity) map[string]string {
	if id.ETag == "" {
		return nil
	}
	return map[string]string{"X-Amz-Copy-Source-If-Match": `"` + id.ETag + `"`}
}

func (b *Bucket) copyWhole(ctx context.Context, from string, id Identity, to string) error {
	source, err := b.fullKey(from)
	if err != nil {
		return err
	}
	target, err := b.fullKey(to)
	if err != nil {
		return err
	}
	return b.slow().do(ctx, kindCopy, func(ctx context.Context, _ *exchange) error {
		_, err := b.core.CopyObject(ctx, b.address.Bucket, source, b.address.Bucket, target, condition(id), minio.CopySrcOptions{}, minio.PutObjectOptions{})
		return err
	})
}

func (b *Bucket) copyParts(ctx context.Context, from string, id Identity, to string, o PutOptions, size int64) (err error) {
	source, err := b.fullKey(from)
	if err != nil {
		return err
	}
	target, err := b.fullKey(to)
	if err != nil {
		return err
	}
	upload, err := b.BeginUpload(ctx, to, "", o)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.AbortUpload(context.WithoutCancel(ctx), to, upload))
		}
	}()
	var parts []minio.CompletePart
	for off := int64(0); off < id.Size; off += size {
		if err := b.slow().do(ctx, kindCopy, func(ctx context.Context, _ *exchange) error {
			p, err := b.core.CopyObjectPart(ctx, b.address.Bucket, source, b.address.Bucket, target, upload, len(parts)+1, off, min(size, id.Size-off), condition(id))
			if err == nil {
				parts = append(parts, minio.CompletePart{PartNumber: p.PartNumber, ETag: trimETag(p.ETag)})
			}
			return err
		}); err != nil {
			return err
		}
	}
	err = b.slow().do(ctx, kindComplete, func(ctx context.Context, _ *exchange) error {
		_, err := b.core.CompleteMultipartUpload(ctx, b.address.Bucket, target, upload, parts, PutOptions{IfAbsent: o.IfAbsent}.options())
		return err
	})
	if errors.Is(err, ErrChanged) {
		return &failure{class: ErrExists}
	}
	return err
}
