package dicomweb

import (
	"crypto/rand"
	"fmt"
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
	"github.com/slideatlas/ptiffstore/slide"
)

// boundary separates the parts of multipart answers. It is random, so that no file can contain it.
var boundary = rand.Text()

var partEnd = "\r\n--" + boundary + "--"

// Envelope are the bytes before and after a frame of JPEG baseline in a multipart answer.
func Envelope() [2]string { return [2]string{baseline.part, partEnd} }

// partHead returns the head of the first part. Other parts begin with a line end.
func partHead(contentType string) string {
	return "--" + boundary + "\r\nContent-Type: " + contentType + "\r\n\r\n"
}

// relatedType returns the media type of an answer whose parts have a media type.
func relatedType(part string) string {
	return typeRelated + `; type="` + part + `"; boundary=` + boundary
}

// A syntax says how frames of a transfer syntax are sent (PS3.18 section 8.7.3).
type syntax struct {
	uid, media string
	part       string   // begins the first part with a frame
	related    []string // media types of answers with parts
	alone      []string // of a frame alone
	bytes      []string // of a frame alone, for clients that accept bytes
}

func newSyntax(uid, media string) *syntax {
	of := "; transfer-syntax=" + uid
	return &syntax{uid, media, partHead(media + of), []string{relatedType(media)}, []string{media}, []string{typeBytes + of}}
}

var (
	baseline      = newSyntax(dicom.JPEGBaseline, typeJPEG)
	frameSyntaxes = map[string]*syntax{
		dicom.JPEGBaseline:     baseline,
		dicom.JPEGExtended:     newSyntax(dicom.JPEGExtended, typeJPEG),
		dicom.JPEG2000Lossless: newSyntax(dicom.JPEG2000Lossless, typeJP2),
		dicom.JPEG2000Lossy:    newSyntax(dicom.JPEG2000Lossy, typeJP2),
	}
	uncompressed = newSyntax(dicom.ExplicitLittleEndian, typeBytes)
)

// syntaxOf returns how the frames of an instance are sent.
func syntaxOf(in *instance) *syntax {
	if s := frameSyntaxes[in.TransferSyntax]; s != nil {
		return s
	}
	return uncompressed
}

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
	if a.Policy == anyOrigin[0] {
		head[authz.PolicyHeader] = anyOrigin
	} else {
		head[authz.PolicyHeader] = []string{a.Policy}
	}
	addVary(head, a.Vary)
	status, bytes := writeFrame(w, r, baseline, ref.background, &a.Tile, f, h.Join)
	if h.Observe != nil {
		h.Observe(status, bytes, time.Since(began))
	}
	return true
}

// Header values that are shared by all answers instead of being allocated for each.
var (
	anyOrigin  = []string{"cross-origin"}
	emptyFrame = []string{"empty"}
	varyOpen   = []string{"Accept"}
	varyCaller = []string{"Authorization, Cookie", "Accept"}
)

// addVary says that an answer depends on the header Accept, and on others if they are not "".
func addVary(head http.Header, others string) {
	switch old := head["Vary"]; {
	case len(old) == 0 && others == "":
		head["Vary"] = varyOpen
	case len(old) == 0 && others == varyCaller[0]:
		head["Vary"] = varyCaller
	case others == "":
		head["Vary"] = append(slices.Clip(old), "Accept")
	default:
		head["Vary"] = append(slices.Clip(old), others, "Accept")
	}
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

var frameBuffer = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// writeFrame writes a frame with its headers. Background, if not nil, is that of skipped tiles.
func writeFrame(w http.ResponseWriter, r *http.Request, s *syntax, background []byte, t *tile.Answer, f form, join func(*http.Request, int)) (status, bytes int) {
	head := w.Header()
	tag := t.ETag
	if f.related {
		tag = relatedTag + strings.TrimPrefix(tag, `"`)
	}
	head["Etag"] = []string{tag}
	head["Cache-Control"] = []string{t.CacheControl()}
	if t.Empty {
		head["X-Tile"] = emptyFrame
	}
	if t.NotModified {
		w.WriteHeader(http.StatusNotModified)
		return http.StatusNotModified, 0
	}
	body := t.Body
	if t.Empty && background != nil {
		body = background
	}
	n := len(body)
	head["Content-Type"] = s.alone
	switch {
	case f.related:
		head["Content-Type"] = s.related
		n += len(s.part) + len(partEnd)
	case f.part == typeBytes:
		head["Content-Type"] = s.bytes
	}
	head["Content-Length"] = []string{strconv.Itoa(n)}
	if r.Method == http.MethodHead {
		return http.StatusOK, 0
	}
	switch whole := t.Enveloped(); {
	case !f.related:
	case whole != nil && !t.Empty && s == baseline:
		body = whole
	default:
		buf := frameBuffer.Get().(*[]byte)
		defer putBuffer(buf)
		*buf = append(append(append((*buf)[:0], s.part...), body...), partEnd...)
		body = *buf
	}
	if join != nil {
		join(r, n)
	}
	w.Write(body) // if this fails, the client has disconnected
	return http.StatusOK, n
}

// putBuffer keeps a buffer, unless it is a large one.
func putBuffer(buf *[]byte) {
	if cap(*buf) <= 1<<20 {
		frameBuffer.Put(buf)
	}
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
	syntax := syntaxOf(sub.in)
	f, ok := frameForm(acceptOf(r), syntax.uid, syntax.media, len(numbers) > 1)
	if !ok {
		return notAcceptable(`multipart/related; type="application/octet-stream"; transfer-syntax=` + syntax.uid + `, and for one frame ` + syntax.media)
	}
	if sub.in.Private {
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
	addVary(w.Header(), "")
	writeFrame(w, r, syntax, sub.in.Background(), &t, f, nil)
	return nil
}

// frame returns a frame, from 0.
func (s *Service) frame(r *http.Request, sub *subject, n int, related bool) (tile.Answer, error) {
	match := httperr.IfNoneMatch(r)
	if related {
		match = relatedMatch(match)
	}
	f := &sub.image.File
	if !sub.in.IsTile() {
		return s.otherFrame(r, sub, n, match)
	}
	at := tile.Address{Kind: tile.ByLevel, Z: sub.in.Level, X: n % sub.in.Columns, Y: n / sub.in.Columns, Revision: f.Revision}
	t, err := sub.image.Tile(r.Context(), &at, match)
	t.Public = false
	return t, err
}

// otherFrame returns a frame that is not a tile.
func (s *Service) otherFrame(r *http.Request, sub *subject, n int, match string) (t tile.Answer, err error) {
	tag := fmt.Sprintf(`"%s-dicom-%s-%d"`, sub.image.File.Revision, sub.in.UID, n)
	current := match != "" && etag.Matches(match, tag)
	var body []byte
	err = sub.image.View(r.Context(), func(sl *slide.Slide, lease tile.Lease) (err error) {
		switch {
		case current:
		case sub.in.IsDecoded():
			body, err = s.decoded(r.Context(), sub.in, sl, lease, n)
		default:
			body, err = sub.in.AppendFrameOf(r.Context(), sl, nil, n)
		}
		return err
	})
	if err != nil {
		return t, err
	}
	if t, err = sub.image.Answer(body); err != nil {
		return t, err
	}
	// The identifiers of files stay the same when their pixels do not.
	t.ETag, t.NotModified, t.Immutable = tag, current, !sub.in.IsFile()
	return t, nil
}

// frameList answers with several frames, a part each. They are sent as they are read.
func (s *Service) frameList(w http.ResponseWriter, r *http.Request, sub *subject, numbers []int) error {
	r.Header.Del("If-None-Match") // the answer has no ETag
	h := w.Header()
	syntax := syntaxOf(sub.in)
	h.Set("Content-Type", relatedType(syntax.media))
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
		buf = append(append(buf, syntax.part...), body...)
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
