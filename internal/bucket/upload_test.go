package bucket

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/test/s3test"
)

func TestPartSize(t *testing.T) {
	for _, tt := range []struct{ length, want int64 }{
		{0, 16 << 20}, {1, 16 << 20}, {900 * 16 << 20, 16 << 20}, {900*16<<20 + 1, 17 << 20}, {10_000_000_000, 16 << 20}, {5_000_000_000_000, 5299 << 20},
	} {
		got := PartSize(tt.length)
		if got != tt.want || (tt.length+got-1)/got > maxParts {
			t.Errorf("PartSize(%d) = %d MiB, want %d", tt.length, got>>20, tt.want>>20)
		}
	}
}

// body returns bytes of two parts, and their checksum.
func body() (p []byte, crc uint64) {
	p = bytes.Repeat([]byte("0123456789abcdef"), 5<<16)
	p = append(p, "the end"...)
	h := NewCRC()
	h.Write(p)
	return p, h.Sum64()
}

const firstPart = 5 << 20

// upload sends the parts of a body.
func upload(t *testing.T, b *Bucket, key, token string, p []byte) (id string, parts []Part) {
	t.Helper()
	id, err := b.BeginUpload(t.Context(), key, token, PutOptions{ContentType: "image/tiff"})
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range [][]byte{p[:firstPart], p[firstPart:]} {
		sent, err := b.UploadPart(t.Context(), key, id, i+1, part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, sent)
	}
	return id, parts
}

func TestUpload(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	b := open(t, proxy.URL, "s3://"+name+"/p", Settings{}).Background()
	b.effort.wait = time.Millisecond
	p, crc := body()
	finish := Finish{Token: "t1", Size: int64(len(p)), CRC: crc, IfAbsent: true}

	id, parts := upload(t, b, "a.tiff", "t1", p)
	got, err := b.Parts(t.Context(), "a.tiff", id)
	if diff := cmp.Diff(parts, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	other, _ := upload(t, b, "b.tiff", "t2", p)
	var unfinished []string
	if err := b.Uploads(t.Context(), func(u Upload) error {
		unfinished = append(unfinished, u.Key+" "+u.ID)
		if time.Since(u.Begun).Abs() > time.Hour {
			t.Errorf("begun %v", u.Begun)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"a.tiff " + id, "b.tiff " + other}, unfinished); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		if err := b.AbortUpload(t.Context(), "b.tiff", other); err != nil {
			t.Error(err)
		}
	}
	// The answer is lost, the call is repeated, and repeated again much later.
	proxy.Set(s3test.Fault{Kind: "complete", Times: 1, Late: true, Reset: true})
	for range 2 {
		identity, checked, err := b.CompleteUpload(t.Context(), "a.tiff", id, parts, finish)
		if err != nil || !checked || identity.Size != int64(len(p)) {
			t.Errorf("%+v, %t, %v", identity, checked, err)
		}
	}
	if got, _ := server.Get(t, name, "p/a.tiff"); !bytes.Equal(got, p) {
		t.Errorf("%d bytes", len(got))
	}
	wrong := finish
	wrong.CRC++
	if _, _, err := b.CompleteUpload(t.Context(), "a.tiff", id, parts, wrong); !errors.Is(err, ErrChanged) {
		t.Errorf("a wrong checksum: %v", err)
	}
	if got, ok, err := b.CRC(t.Context(), "a.tiff", stat(t, b, "a.tiff")); got != crc || !ok || err != nil {
		t.Errorf("checksum %x, %t, %v", got, ok, err)
	}
}

// Each way in which completing fails has its class, and the object that was there stays.
func TestUploadRefused(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	b := open(t, proxy.URL, "s3://"+name, Settings{}).Background()
	b.effort.wait = time.Millisecond
	p, crc := body()
	for i, tt := range []struct {
		name  string
		fault s3test.Fault
		there bool // another object has the key
		class error
	}{
		{"another object", s3test.Fault{Kind: "none"}, true, ErrExists},
		{"refused", s3test.Fault{Kind: "complete", Status: 403, Code: "AccessDenied"}, false, ErrDenied},
		{"an error in a 200", s3test.Fault{Kind: "complete", Status: 200, Code: "InternalError"}, false, ErrUnavailable},
		{"an error in a 200, once", s3test.Fault{Kind: "complete", Times: 1, Status: 200, Code: "InternalError"}, false, nil},
		{"HTML", s3test.Fault{Kind: "complete", Status: 200, Body: "<html></html>"}, false, ErrUnavailable},
		{"no such upload", s3test.Fault{Kind: "complete", Status: 404, Code: "NoSuchUpload"}, false, ErrGone},
		{"success without an object", s3test.Fault{Kind: "complete", Status: 200, Body: "<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>k</Key></CompleteMultipartUploadResult>"}, false, ErrGone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.breaker.report(false)
			proxy.Set()
			key := fmt.Sprint(i, ".tiff")
			id, parts := upload(t, b, key, "t", p)
			if tt.there {
				server.Put(t, name, key, []byte("other"))
			}
			proxy.Set(tt.fault)
			_, _, err := b.CompleteUpload(t.Context(), key, id, parts, Finish{Token: "t", Size: int64(len(p)), CRC: crc, IfAbsent: true})
			if !errors.Is(err, tt.class) {
				t.Errorf("error %v, want %v", err, tt.class)
			}
			if got, _ := server.Get(t, name, key); tt.there && string(got) != "other" {
				t.Error("the other object was replaced")
			}
		})
	}
}

func TestCopy(t *testing.T) {
	server := s3test.New(t)
	proxy := server.Proxy(t)
	name := server.Bucket(t)
	b := open(t, proxy.URL, "s3://"+name+"/p", Settings{}).Background()
	b.effort.wait = time.Millisecond
	p, _ := body()
	server.Put(t, name, "p/ä b/a.tiff", p)
	id := stat(t, b, "ä b/a.tiff")
	old := id
	old.ETag = "0" + id.ETag[1:]
	for i, most := range []int64{copyMax, 1 << 20} {
		to := fmt.Sprint("copy ", i)
		got, err := b.copyIn(t.Context(), "ä b/a.tiff", id, to, PutOptions{IfAbsent: true}, most, firstPart)
		if copied, _ := server.Get(t, name, "p/"+to); err != nil || !bytes.Equal(copied, p) || got.Size != id.Size {
			t.Errorf("%d bytes, %+v, %v", len(copied), got, err)
		}
		if _, err := b.copyIn(t.Context(), "ä b/a.tiff", id, to, PutOptions{IfAbsent: true}, most, firstPart); !errors.Is(err, ErrExists) {
			t.Errorf("a copy that exists: %v", err)
		}
		if _, err := b.copyIn(t.Context(), "ä b/a.tiff", old, "none", PutOptions{}, most, firstPart); !errors.Is(err, ErrChanged) {
			t.Errorf("another object: %v", err)
		}
		// The object is replaced after it was compared.
		if err := b.copyWhole(t.Context(), "ä b/a.tiff", old, "none"); !errors.Is(err, ErrChanged) {
			t.Errorf("replaced meanwhile: %v", err)
		}
		if err := b.copyParts(t.Context(), "ä b/a.tiff", old, "none", PutOptions{}, firstPart); !errors.Is(err, ErrChanged) {
			t.Errorf("replaced meanwhile: %v", err)
		}
	}
	if err := b.Uploads(t.Context(), func(u Upload) error { return errors.New("it was not aborted") }); err != nil {
		t.Error(err)
	}
	if _, ok := server.Get(t, name, "p/none"); ok {
		t.Error("a copy of another object")
	}
}
