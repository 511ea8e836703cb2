package dicomweb

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/dicom"
	"github.com/slideatlas/ptiffstore/internal/etag"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/tile"
	"github.com/slideatlas/ptiffstore/internal/tile/answer"
)

// boundary separates the parts of multipart answers. It is random, so that no file can contain it.
var boundary = rand.Text()

var (
	partEnd = "\r\n--" + boundary + "--"
	// jpegPart begins the first part with a frame.
	jpegPart = partHead(jpegType)
)

// jpegType is the media type of a frame in a part, with its transfer syntax.
const jpegType = typeJPEG + "; transfer-syntax=" + dicom.JPEGBaseline

// partHead returns the head of the first part. Other parts begin with a line end.
func partHead(contentType string) string {
	return "--" + boundary + "\r\nContent-Type: " + contentType + "\r\n\r\n"
}

// relatedType returns the media type of an answer whose parts have a media type.
func relatedType(part string) string {
	return typeRelated + `; type="` + part + `"; boundary=` + boundary
}

var jpegRelated = []string{relatedType(typeJPEG)}

// A frameAccept is an Accept header with the form that it selects for one frame of JPEG baseline.
type frameAccept struct {
	header string
	form   form
	ok     bool
}

func (a *frameAccept) key() string { return a.header }

// frameForm is the function frameForm for one frame; it keeps the results, since viewers always send
// the same header.
func (s *Service) frameForm(accept string) (form, bool) {
	if a := s.accepts.find(accept); a != nil {
		return a.form, a.ok
	}
	a := &frameAccept{header: accept}
	a.form, a.ok = frameForm(accept, dicom.JPEGBaseline, typeJPEG, false)
	if len(accept) <= 512 {
		s.accepts.put(a)
	}
	return a.form, a.ok
}

// Frames answers requests for one frame of a known level, and passes all others to Next, also those
// that it would refuse: it is a short cut.
type Frames struct {
	Service *Service
	Next    http.Handler
	// Gate checks access to the tiles of an image; nil for no access control.
	Gate *authz.Gate
	// Observe, if not nil, is called after each frame with the status, the size of the body and
	// the duration.
	Observe func(status, bytes int, d time.Duration)
	// Join, if not nil, is called before a body of so many bytes is written at once.
	Join func(r *http.Request, body int)
}

// ServeHTTP implements [http.Handler].
func (h *Frames) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ref, n, ok := h.Service.parseFrame(r.URL.Path)
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead || !h.serve(w, r, ref, n) {
		h.Next.ServeHTTP(w, r)
	}
}

// parseFrame returns the level and the frame, from 0, of a path, if the level is known.
func (s *Service) parseFrame(path string) (*frameRef, int, bool) {
	rest, ok := strings.CutPrefix(path, Prefix+"/studies/")
	if !ok {
		return nil, 0, false
	}
	study, rest, ok := strings.Cut(rest, "/series/")
	if !ok {
		return nil, 0, false
	}
	series, rest, ok := strings.Cut(rest, "/instances/")
	if !ok {
		return nil, 0, false
	}
	uid, number, ok := strings.Cut(rest, "/frames/")
	if !ok {
		return nil, 0, false
	}
	ref := s.frames.find(uid)
	if ref == nil || ref.study != study || ref.series != series {
		return nil, 0, false
	}
	n, ok := frameNumber(number)
	return ref, n - 1, ok && n <= ref.frames
}

// frameNumber parses the number of a frame, from 1.
func frameNumber(s string) (int, bool) {
	if s == "" || len(s) > 9 {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int(d)
	}
	return n, n > 0
}

// serve answers with a frame. It reports false, having written nothing, if the frame needs a closer
// look.
func (h *Frames) serve(w http.ResponseWriter, r *http.Request, ref *frameRef, n int) bool {
	var began time.Time
	if h.Observe != nil {
		began = time.Now()
	}
	f, ok := h.Service.frameForm(acceptOf(r))
	if !ok {
		return false
	}
	head := w.Header()
	header := func(name string) string { return strings.Join(r.Header[name], ", ") }
	if f.related {
		header = func(name string) string {
			v := strings.Join(r.Header[name], ", ")
			if name == "If-None-Match" {
				return relatedMatch(v)
			}
			return v
		}
	}
	q := answer.Request{Request: tile.Request{Image: ref.image, Address: ref.address(n)}, Query: r.URL.RawQuery, CORS: len(head["Access-Control-Allow-Origin"]) > 0}
	d := answer.Decider{Tiles: h.Service.o.Tiles, Gate: h.Gate}
	a := d.Check(r.Context(), &q, header)
	if a.Err != nil {
		return false
	}
	if file, _ := a.File(); file.Store.Elsewhere != "" {
		return false
	}
	if d.Tile(r.Context(), &q, header, &a); a.Err != nil {
		return false
	}
	defer a.Tile.Release()
	head[authz.PolicyHeader] = []string{a.Policy}
	if a.Vary != "" {
		head["Vary"] = append(slices.Clip(head["Vary"]), a.Vary)
	}
	status, bytes := writeFrame(w, r, ref, &a.Tile, f, h.Join)
	if h.Observe != nil {
		h.Observe(status, bytes, time.Since(began))
	}
	return true
}

// address returns the address of a frame, from 0, as a tile.
func (f *frameRef) address(n int) tile.Address {
	return tile.Address{Kind: tile.ByLevel, Z: f.level, X: n % f.columns, Y: n / f.columns, Revision: f.revision}
}

// relatedTag begins the ETags of multipart answers, since those of one JPEG are other bytes.
const relatedTag = `"related-`

// relatedMatch returns the If-None-Match header of a request for a multipart answer, as it would be
// for the JPEG alone.
func relatedMatch(v string) string {
	if v == "" || v == "*" {
		return v
	}
	var tags []string
	for tag := range strings.SplitSeq(v, ",") {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(tag), relatedTag); ok {
			tags = append(tags, `"`+rest)
		}
	}
	return strings.Join(tags, ",")
}

var (
	frameTypes  = map[string][]string{typeJPEG: {typeJPEG}, typeBytes: {typeBytes + "; transfer-syntax=" + dicom.JPEGBaseline}}
	frameBuffer = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}
)

// writeFrame writes a frame with its headers.
func writeFrame(w http.ResponseWriter, r *http.Request, ref *frameRef, t *tile.Answer, f form, join func(*http.Request, int)) (status, bytes int) {
	head := w.Header()
	tag := t.ETag
	if f.related {
		tag = relatedTag + strings.TrimPrefix(tag, `"`)
	}
	head["Etag"] = []string{tag}
	head["Cache-Control"] = []string{t.CacheControl()}
	head["Vary"] = append(slices.Clip(head["Vary"]), "Accept")
	if t.Empty {
		head["X-Tile"] = []string{"empty"}
	}
	if t.NotModified {
		w.WriteHeader(http.StatusNotModified)
		return http.StatusNotModified, 0
	}
	body := t.Body
	if t.Empty && ref.background != nil {
		body = ref.background
	}
	n := len(body)
	head["Content-Type"] = frameTypes[f.part]
	if f.related {
		head["Content-Type"] = jpegRelated
		n += len(jpegPart) + len(partEnd)
	}
	head["Content-Length"] = []string{strconv.Itoa(n)}
	if r.Method == http.MethodHead {
		return http.StatusOK, 0
	}
	if f.related {
		buf := frameBuffer.Get().(*[]byte)
		defer frameBuffer.Put(buf)
		*buf = append(append(append((*buf)[:0], jpegPart...), body...), partEnd...)
		body = *buf
	}
	if join != nil {
		join(r, n)
	}
	w.Write(body) // if this fails, the client has disconnected
	return http.StatusOK, n
}

// maxFrameList limits the frames of a request.
const maxFrameList = 1000

// parseFrames parses a list of numbers of frames, from 1. Ok is false for anything else.
func parseFrames(list string) (numbers []int, ok bool) {
	if strings.Count(list, ",") >= maxFrameList {
		return nil, false
	}
	for s := range strings.SplitSeq(list, ",") {
		n, ok := frameNumber(strings.TrimSpace(s))
		if !ok {
			return nil, false
		}
		numbers = append(numbers, n)
	}
	return numbers, true
}

// Frames answers with frames of an instance.
func (s *Service) Frames(w http.ResponseWriter, r *http.Request) error {
	sub, err := s.subject(r)
	if err != nil {
		return err
	}
	numbers, ok := parseFrames(r.PathValue("frames"))
	if !ok {
		return badRequest("Frames are numbers from 1 on with commas between them, at most " + strconv.Itoa(maxFrameList) + ".")
	}
	if slices.Max(numbers) > sub.in.Frames() {
		return errNoFrame
	}
	f, ok := frameForm(acceptOf(r), sub.in.TransferSyntax, typeJPEG, len(numbers) > 1)
	if !ok {
		return notAcceptable(`multipart/related; type="application/octet-stream"; transfer-syntax=` + sub.in.TransferSyntax + `, and for one frame image/jpeg`)
	}
	if sub.in.Kind != "" {
		if err := s.showsPatient(w, r, sub); err != nil {
			return err
		}
	}
	if len(numbers) > 1 {
		return s.frameList(w, r, sub, numbers)
	}
	t, err := s.frame(r, sub, numbers[0]-1, f.related)
	if err != nil {
		return problem(err)
	}
	defer t.Release()
	writeFrame(w, r, sub.ref(), &t, f, nil)
	return nil
}

// ref returns the level of a subject.
func (sub *subject) ref() *frameRef {
	f := &sub.image.File
	return &frameRef{
		uid: sub.in.UID, image: f.ID, revision: f.Revision,
		level: sub.in.Level, columns: sub.in.Columns, frames: sub.in.Frames(), background: sub.in.Background(),
	}
}

// frame returns a frame, from 0.
func (s *Service) frame(r *http.Request, sub *subject, n int, related bool) (tile.Answer, error) {
	match := httperr.IfNoneMatch(r)
	if related {
		match = relatedMatch(match)
	}
	if sub.in.Kind != "" {
		t := tile.Answer{ETag: `"` + sub.image.File.Revision + "-" + sub.in.Kind + `"`, Body: sub.in.Associated(), Immutable: true}
		t.NotModified = match != "" && etag.Matches(match, t.ETag)
		return t, nil
	}
	at := sub.ref().address(n)
	t, err := sub.image.Tile(r.Context(), &at, match)
	t.Public = false
	return t, err
}

// frameList answers with several frames, a part each. They are sent as they are read.
func (s *Service) frameList(w http.ResponseWriter, r *http.Request, sub *subject, numbers []int) error {
	r.Header.Del("If-None-Match") // the answer has no ETag
	h := w.Header()
	h.Set("Content-Type", relatedType(typeJPEG))
	h.Set("Cache-Control", "private, no-store")
	h.Add("Vary", "Accept")
	if r.Method == http.MethodHead {
		return nil
	}
	var buf []byte
	for i, n := range numbers {
		t, err := s.frame(r, sub, n-1, false)
		if err != nil {
			if i == 0 {
				h.Del("Content-Type")
				return problem(err)
			}
			panic(http.ErrAbortHandler) // so that the client does not take a part for all
		}
		body := t.Body
		if t.Empty && sub.in.Background() != nil {
			body = sub.in.Background()
		}
		buf = buf[:0]
		if i > 0 {
			buf = append(buf, "\r\n"...)
		}
		buf = append(append(buf, jpegPart...), body...)
		t.Release()
		if i == len(numbers)-1 {
			buf = append(buf, partEnd...)
		}
		if i == 0 && http.NewResponseController(w).Flush() != nil {
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(buf); err != nil {
			panic(http.ErrAbortHandler) // the client is gone
		}
	}
	return nil
}

// showsPatient records that the caller sees the label or the macro image, and keeps the answer from
// pages of other sites.
func (s *Service) showsPatient(w http.ResponseWriter, r *http.Request, sub *subject) error {
	w.Header().Set(authz.PolicyHeader, "same-origin")
	return s.o.ShowLabel(r.Context(), &sub.image.File)
}
