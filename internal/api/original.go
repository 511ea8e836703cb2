package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/byterange"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/etag"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
)

// originalAPI is the route of original files.
type originalAPI struct{ *API }

const originalPath = "/api/v1/images/{image}/file"

// downloadFile is the audit log's act for an original file that leaves the server.
const downloadFile = "image.download"

const (
	maxDownloads = 128       // at once
	copySize     = 256 << 10 // bytes that are read, checked and sent at a time
)

// downloads counts the files that are being sent.
var downloads atomic.Int64

var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

var errManyDownloads = &httperr.Error{Status: http.StatusServiceUnavailable, RetryAfter: 5, Detail: "Too many files are being downloaded. Try again."}

// isOriginal reports whether a path is that of [originalPath].
func isOriginal(path string) bool {
	return strings.HasPrefix(path, "/api/v1/images/") && strings.HasSuffix(path, "/file")
}

// file answers with the original file of a slide, or ranges of it. The identity of the file is checked
// after each read, as for tiles: if it has changed, the connection is closed before the end.
func (a originalAPI) file(w http.ResponseWriter, r *http.Request) error {
	im, _, err := a.find(r.Context(), pictureRequest(r))
	if err != nil {
		return explained(err)
	}
	if redirector(a).isRemote(r, &im.File) {
		return &httperr.Error{Status: http.StatusConflict, Detail: "The file is on another host, whose tile server sends tiles only: download it from a server there."}
	}
	if v := r.URL.Query().Get("v"); v != "" && v != im.File.Revision {
		return explained(tile.ErrOldRevision)
	}
	record, err := a.Catalog.Images.Get(r.Context(), im.File.ID)
	if err != nil {
		return a.plain(r.Context(), err)
	}
	if downloads.Add(1) > maxDownloads {
		downloads.Add(-1)
		return errManyDownloads
	}
	defer downloads.Add(-1)
	o, err := im.Original(r.Context())
	if errors.Is(err, tile.ErrNoFile) {
		return &httperr.Error{Status: http.StatusConflict, Detail: "This slide is not one file: its images are in a database or in a series of files. Download it as DICOM, or its pixels by regions."}
	}
	if err != nil {
		return explained(err)
	}
	defer o.Close()
	return a.send(w, r, im, record, o)
}

// send sends the file, or the ranges that the request has.
func (a originalAPI) send(w http.ResponseWriter, r *http.Request, im *tile.Image, record *catalog.Image, o *tile.Original) error {
	h, tag := w.Header(), `"`+o.Revision+`"`
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Accept-Ranges", "bytes")
	h.Set("X-Content-Type-Options", "nosniff")
	if match := r.Header.Get("If-Match"); match != "" && match != "*" && !etag.Matches(match, tag) {
		return &httperr.Error{Status: http.StatusPreconditionFailed, Detail: "The file has changed."}
	}
	if none := r.Header.Get("If-None-Match"); none != "" && etag.Matches(none, tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	ranges, err := wantedRanges(r, o.Size, tag)
	if err != nil {
		h.Set("Content-Range", "bytes */"+strconv.FormatInt(o.Size, 10))
		return &httperr.Error{Status: http.StatusRequestedRangeNotSatisfiable, Detail: "The ranges are outside of the file, overlap, or are more than " + strconv.Itoa(byterange.MaxRanges) + "."}
	}
	if r.Method != http.MethodHead {
		if err := a.recordDownload(r.Context(), &im.File); err != nil {
			return err
		}
	}
	kind := typeOf(record.FileName)
	h.Set("Content-Disposition", disposition(record, o.Revision))
	if d, err := hex.DecodeString(digestOf(record)); err == nil && len(d) > 0 {
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(d)+":")
	}
	status, parts := http.StatusPartialContent, byterange.Parts{}
	switch len(ranges) {
	case 0:
		status, ranges = http.StatusOK, []byterange.Range{{Length: o.Size}}
		h.Set("Content-Length", strconv.FormatInt(o.Size, 10))
	case 1:
		h.Set("Content-Range", ranges[0].ContentRange(o.Size))
		h.Set("Content-Length", strconv.FormatInt(ranges[0].Length, 10))
	default:
		parts = byterange.NewParts(ranges, o.Size, kind, rand.Text())
		kind = "multipart/byteranges; boundary=" + parts.Boundary
		h.Set("Content-Length", strconv.FormatInt(parts.Length, 10))
	}
	h.Set("Content-Type", kind)
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	for i, one := range ranges {
		if parts.Heads != nil {
			writeOrAbort(w, []byte(parts.Heads[i]))
		}
		copyRange(w, r, o, one)
	}
	writeOrAbort(w, []byte(parts.Tail))
	return nil
}

// wantedRanges returns the ranges to send; none for the whole file.
func wantedRanges(r *http.Request, size int64, tag string) ([]byterange.Range, error) {
	header := r.Header.Get("Range")
	if header == "" || r.Method != http.MethodGet || len(r.Header["Range"]) > 1 {
		return nil, nil
	}
	// A date never matches: the revision is a better validator.
	if condition := r.Header.Get("If-Range"); condition != "" && condition != tag {
		return nil, nil
	}
	return byterange.Parse(header, size)
}

// copyRange sends a part of the file. If it cannot be read, or has changed, it closes the connection, so
// that the client does not take a part for all.
func copyRange(w http.ResponseWriter, r *http.Request, o *tile.Original, part byterange.Range) {
	buffer := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buffer)
	for off, end := part.Start, part.Start+part.Length; off < end; {
		p := buffer[:min(copySize, end-off)]
		if err := o.ReadAt(r.Context(), p, off); err != nil {
			if r.Context().Err() == nil {
				httperr.LogError(r, explained(err))
			}
			panic(http.ErrAbortHandler)
		}
		writeOrAbort(w, p)
		off += int64(len(p))
	}
}

func writeOrAbort(w http.ResponseWriter, p []byte) {
	if _, err := w.Write(p); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// typeOf returns the media type of a file by its name.
func typeOf(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".tif", ".tiff", ".svs", ".btf":
		return "image/tiff"
	}
	return "application/octet-stream"
}

// disposition names the file for the client. Callers of this route may see its name.
func disposition(im *catalog.Image, revision string) string {
	name := im.FileName
	if name == "" {
		name = im.ID + "-" + revision
	}
	if d := mime.FormatMediaType("attachment", map[string]string{"filename": name}); d != "" {
		return d
	}
	return "attachment"
}

func digestOf(im *catalog.Image) string {
	if im.Digest == nil {
		return ""
	}
	return *im.Digest
}

// recordDownload records in the audit log that the caller gets the file, before its first byte is sent.
// A program that reads a file by ranges sends thousands of requests: those of one viewing are one
// entry.
func (a originalAPI) recordDownload(ctx context.Context, f *tile.File) error {
	if a.Access == nil || a.Access.Accounts == nil {
		return nil
	}
	v := a.Access.viewings.of(callerOf(ctx))
	defer v.Unlock()
	if v.files[f.ID] {
		return nil
	}
	if err := a.record(ctx, account.Event{Act: downloadFile, Object: f.ID, Allowed: true}); err != nil {
		return err
	}
	if v.files == nil || len(v.files) >= viewingImages {
		v.files = map[string]bool{}
	}
	v.files[f.ID] = true
	return nil
}

// routes returns the route of original files.
func (a originalAPI) routes() []route {
	op := huma.Operation{
		OperationID: "get-file", Summary: "Download the original file of a slide", Tags: []string{picturesTag},
		Description: "The file as it is stored, or ranges of it (Range, up to 64 that do not overlap; If-Range with the ETag). It needs the scope file. The ETag is the revision. If the file changes meanwhile, the connection is closed before the end. The download is recorded in the audit log as image.download.",
		Parameters:  []*huma.Param{imageParam, revisionParam},
		Responses: map[string]*huma.Response{
			"200": answers("The file, with Content-Length and Content-Disposition.", "application/octet-stream", &huma.Schema{Type: huma.TypeString, Format: "binary"}),
			"206": answers("A range, with Content-Range; or several as multipart/byteranges.", "application/octet-stream", &huma.Schema{Type: huma.TypeString, Format: "binary"}),
			"304": {Description: "Not modified: If-None-Match has the current ETag."},
		},
	}
	for status, text := range map[string]string{
		"403": notAllowed,
		"404": "No such image, or not the current revision.",
		"409": "The slide is not one file: an image in a database, or a series of files. Or the file is on another host.",
		"412": "If-Match has another revision.",
		"416": "No range lies in the file, some overlap, or there are too many.",
		"503": "The file has just changed or is unreachable, or too many files are being sent. Retry after the time in Retry-After.",
	} {
		op.Responses[status] = problemAnswer(text)
	}
	return []route{{path: originalPath, handle: a.file, op: op}}
}
