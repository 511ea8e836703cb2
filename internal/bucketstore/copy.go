package bucketstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"github.com/slideatlas/ptiffstore/internal/bucket"
)

// Copy writes the slide of an image from a file of so many bytes, in parts, and returns the
// identity of the object and the SHA-256 of the bytes. An object that an earlier, interrupted copy
// has completed is kept if its checksum is that of the file, and otherwise replaced: the caller
// makes sure that the key is not that of an image of the store. Progress may be nil.
func (s *Store) Copy(ctx context.Context, image string, from io.ReaderAt, size int64, progress func(done, total int64)) (id bucket.Identity, digest string, err error) {
	key := Key(image)
	there, err := s.Bucket.Stat(ctx, key)
	switch {
	case errors.Is(err, bucket.ErrGone):
	case err != nil:
		return id, "", objectError(image, "looking for its object", err)
	default:
		if digest, same, err := s.isCopy(ctx, key, there, from, size); err != nil || same {
			return there, digest, objectError(image, "comparing its object", err)
		}
		if err := s.Bucket.Delete(ctx, key, there); err != nil {
			return id, "", objectError(image, "replacing an incomplete copy", err)
		}
	}
	token := "copy " + image
	upload, err := s.Bucket.BeginUpload(ctx, key, token, bucket.PutOptions{})
	if err != nil {
		return id, "", objectError(image, "beginning a copy", err)
	}
	id, digest, err = s.copyParts(ctx, key, upload, token, from, size, progress)
	if err != nil {
		err = errors.Join(err, s.Bucket.AbortUpload(context.WithoutCancel(ctx), key, upload))
	}
	return id, digest, objectError(image, "copying", err)
}

// isCopy reports whether an object has the bytes of a file, and returns their SHA-256. Without
// a checksum of the server it says no.
func (s *Store) isCopy(ctx context.Context, key string, id bucket.Identity, from io.ReaderAt, size int64) (digest string, same bool, err error) {
	want, known, err := s.Bucket.CRC(ctx, key, id)
	if err != nil || !known || id.Size != size {
		return "", false, err
	}
	sum, crc := sha256.New(), bucket.NewCRC()
	if _, err := io.Copy(io.MultiWriter(sum, crc), contextReader{ctx, io.NewSectionReader(from, 0, size)}); err != nil {
		return "", false, err
	}
	return hex.EncodeToString(sum.Sum(nil)), crc.Sum64() == want, nil
}

// copyParts sends a file in parts, one after the other, and completes the object.
func (s *Store) copyParts(ctx context.Context, key, upload, token string, from io.ReaderAt, size int64, progress func(done, total int64)) (id bucket.Identity, digest string, err error) {
	sum, crc := sha256.New(), bucket.NewCRC()
	buf := make([]byte, min(bucket.PartSize(size), size))
	var parts []bucket.Part
	for off := int64(0); off < size; off += int64(len(buf)) {
		p := buf[:min(int64(len(buf)), size-off)]
		if n, err := from.ReadAt(p, off); n < len(p) {
			return id, "", errors.Join(err, io.ErrUnexpectedEOF)
		}
		sum.Write(p)
		crc.Write(p)
		part, err := s.Bucket.UploadPart(ctx, key, upload, len(parts)+1, p)
		if err != nil {
			return id, "", err
		}
		parts = append(parts, part)
		if progress != nil {
			progress(off+int64(len(p)), size)
		}
	}
	id, _, err = s.Bucket.CompleteUpload(ctx, key, upload, parts, bucket.Finish{Token: token, Size: size, CRC: crc.Sum64(), IfAbsent: true})
	return id, hex.EncodeToString(sum.Sum(nil)), err
}

// A contextReader reads until its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
