package tile

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/slideatlas/ptiffstore/internal/etag"
	"github.com/slideatlas/ptiffstore/internal/profile"
	"github.com/slideatlas/ptiffstore/slide"
)

// An Image is one known image, as of one revision.
type Image struct {
	File   File
	srv    *Server
	path   string
	store  *storeState // of its store
	handle atomic.Pointer[handle]
	move   atomic.Pointer[move] // what requests wait for; nil if none ever waited
}

// An Answer is the answer to a request for a tile. Release must be called when Body is
// no longer needed.
type Answer struct {
	Body        []byte // a complete JPEG; nil with NotModified
	ETag        string // strong, quotes included
	Empty       bool   // the scanner skipped the tile: Body shows the background of the store
	NotModified bool   // the client has the tile already
	Immutable   bool   // the request names the revision, so that the answer never changes
	Public      bool   // shared caches may store it
	whole       []byte // Body within its envelope; nil if it is not in memory
	buf         *[]byte
	held        int64 // bytes counted as being sent
	srv         *Server
}

// Enveloped returns the body between the bytes of [Options].Envelope, not to be modified; nil if it
// is not in memory like that.
func (a *Answer) Enveloped() []byte { return a.whole }

// CacheSeconds is how long caches may use an answer to a request without a revision, as
// the slide can be replaced.
const CacheSeconds = 60

// CacheControl returns the Cache-Control header of the answer.
func (a *Answer) CacheControl() string {
	switch {
	case a.Immutable && a.Public:
		return "public, max-age=31536000, immutable"
	case a.Immutable:
		return "private, max-age=31536000, immutable"
	case a.Public:
		return "public, max-age=60"
	}
	return "private, max-age=60"
}

// Release returns the buffer of the answer to the pool. Body is nil afterwards.
func (a *Answer) Release() {
	if a.held != 0 {
		a.srv.sending.Add(-a.held)
		a.held = 0
	}
	if a.buf != nil && cap(*a.buf) <= 1<<20 {
		buffers.Put(a.buf)
	}
	a.buf, a.Body = nil, nil
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// Tile returns the tile at a. Match is the If-None-Match header of the request.
//
// The error is [slide.ErrNoTile], [ErrOldRevision], [ErrChanged], [ErrUnreachable],
// [ErrBusy], [ErrTooLarge], [ErrColor], that of ctx, or wraps [profile.ErrUnusable], or [ErrUnreadable] and the reason.
func (im *Image) Tile(ctx context.Context, a *Address, match string) (Answer, error) {
	if a.Color != AsStored {
		return im.colored(ctx, a, match)
	}
	for {
		ans, err := im.tile(ctx, a, match)
		if err == nil {
			return ans, nil
		}
		next := im.successor(ctx, err)
		if next == nil {
			return ans, err
		}
		im = next
	}
}

// tile is [Image.Tile] for the file at its present path.
func (im *Image) tile(ctx context.Context, a *Address, match string) (Answer, error) {
	if a.Revision != "" && a.Revision != im.File.Revision {
		return Answer{}, ErrOldRevision
	}
	h, err := im.acquire(ctx)
	if err != nil {
		return Answer{}, err
	}
	defer h.release()
	p, err := locate(h.slide, a, im.File.Store.Origin)
	if err != nil {
		return Answer{}, err
	}
	if p.stored && h.opened != nil && !h.isSet() {
		return im.tileOf(ctx, h, &p, a, match)
	}
	return im.tileAt(ctx, h, &p, a, match)
}

// tileAt answers with the tile at a location.
func (im *Image) tileAt(ctx context.Context, h *handle, p *location, a *Address, match string) (Answer, error) {
	if p.stored {
		if !takeSlot(&im.store.reading, readsAtOnce) {
			return Answer{}, ErrBusy
		}
		defer im.store.reading.Add(-1)
	}
	ans := Answer{ETag: im.etag(p), Immutable: a.Revision != "", Public: im.File.Store.Public}
	var err error
	if match != "" && etag.Matches(match, ans.ETag) {
		ans.NotModified = true
	} else if err = im.fill(ctx, h, p, &ans); err != nil && !errors.Is(err, slide.ErrEmptyTile) {
		ans.Release()
		if isTransient(err) {
			return Answer{}, err
		}
		if errors.Is(err, ErrChanged) || !h.current(monotonic()) {
			im.drop(h)
			return Answer{}, ErrChanged
		}
		return Answer{}, asUnreadable(err)
	}
	if !h.current(monotonic()) {
		ans.Release()
		im.drop(h)
		return Answer{}, ErrChanged
	}
	if err != nil {
		return im.empty(p, ans, match)
	}
	if ans.buf != nil {
		h.offer(p.level, p.x, p.y, ans.Body)
	}
	return ans, nil
}

// tileOf answers with a stored tile of a slide that is not a file.
func (im *Image) tileOf(ctx context.Context, h *handle, p *location, a *Address, match string) (Answer, error) {
	if h.slide.Visible(p.level, p.x, p.y).Empty() {
		return Answer{}, slide.ErrNoTile
	}
	if !takeSlot(&im.store.reading, readsAtOnce) {
		return Answer{}, ErrBusy
	}
	t, err := h.stored(ctx, p.level, p.x, p.y)
	im.store.reading.Add(-1)
	ans := Answer{Immutable: a.Revision != "", Public: im.File.Store.Public}
	switch {
	case errors.Is(err, ErrChanged):
		im.drop(h)
		return Answer{}, ErrChanged
	case err != nil:
		return Answer{}, asUnreadable(err)
	case errors.Is(t.err, slide.ErrMissingTile):
		rendered := *p
		rendered.stored = false
		return im.tileAt(ctx, h, &rendered, a, match)
	case t.err != nil:
		ans.Immutable = false // the program that stores the tiles may not be done
		return im.empty(p, ans, match)
	}
	ans.ETag = t.etag
	if match != "" && etag.Matches(match, ans.ETag) {
		ans.NotModified = true
		return ans, nil
	}
	if err := im.send(&ans, t); err != nil {
		return Answer{}, err
	}
	return ans, nil
}

// send answers with a cached tile.
func (im *Image) send(ans *Answer, t *cachedTile) error {
	need := int64(len(t.body))
	ans.srv, ans.held = im.srv, need
	if now := im.srv.sending.Add(need); now > im.srv.o.MaxSending && now > need {
		ans.Release()
		return im.srv.full()
	}
	ans.Body, ans.whole = t.body, t.whole
	return nil
}

// fill reads or renders the tile.
func (im *Image) fill(ctx context.Context, h *handle, p *location, ans *Answer) (err error) {
	if p.stored {
		if err := im.read(ctx, h, p, ans); !errors.Is(err, slide.ErrMissingTile) {
			return err
		}
		ans.Release()
	}
	if im.srv.sending.Load() >= im.srv.o.MaxSending {
		return im.srv.full()
	}
	defer func() { ans.hold(im.srv, int64(len(ans.Body))) }()
	m := RenderRequest{
		Slide: h.slide, Image: im.File.ID, Revision: im.File.Revision, Background: im.File.Store.Background,
		Zoom: p.zoom, Level: p.level, X: p.x, Y: p.y, Width: p.w, Height: p.h, Shrink: p.shrink,
		Lease: im.lease(h),
	}
	if p.part != nil {
		m.Part, m.Halved = p.part.Rectangle, p.part.halved
	}
	ans.Body, err = im.srv.o.Render(ctx, m)
	return h.explain(err)
}

// read reads a stored tile, unless it is cached. Its memory is counted before it is allocated:
// tiles may have tens of megabytes, and reading them may take long.
func (im *Image) read(ctx context.Context, h *handle, p *location, ans *Answer) (err error) {
	if t := h.cached(p.level, p.x, p.y); t != nil {
		return im.send(ans, t)
	}
	ans.buf = buffers.Get().(*[]byte)
	need := max(h.slide.TileBytes(p.level, p.x, p.y), int64(cap(*ans.buf)))
	ans.srv, ans.held = im.srv, need
	// A tile that is larger than the limit is sent if there is no other.
	if now := im.srv.sending.Add(need); now > im.srv.o.MaxSending && now > need {
		return im.srv.full()
	}
	ans.Body, err = h.appendTile(ctx, (*ans.buf)[:0], p.level, p.x, p.y)
	if err == nil {
		*ans.buf = ans.Body
		ans.hold(im.srv, int64(cap(ans.Body)))
	}
	return err
}

// hold counts n bytes as the answer's memory until it is released.
func (a *Answer) hold(s *Server, n int64) {
	if n != a.held {
		s.sending.Add(n - a.held)
		a.srv, a.held = s, n
	}
}

// Answer returns an answer with a body that is not a tile, but was read or made in [Image.View]. The
// error is [ErrBusy] if too much is being sent.
func (im *Image) Answer(body []byte) (Answer, error) {
	ans := Answer{Body: body}
	ans.hold(im.srv, int64(len(body)))
	if im.srv.sending.Load() > im.srv.o.MaxSending && int64(len(body)) < im.srv.sending.Load() {
		ans.Release()
		return Answer{}, im.srv.full()
	}
	return ans, nil
}

// full returns the error for a tile that does not fit into the memory for answers.
func (s *Server) full() error {
	if s.o.Full != nil {
		s.o.Full()
	}
	return ErrBusy
}

// empty returns an answer that shows the background of the store.
func (im *Image) empty(p *location, ans Answer, match string) (Answer, error) {
	ans.Release()
	w, h := p.w, p.h
	if w == 0 {
		w, h = p.tileW, p.tileH
	}
	c := im.File.Store.Background
	body, err := im.srv.blank(w, h, c)
	if err != nil {
		return Answer{}, err
	}
	ans.Body, ans.Empty = body, true
	ans.ETag = fmt.Sprintf("\"empty-%02x%02x%02x-%dx%d\"", c.R, c.G, c.B, w, h)
	if etag.Matches(match, ans.ETag) {
		ans.Body, ans.NotModified = nil, true
	}
	return ans, nil
}

type blankKey struct {
	w, h int
	c    color.RGBA
}

// blank returns a JPEG of one colour, cached by size and colour.
func (s *Server) blank(w, h int, c color.RGBA) ([]byte, error) {
	k := blankKey{w, h, c}
	if b, ok := s.blanks.Load(k); ok {
		return b.([]byte), nil
	}
	b, err := s.o.Blank(w, h, c)
	if err != nil {
		return nil, fmt.Errorf("background of %d×%d: %w", w, h, err)
	}
	// Sizes come from files: a malicious pyramid must not fill the memory with them.
	if s.blankCount.Add(1) <= 4096 {
		s.blanks.Store(k, b)
	}
	return b, nil
}

// etag returns the ETag of the tile at p: the revision of the file and the location.
func (im *Image) etag(p *location) string {
	b := make([]byte, 0, 64)
	b = append(b, '"')
	b = append(b, im.File.Revision...)
	kind := byte('t')
	switch {
	case p.shrink:
		kind = 's'
	case p.grid:
		kind = 'g'
	case p.part != nil:
		kind = 'r'
	case p.zoom < 0:
		kind = 'l'
	}
	b = append(b, '-', kind)
	z := p.zoom
	if p.zoom < 0 {
		z = p.level
	}
	b = strconv.AppendInt(b, int64(z), 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, int64(p.x), 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, int64(p.y), 10)
	if p.w != 0 {
		b = append(b, '-')
		b = strconv.AppendInt(b, int64(p.w), 10)
		b = append(b, 'x')
		b = strconv.AppendInt(b, int64(p.h), 10)
	}
	b = append(b, '"')
	return string(b)
}

// lease returns a lease of an open slide. The caller must hold a reference.
func (im *Image) lease(h *handle) Lease {
	return Lease{
		Store:   im.File.Store.ID,
		Current: func() bool { return h.current(monotonic()) },
		Hold: func() (release func()) {
			h.refs.Add(1)
			return h.release
		},
	}
}

// View calls f with the open slide of the image, for requests other than tiles:
// descriptions and associated images. If the file has changed when f returns, the error
// is [ErrChanged] and the caller must discard the result of f. Other errors are as those
// of [Image.Tile]. If the file was only moved, f is called again.
func (im *Image) View(ctx context.Context, f func(s *slide.Slide, lease Lease) error) error {
	for {
		err := im.view(ctx, f)
		if err == nil {
			return nil
		}
		next := im.successor(ctx, err)
		if next == nil {
			return err
		}
		im = next
	}
}

// view is [Image.View] for the file at its present path.
func (im *Image) view(ctx context.Context, f func(s *slide.Slide, lease Lease) error) error {
	if !takeSlot(&im.store.viewing, viewsAtOnce) {
		return ErrBusy
	}
	defer im.store.viewing.Add(-1)
	h, err := im.acquire(ctx)
	if err != nil {
		return err
	}
	defer h.release()
	err = h.explain(f(h.slide, im.lease(h)))
	if isTransient(err) {
		return err
	}
	if errors.Is(err, ErrChanged) || !h.current(monotonic()) {
		im.drop(h)
		return ErrChanged
	}
	return asUnreadable(err)
}

// isTransient reports whether err is unrelated to the contents of the slide. The file is
// not checked then, as its file system may not answer.
func isTransient(err error) bool {
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrBusy) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// asUnreadable wraps an error of reading or rendering in [ErrUnreadable], unless it is
// known not to be caused by the contents of the file.
func asUnreadable(err error) error {
	for _, other := range []error{
		nil, slide.ErrNoTile, slide.ErrEmptyTile, slide.ErrNoAssociated, ErrNoImage, ErrChanged, ErrUnreachable, ErrBusy, ErrOldRevision,
		context.Canceled, context.DeadlineExceeded, ErrUnreadable, ErrTooLarge, ErrColor, profile.ErrUnusable,
	} {
		if errors.Is(err, other) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrUnreadable, err)
}
