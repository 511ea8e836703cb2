package byterange

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	many := "bytes=" + strings.Repeat("0-0,", MaxRanges) + "5-5"
	for _, tt := range []struct {
		header string
		want   []Range
		err    error
	}{
		{"bytes=0-9", []Range{{0, 10}}, nil},
		{"bytes=0-0", []Range{{0, 1}}, nil},
		{"bytes=90-", []Range{{90, 10}}, nil},
		{"bytes=90-200", []Range{{90, 10}}, nil},
		{"bytes=-10", []Range{{90, 10}}, nil},
		{"bytes=-200", []Range{{0, 100}}, nil},
		{"bytes=0-9, 50-59 ,,90-", []Range{{0, 10}, {50, 10}, {90, 10}}, nil},
		{"bytes=50-59,0-9", []Range{{50, 10}, {0, 10}}, nil},
		{"bytes=0-9,200-300", []Range{{0, 10}}, nil},
		{"bytes=99999999999999999999-", nil, ErrUnsatisfiable},
		{"bytes=0-99999999999999999999", []Range{{0, 100}}, nil},
		{"bytes=100-", nil, ErrUnsatisfiable},
		{"bytes=-0", nil, ErrUnsatisfiable},
		{"bytes=0-9,5-14", nil, ErrUnsatisfiable},
		{"bytes=0-,0-", nil, ErrUnsatisfiable},
		{many, nil, ErrUnsatisfiable},
		{"bytes=9-0", nil, nil},
		{"bytes=0-9,9-0", nil, nil},
		{"bytes=", nil, nil},
		{"bytes=,", nil, nil},
		{"bytes=a-b", nil, nil},
		{"bytes=+1-2", nil, nil},
		{"bytes=1", nil, nil},
		{"items=0-9", nil, nil},
		{"", nil, nil},
		{"bytes=0-" + strings.Repeat("0", 5000), nil, nil},
	} {
		got, err := Parse(tt.header, 100)
		if diff := cmp.Diff(tt.want, got); diff != "" || !errors.Is(err, tt.err) {
			t.Errorf("%.40q: %v, want %v\n%s", tt.header, err, tt.err, diff)
		}
	}
}

func TestParts(t *testing.T) {
	file := "0123456789"
	list := []Range{{0, 2}, {8, 2}}
	p := NewParts(list, 10, "image/tiff", "BOUNDARY")
	var body strings.Builder
	for i, r := range list {
		body.WriteString(p.Heads[i] + file[r.Start:r.Start+r.Length])
	}
	body.WriteString(p.Tail)
	if int64(body.Len()) != p.Length {
		t.Errorf("%d bytes, want %d", body.Len(), p.Length)
	}
	parts := multipart.NewReader(strings.NewReader(body.String()), p.Boundary)
	for _, want := range []string{"bytes 0-1/10 image/tiff 01", "bytes 8-9/10 image/tiff 89"} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(part)
		if got := fmt.Sprintf("%s %s %s", part.Header.Get("Content-Range"), part.Header.Get("Content-Type"), b); err != nil || got != want {
			t.Errorf("%q, want %q (%v)", got, want, err)
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("after the last part: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("bytes=0-9,-5", int64(100))
	f.Add("bytes=9-0", int64(1))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		list, err := Parse(header, size)
		if err != nil && list != nil || len(list) > MaxRanges {
			t.Fatalf("%d ranges, %v", len(list), err)
		}
		var sum int64
		for _, r := range list {
			if r.Start < 0 || r.Length < 1 || r.Start+r.Length > size {
				t.Fatalf("%+v of %d bytes", r, size)
			}
			sum += r.Length
		}
		if sum > size {
			t.Fatalf("%d bytes of %d", sum, size)
		}
	})
}
