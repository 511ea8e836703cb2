package upload

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

const (
	// chunkBytes is the size of a chunk, which is sent with a checksum. It is what must
	// be sent again after the connection was cut or damaged a chunk.
	chunkBytes = 16 << 20
	// stallTime is how long a connection may be silent before the client gives it up.
	stallTime = 60 * time.Second
	// answerTime is how long the server may take to answer after everything has been
	// sent.
	answerTime = 2 * time.Minute

	minPause, maxPause = 500 * time.Millisecond, 30 * time.Second
)

var errSilent = errors.New("the server does not respond")

// ErrChanged: the file changed while it was sent. The server keeps nothing of
// it.
var ErrChanged = errors.New("the file changed while it was sent: upload it again when it is complete")

// A Client sends files to a server. It resumes the uploads that it began, also after a
// restart.
type Client struct {
	URL   string // of the server
	Token string // "" for none
	// Dir holds a file for each upload in progress: its address and the digest of the
	// file, without the file's name.
	Dir string
	// MaxRetryTime is how long a server may be unreachable or full before the client gives
	// up.
	MaxRetryTime time.Duration
	// Wait is how long to wait for the server's verdict after a file was sent.
	Wait time.Duration
	// Waiting, if not nil, is called with the reason why nothing can be sent for now.
	Waiting func(path, why string)

	HTTP  *http.Client // a client without redirects if nil
	Chunk int64        // bytes sent at a time; 16 MiB if 0
}

// A Stage is a step of sending a file.
type Stage string

const (
	Reading Stage = "reading" // to compute its digest
	Sending Stage = "sending"
	Waiting Stage = "waiting" // for the verdict
)

// A ProgressFunc receives how many bytes of a file have been read or sent. The number
// falls when a chunk has to be sent again.
type ProgressFunc func(stage Stage, done, total int64)

// A session is an upload in progress, as saved for the next start.
type session struct {
	URL    string
	SHA256 string
}

// A sending is one file that is being sent.
type sending struct {
	*Client
	path     string
	store    string
	file     *os.File
	stat     os.FileInfo
	state    string // path of the session's file
	now      session
	progress ProgressFunc
}

// Send sends the file at path to a store, and resumes an upload that was begun before.
// It returns the upload once the server has all of it and has confirmed the digest.
// With Wait it returns when the server's verdict is known, or after that time.
//
// The error may be [ErrChanged], a [*httperr.Error] if the server refuses, or one of
// the file, the network or ctx.
// or that of the file, the network or ctx.
func (c *Client) Send(ctx context.Context, path, store string, progress ProgressFunc) (*View, error) {
	f, err := fsx.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := &sending{Client: c, path: path, store: store, file: f, stat: st, progress: progress}
	if s.state, err = s.stateFile(); err != nil {
		return nil, err
	}
	s.load()
	for range 3 {
		v, err := s.run(ctx)
		if !errors.Is(err, errForgotten) {
			return v, err
		}
	}
	return nil, errors.New("the server has lost the upload three times: see its log")
}

// stateFile is the path of the session of this file with this server.
func (s *sending) stateFile() (string, error) {
	abs, err := filepath.Abs(s.path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d\x00%d", s.URL, s.store, abs, s.stat.Size(), s.stat.ModTime().UnixNano()))
	return filepath.Join(s.Dir, hex.EncodeToString(sum[:16])+".json"), nil
}

func (s *sending) load() {
	b, err := os.ReadFile(s.state)
	if err != nil || strictjson.UnmarshalKnown(b, &s.now) != nil || len(s.now.SHA256) != 64 {
		s.now = session{} // start over
	}
}

// keep saves the session for the next start.
func (s *sending) keep() error {
	b, err := json.Marshal(s.now)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	return fsx.WriteFile(s.state, b, 0o600)
}

// forget removes the session.
func (s *sending) forget() {
	s.now.URL = ""
	os.Remove(s.state) // a file that stays is of an upload that the server no longer has
}

func (s *sending) run(ctx context.Context) (*View, error) {
	offset := int64(0)
	if s.now.URL == "" {
		if err := s.begin(ctx); err != nil {
			return nil, err
		}
	} else if err := s.retry(ctx, func() (err error) { offset, err = s.offset(ctx); return err }); err != nil {
		return nil, s.lost(err)
	}
	if err := s.send(ctx, offset); err != nil {
		return nil, s.lost(err)
	}
	if now, err := s.file.Stat(); err != nil || now.Size() != s.stat.Size() || !now.ModTime().Equal(s.stat.ModTime()) {
		return nil, s.takeBack(ctx)
	}
	v, err := s.Show(ctx, s.now.URL)
	if err != nil {
		return nil, s.lost(err)
	}
	if v.State != string(received) || v.SHA256 == nil || *v.SHA256 != s.now.SHA256 {
		s.forget()
		return nil, fmt.Errorf("the server's file differs from the one that was sent; its state is %s: upload it again", v.State)
	}
	if s.progress(Waiting, s.stat.Size(), s.stat.Size()); s.Wait > 0 {
		v, err = s.verdict(ctx)
	}
	if err == nil { // otherwise the next start checks it again, without sending anything
		s.forget()
	}
	return v, err
}

// errForgotten: the server no longer has the upload, because it expired or was removed.
// The file is sent again from the beginning.
var errForgotten = errors.New("the server no longer has the upload")

// lost removes the session if the server does not have the upload, which is
// errForgotten, or has refused it.
func (s *sending) lost(err error) error {
	e, ok := errors.AsType[*httperr.Error](err)
	if !ok || again(e.Status) {
		return err
	}
	s.forget()
	if e.Status == http.StatusNotFound || e.Status == http.StatusGone {
		return errors.Join(errForgotten, err)
	}
	return err
}

// takeBack removes an upload whose file has changed.
func (s *sending) takeBack(ctx context.Context) error {
	r, err := s.request(ctx, http.MethodDelete, s.now.URL, nil)
	if err == nil {
		_, err = s.do(r)
	}
	s.forget()
	return errors.Join(ErrChanged, err)
}

// begin computes the digest of the file, and creates the upload.
func (s *sending) begin(ctx context.Context) error {
	if s.now.SHA256 == "" {
		sum, err := s.digest(ctx)
		if err != nil {
			return err
		}
		s.now.SHA256 = sum
	}
	pairs := [][2]string{{"filename", filepath.Base(s.path)}, {"store", s.store}, {"sha256", s.now.SHA256}}
	var meta []string
	for _, p := range pairs {
		meta = append(meta, p[0]+" "+base64.StdEncoding.EncodeToString([]byte(p[1])))
	}
	return s.retry(ctx, func() error {
		r, err := s.request(ctx, http.MethodPost, strings.TrimSuffix(s.URL, "/")+Route, nil)
		if err != nil {
			return err
		}
		r.Header.Set(hLength, strconv.FormatInt(s.stat.Size(), 10))
		r.Header.Set(hMetadata, strings.Join(meta, ","))
		resp, err := s.do(r)
		if err != nil {
			return err
		}
		at, err := r.URL.Parse(resp.Header.Get("Location"))
		if err != nil || resp.Header.Get("Location") == "" {
			return fmt.Errorf("the response of %s has no Location of the upload: check that it is a ptiffstore server", s.URL)
		}
		s.now.URL = at.String()
		return s.keep()
	})
}

func (s *sending) digest(ctx context.Context) (string, error) {
	size := s.stat.Size()
	digest, err := fsx.SHA256(ctx, s.file, size, func(done, _ int64) { s.progress(Reading, done, size) })
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "", ErrChanged
	}
	return digest, err
}

// send sends the file from offset on.
func (s *sending) send(ctx context.Context, offset int64) error {
	total := s.stat.Size()
	for offset < total {
		s.progress(Sending, offset, total)
		asked := true // the server was asked for its offset
		err := s.retry(ctx, func() (err error) {
			if !asked {
				if offset, err = s.offset(ctx); err != nil {
					return err
				}
				asked = true
			}
			if offset >= total {
				return nil
			}
			next, err := s.chunk(ctx, offset)
			if asked = err == nil; asked {
				offset = next
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	s.progress(Sending, total, total)
	return nil
}

// offset asks how much of the upload the server has.
func (s *sending) offset(ctx context.Context) (int64, error) {
	r, err := s.request(ctx, http.MethodHead, s.now.URL, nil)
	if err != nil {
		return 0, err
	}
	resp, err := s.do(r)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(resp.Header.Get(hOffset), 10, 64)
	if err != nil || n < 0 || n > s.stat.Size() {
		return 0, fmt.Errorf("the response of %s has no valid Upload-Offset: check that it is a ptiffstore server", s.URL)
	}
	return n, nil
}

// chunk sends a chunk of the file, and returns the offset of the next.
func (s *sending) chunk(ctx context.Context, offset int64) (int64, error) {
	size := min(or(s.Chunk, chunkBytes), s.stat.Size()-offset)
	h := sha256.New()
	if n, err := io.Copy(h, io.NewSectionReader(s.file, offset, size)); err != nil {
		return 0, err
	} else if n < size {
		return 0, ErrChanged
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(stallTime, func() { cancel(errSilent) })
	defer stall.Stop()
	body := &watched{r: io.NewSectionReader(s.file, offset, size), moved: func(n int64) {
		if stall.Reset(stallTime); n == size {
			stall.Reset(answerTime)
		}
		s.progress(Sending, offset+n, s.stat.Size())
	}}
	r, err := s.request(ctx, http.MethodPatch, s.now.URL, body)
	if err != nil {
		return 0, err
	}
	r.ContentLength = size
	r.Header.Set("Content-Type", chunkType)
	r.Header.Set("Expect", "100-continue") // so that a refusal comes before the bytes are sent
	r.Header.Set(hOffset, strconv.FormatInt(offset, 10))
	r.Header.Set(hChecksum, "sha256 "+base64.StdEncoding.EncodeToString(h.Sum(nil)))
	resp, err := s.do(r)
	if err != nil {
		return 0, err
	}
	if got := resp.Header.Get(hOffset); got != strconv.FormatInt(offset+size, 10) {
		return 0, fmt.Errorf("the server reports offset %q after a chunk that ends at %d", got, offset+size)
	}
	return offset + size, nil
}

// watched is a body that reports how much of it was read.
type watched struct {
	r     io.Reader
	n     int64
	moved func(n int64)
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	w.moved(w.n)
	return n, err
}

// Show returns an upload as the server sees it. It retries while the server is
// unreachable.
func (c *Client) Show(ctx context.Context, at string) (*View, error) {
	var v View
	s := &sending{Client: c}
	return &v, s.retry(ctx, func() error {
		r, err := c.request(ctx, http.MethodGet, at, nil)
		if err != nil {
			return err
		}
		resp, err := c.do(r)
		if err != nil {
			return err
		}
		return strictjson.UnmarshalKnown(resp.body, &v)
	})
}

// imageWait is how long to wait for the image of a file that is not a slide. The store's
// page then has the same state as the upload.
const imageWait = 10 * time.Second

// verdict waits until the server has inspected the file.
func (s *sending) verdict(ctx context.Context) (*View, error) {
	begin := time.Now()
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 3*time.Second) {
		v, err := s.Show(ctx, s.now.URL)
		after := time.Since(begin)
		if err != nil || after >= s.Wait || v.Decided() && (v.placed() || after >= imageWait) {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// Decided reports whether the server has inspected the file.
func (v *View) Decided() bool {
	if v.Conversion != nil {
		return *v.Conversion == "failed" || *v.Conversion == "done" && v.Image.State != "arriving"
	}
	return v.Verdict != nil && *v.Verdict != "slide" || v.Image != nil && v.Image.State != "arriving"
}

// placed reports whether the image of a decided file has its final state: the store moves a
// broken or unsupported file to quarantine.
func (v *View) placed() bool {
	return v.Conversion != nil || v.Image != nil && v.Image.State != "broken" && v.Image.State != "unsupported"
}

func (c *Client) request(ctx context.Context, method, at string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set(hResumable, protocolVersion)
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return r, nil
}

type response struct {
	http.Header
	body []byte
}

// do sends a request. The error of an unsuccessful response is a [*httperr.Error].
func (c *Client) do(r *http.Request) (response, error) {
	client := c.HTTP
	if client == nil {
		client = ownClient
	}
	resp, err := client.Do(r)
	if err != nil {
		if why := context.Cause(r.Context()); why != nil {
			err = why
		}
		return response{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if resp.StatusCode < 300 {
		return response{resp.Header, body}, err
	}
	var p httperr.Problem
	if strictjson.UnmarshalKnown(body, &p) != nil || p.Detail == "" {
		p.Detail = "The server answered " + resp.Status + "."
	}
	after, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0 without the header
	return response{}, &httperr.Error{Status: resp.StatusCode, Detail: p.Detail, RetryAfter: after}
}

// ownClient follows no redirects: files are sent only to the server that the user
// named.
var ownClient = &http.Client{
	Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ExpectContinueTimeout: 2 * time.Second, ResponseHeaderTimeout: answerTime,
		TLSHandshakeTimeout: 15 * time.Second, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// again reports whether a request with this status may succeed later.
func again(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusLocked, http.StatusTooManyRequests, statusChecksum:
		return true
	}
	return status >= 500 && status != http.StatusNotImplemented
}

// retry calls f until it succeeds, or fails with a permanent error. It waits between
// attempts, longer each time.
func (s *sending) retry(ctx context.Context, f func() error) error {
	began := time.Now()
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		err := f()
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		wait := pause/2 + rand.N(pause/2) // so that clients don't retry at the same time
		e, answered := errors.AsType[*httperr.Error](err)
		var network *url.Error
		switch {
		case answered && again(e.Status):
			wait = max(wait, min(time.Duration(e.RetryAfter)*time.Second, maxPause))
		case !answered && (errors.As(err, &network) || errors.Is(err, errSilent)):
		default:
			return err
		}
		if time.Since(began)+wait > s.MaxRetryTime {
			return err
		}
		if s.Waiting != nil {
			s.Waiting(s.path, words(err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// words is an error in words for a person.
func words(err error) string {
	if e, ok := errors.AsType[*httperr.Error](err); ok {
		return e.Detail
	}
	var network *url.Error
	if errors.As(err, &network) {
		return network.Err.Error()
	}
	return err.Error()
}
