package upload

import (
	"crypto/sha1" //nolint:gosec // the protocol requires it of servers that check chunks
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// Headers and media types of the protocol.
const (
	protocolVersion = "1.0.0"
	extensions      = "creation,creation-with-upload,checksum,expiration,termination"
	algorithms      = "sha1,sha256"
	chunkType       = "application/offset+octet-stream"

	hResumable = "Tus-Resumable"
	hOffset    = "Upload-Offset"
	hLength    = "Upload-Length"
	hMetadata  = "Upload-Metadata"
	hChecksum  = "Upload-Checksum"
	hExpires   = "Upload-Expires"
)

// statusChecksum is the protocol's status for a chunk with a wrong checksum.
const statusChecksum = 460

func refuse(status int, detail string) *httperr.Error {
	return &httperr.Error{Status: status, Detail: detail}
}

// tus wraps a handler of the protocol: it refuses other versions of it.
func tus(h httperr.Handler) http.Handler {
	return httperr.Handler(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set(hResumable, protocolVersion)
		w.Header().Set("Cache-Control", "no-store")
		if r.Header.Get(hResumable) != protocolVersion {
			w.Header().Set("Tus-Version", protocolVersion)
			return refuse(http.StatusPreconditionFailed, "Uploads follow the tus protocol: send the header Tus-Resumable: "+protocolVersion+".")
		}
		err := h(w, r)
		if err != nil && r.ContentLength != 0 {
			// The server reads part of the remaining body before it answers.
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
		}
		if r.Context().Err() == nil {
			return err
		}
		// The client may still be there, as it was the server that stopped reading. A
		// missing response would count as success.
		if e, ok := errors.AsType[*httperr.Error](err); ok {
			httperr.WriteProblem(w, r, e.Status, e.Detail, e.RetryAfter)
			return nil
		}
		if err != nil {
			httperr.Log(r.Context()).ErrorContext(r.Context(), "upload failed", "request", httperr.RequestID(r.Context()), "route", r.Pattern, "err", err)
			httperr.WriteProblem(w, r, http.StatusInternalServerError, "Something went wrong in the server. The reason is in its log.", 0)
		}
		return nil
	})
}

func (u *Uploads) options(w http.ResponseWriter, _ *http.Request) error {
	h := w.Header()
	h.Set(hResumable, protocolVersion)
	h.Set("Tus-Version", protocolVersion)
	h.Set("Tus-Max-Size", strconv.FormatInt(u.o.MaxSize, 10))
	h.Set("Tus-Extension", extensions)
	h.Set("Tus-Checksum-Algorithm", algorithms)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// override handles a POST that stands for another method, for clients that can't send
// it. Only requests that passed the cross-origin check as POST may do so.
func (u *Uploads) override(w http.ResponseWriter, r *http.Request) error {
	switch r.Header.Get("X-HTTP-Method-Override") {
	case http.MethodPatch:
		return u.patch(w, r)
	case http.MethodHead:
		return u.head(w, r)
	case http.MethodDelete:
		return u.terminate(w, r)
	}
	w.Header().Set("Allow", "OPTIONS, GET, HEAD, PATCH, DELETE")
	return refuse(http.StatusMethodNotAllowed, "Send PATCH to resume an upload; POST creates a new one at "+Route+".")
}

// number parses a header that counts bytes.
func number(r *http.Request, header string) (int64, error) {
	s := r.Header.Get(header)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strings.Trim(s, "0123456789") != "" {
		return 0, refuse(http.StatusBadRequest, "The header "+header+" must be a number of bytes.")
	}
	return n, nil
}

var errMetadata = errors.New("Upload-Metadata must be pairs of a name and a value in base64, separated by commas")

// parseMetadata parses the header Upload-Metadata. The error is for the client and
// contains nothing of the header.
func parseMetadata(s string) (map[string]string, error) {
	m := map[string]string{}
	if strings.TrimSpace(s) == "" {
		return m, nil
	}
	for pair := range strings.SplitSeq(s, ",") {
		key, coded, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if key == "" || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return nil, errMetadata
		}
		if _, twice := m[key]; twice {
			return nil, fmt.Errorf("%w: one name is there twice", errMetadata)
		}
		value, err := base64.StdEncoding.Strict().DecodeString(coded)
		if err != nil || strings.ContainsAny(coded, "\r\n") { // the decoder skips them
			return nil, errMetadata
		}
		m[key] = string(value)
	}
	return m, nil
}

// A checksum is the checksum that a chunk must have.
type checksum struct {
	hash.Hash
	want string
}

// parseChecksum parses the header Upload-Checksum; nil without one.
func parseChecksum(s string) (*checksum, error) {
	if s == "" {
		return nil, nil
	}
	name, coded, _ := strings.Cut(s, " ")
	var c checksum
	switch name {
	case "sha1":
		c.Hash = sha1.New() //nolint:gosec // see above
	case "sha256":
		c.Hash = sha256.New()
	default:
		return nil, refuse(http.StatusBadRequest, "Checksums of chunks must use "+strings.ReplaceAll(algorithms, ",", " or ")+"; other algorithms are not supported.")
	}
	sum, err := base64.StdEncoding.Strict().DecodeString(coded)
	if err != nil || len(sum) != c.Size() {
		return nil, refuse(http.StatusBadRequest, "The header "+hChecksum+" must be an algorithm and the sum in base64.")
	}
	c.want = string(sum)
	return &c, nil
}

func (c *checksum) matches() bool { return string(c.Sum(nil)) == c.want }

// parseDigest checks a SHA-256 in hexadecimal, and returns it in lower case.
func parseDigest(s string) (string, error) {
	s = strings.ToLower(s)
	if b, err := hex.DecodeString(s); err != nil || len(b) != sha256.Size {
		return "", refuse(http.StatusBadRequest, "sha256 must be the SHA-256 of the whole file: 64 hexadecimal digits.")
	}
	return s, nil
}
