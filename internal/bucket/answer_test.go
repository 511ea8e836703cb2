package bucket

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/test/s3test"
)

// newListener starts a server that answers as f does, and returns its URL.
func newListener(t testing.TB, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

// An anyKeys server has objects with keys that versitygw cannot store. The contents of an object
// is its key, at the end of a hole.
type anyKeys struct {
	keys []string // sorted
	size int64    // of all objects; that of the key if 0
}

var anyTime = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func (s *anyKeys) identity(key string) Identity {
	return Identity{ETag: fmt.Sprintf("%x", len(key)), Size: max(s.size, int64(len(key))), Modified: anyTime}
}

func (s *anyKeys) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("list-type") == "2" {
		s.list(w, r.URL.Query())
		return
	}
	key := strings.TrimPrefix(r.URL.Path, "/slides/")
	if !slices.Contains(s.keys, key) {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
		return
	}
	id := s.identity(key)
	var from, to int64
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); n != 2 || r.Header.Get("If-Match") != `"`+id.ETag+`"` {
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	w.Header().Set("ETag", `"`+id.ETag+`"`)
	w.Header().Set("Last-Modified", anyTime.Format(http.TimeFormat))
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, id.Size))
	w.WriteHeader(http.StatusPartialContent)
	for ; from <= to; from++ {
		c := byte(0)
		if i := from - (id.Size - int64(len(key))); i >= 0 {
			c = key[i]
		}
		w.Write([]byte{c})
	}
}

func (s *anyKeys) list(w http.ResponseWriter, q url.Values) {
	fmt.Fprint(w, "<?xml version=\"1.0\"?><ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>")
	for _, key := range s.keys {
		if key > q.Get("start-after") && strings.HasPrefix(key, q.Get("prefix")) {
			id := s.identity(key)
			fmt.Fprintf(w, "<Contents><Key>%s</Key><ETag>&quot;%s&quot;</ETag><Size>%d</Size><LastModified>2026-08-01T12:00:00.987Z</LastModified></Contents>", url.QueryEscape(key), id.ETag, id.Size)
		}
	}
	fmt.Fprint(w, "</ListBucketResult>")
}

// Keys are any text: they are listed, read and compared byte by byte.
func TestKeys(t *testing.T) {
	s := &anyKeys{keys: []string{
		"a", "a/", "a//b", "a/../b", "a/./b", "..", "../x", ".", "A", "a b", "a+b", "a%2Fb", "a%b", "a?b=c", "a#b", "a&b", `a"b`, "a'b", "a\\b", "a\nb", "a\x01b", "a\u00a0b", "ä", "a\u0308", "日本",
		"-", "~", "*", "a;b", "a:b", "a@b", "a,b", "a=b", "<a>", strings.Repeat("k", 1024), strings.Repeat("ü", 512), "a\xffb",
	}}
	slices.Sort(s.keys)
	b := open(t, newListener(t, s.ServeHTTP), "s3://slides", Settings{})
	var want []string
	for _, key := range s.keys {
		if key != "a/" && key != "a\xffb" {
			want = append(want, key)
		}
	}
	if diff := cmp.Diff(want, keys(t, b, "")); diff != "" {
		t.Error(diff)
	}
	for _, key := range want {
		id := s.identity(key)
		p := make([]byte, len(key))
		if err := b.ReadAt(t.Context(), key, id, p, 0); err != nil || string(p) != key {
			t.Errorf("%.20q: %.20q, %v", key, p, err)
		}
	}
}

// Objects of five terabytes are read at their end.
func TestHugeObject(t *testing.T) {
	s := &anyKeys{keys: []string{"huge.tiff"}, size: 5 << 40}
	b := open(t, newListener(t, s.ServeHTTP), "s3://slides", Settings{})
	if err := b.List(t.Context(), "", func(o Object) error {
		p := make([]byte, 12)
		if err := b.ReadAt(t.Context(), o.Key, o.Identity, p, o.Identity.Size-12); err != nil || string(p) != "\x00\x00\x00huge.tiff" {
			t.Errorf("%q, %v", p, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// Answers of a hostile server are errors, and bounded.
func TestHostileList(t *testing.T) {
	page := func(inner string) string {
		return "<ListBucketResult><IsTruncated>false</IsTruncated>" + inner + "</ListBucketResult>"
	}
	for name, body := range map[string]string{
		"many elements":       page(strings.Repeat("<Contents/>", 1<<17)),
		"long":                page(strings.Repeat(" ", maxDocument)),
		"not ended":           "<ListBucketResult><IsTruncated>false</IsTruncated><Contents>",
		"too large an object": page("<Contents><Key>a</Key><Size>9223372036854775807</Size></Contents>"),
		"a negative object":   page("<Contents><Key>a</Key><Size>-1</Size></Contents>"),
		"other keys":          page("<Contents><Key>a</Key></Contents><Contents><Key>a</Key></Contents>"),
		"without an end":      "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>",
		"a bad escape":        page("<EncodingType>url</EncodingType><Contents><Key>%ZZ</Key></Contents>"),
	} {
		b := open(t, newListener(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }), "s3://slides", Settings{})
		b.effort.attempts = 1
		n := 0
		err := b.List(t.Context(), "", func(Object) error {
			n++
			return nil
		})
		long := name == "many elements" || name == "long"
		if err == nil || !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrDenied) || n > 0 || long != strings.Contains(err.Error(), "too long") {
			t.Errorf("%s: %d objects, %v", name, n, err)
		}
	}
}

// No answer to a listing makes the client fail otherwise than with an error, or report keys out
// of order or outside of the prefix.
func FuzzList(f *testing.F) {
	f.Add([]byte(`<ListBucketResult><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType><Contents><Key>p/a%20b</Key><ETag>"1"</ETag><Size>3</Size><LastModified>2026-08-01T12:00:00.987Z</LastModified></Contents></ListBucketResult>`))
	f.Add([]byte(`<Error><Code>SlowDown</Code></Error>`))
	f.Add([]byte(`<html>`))
	var answer []byte
	server := newListener(f, func(w http.ResponseWriter, _ *http.Request) { w.Write(answer) })
	b, err := Open(Address{"slides", "p/"}, Settings{Endpoint: server, PathStyle: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(b.Close)
	b.effort.attempts = 1
	f.Fuzz(func(t *testing.T, body []byte) {
		answer = body
		b.breaker.report(false)
		last := ""
		err := b.List(context.Background(), "", func(o Object) error {
			if o.Key <= last || o.Identity.Size < 0 || o.Identity.Modified.Nanosecond() != 0 {
				t.Errorf("%+v after %q", o, last)
			}
			last = o.Key
			return nil
		})
		if err == nil && xml.Unmarshal(body, new(struct {
			XMLName xml.Name `xml:"ListBucketResult"`
		})) != nil {
			t.Errorf("%q is a listing", body)
		}
	})
}

// Only the header of the right part of the right object is accepted.
func FuzzCompare(f *testing.F) {
	f.Add("bytes 5-9/100", `"abc"`, "Sat, 01 Aug 2026 12:00:00 GMT")
	f.Add("bytes 5-9/*", `W/"abc"`, "yesterday")
	f.Fuzz(func(t *testing.T, part, etag, modified string) {
		h := http.Header{"Content-Range": {part}, "Etag": {etag}, "Last-Modified": {modified}}
		if compare(h, Identity{ETag: "abc", Size: 100, Modified: anyTime}, 5, 5) == nil &&
			(part != "bytes 5-9/100" && !strings.Contains(part, "0") || !strings.Contains(etag, "abc")) {
			t.Errorf("%q %q %q is accepted", part, etag, modified)
		}
	})
}

// The credentials come from the place that the environment names, and are in no error.
func TestCredentials(t *testing.T) {
	server := s3test.New(t)
	name := server.Bucket(t)
	server.Put(t, name, "a", []byte("x"))
	file := func(text string) string {
		path := t.TempDir() + "/file"
		writeFile(t, path, text)
		return path
	}
	answer := fmt.Sprintf(`{"AccessKeyId":%q,"SecretAccessKey":%q,"Expiration":%q}`, s3test.AccessKey, s3test.SecretKey, time.Now().Add(time.Hour).Format(time.RFC3339))
	container := newListener(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })
	profile := fmt.Sprintf("[slides]\naws_access_key_id = %s\naws_secret_access_key = %s\n", s3test.AccessKey, s3test.SecretKey)
	for _, tt := range []struct {
		name   string
		env    map[string]string
		source string
		class  error
		text   string
	}{
		{"environment", map[string]string{"AWS_ACCESS_KEY_ID": s3test.AccessKey, "AWS_SECRET_ACCESS_KEY": s3test.SecretKey}, "environment", nil, ""},
		{"profile", map[string]string{"AWS_SHARED_CREDENTIALS_FILE": file(profile), "AWS_PROFILE": "slides"}, "profile", nil, ""},
		{"another profile", map[string]string{"AWS_SHARED_CREDENTIALS_FILE": file(profile), "AWS_PROFILE": "other"}, "profile", ErrDenied, "credentials"},
		{"container", map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": container}, "container", nil, ""},
		{"a container that is gone", map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/hunter2"}, "container", ErrDenied, "unreachable"},
		{"web identity", map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/none/hunter2", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}, "web identity", ErrDenied, "credentials"},
		{"none", nil, "none", ErrDenied, "403"},
		{"wrong secret", map[string]string{"AWS_ACCESS_KEY_ID": s3test.AccessKey, "AWS_SECRET_ACCESS_KEY": "hunter2"}, "environment", ErrDenied, "secret key is wrong"},
		{"unknown key", map[string]string{"AWS_ACCESS_KEY_ID": "hunter2", "AWS_SECRET_ACCESS_KEY": "hunter2"}, "environment", ErrDenied, "access key is unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s3test.Env(t)
			for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
				t.Setenv(name, "")
			}
			t.Setenv("HOME", t.TempDir())
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			s := Settings{Endpoint: server.URL, PathStyle: true}
			b, err := Open(Address{Bucket: name}, s)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			b.effort.wait = time.Millisecond
			err = b.List(t.Context(), "", func(Object) error { return nil })
			if !errors.Is(err, tt.class) || err != nil && (!strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("%v, want %v with %q", err, tt.class, tt.text)
			}
			if got := s.CredentialSource(); got != tt.source {
				t.Errorf("from %s, want %s", got, tt.source)
			}
		})
	}
}

// A server that sends a byte now and then does not keep a request for ever.
func TestTrickle(t *testing.T) {
	server := newListener(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Last-Modified", anyTime.Format(http.TimeFormat))
		w.Header().Set("Content-Range", "bytes 0-999999/1000000")
		w.WriteHeader(http.StatusPartialContent)
		for r.Context().Err() == nil {
			io.WriteString(w, " ")
			http.NewResponseController(w).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	})
	b := open(t, server, "s3://slides", Settings{}).Background()
	b.effort.attempts, b.effort.attempt, b.effort.stall = 1, 100*time.Millisecond, 10*time.Second
	began := time.Now()
	err := b.ReadAt(t.Context(), "a", Identity{ETag: "1", Size: 1_000_000, Modified: anyTime}, make([]byte, 1_000_000), 0)
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "in time") || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}
