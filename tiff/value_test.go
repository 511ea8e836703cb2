package tiff

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestValues reads every type in every format: one value, which is inside of the entry for
// most types, and five, which are outside.
func TestValues(t *testing.T) {
	const tag = 40000
	type read struct {
		uint    uint64
		float   float64
		bytes   bool // can be read as bytes
		noUint  bool
		noFloat bool
	}
	tests := []struct {
		typ   Type
		value []int // two for a fraction
		want  read
	}{
		{Byte, []int{200}, read{uint: 200, float: 200, bytes: true}},
		{ASCII, []int{'a'}, read{noUint: true, noFloat: true, bytes: true}},
		{Short, []int{0xfedc}, read{uint: 0xfedc, float: 0xfedc}},
		{Long, []int{0xfedcba98}, read{uint: 0xfedcba98, float: 0xfedcba98}},
		{Rational, []int{3000000000, 4}, read{noUint: true, float: 750e6}},
		{SByte, []int{100}, read{uint: 100, float: 100, bytes: true}},
		{SByte, []int{-2}, read{noUint: true, float: -2, bytes: true}},
		{Undefined, []int{7}, read{noUint: true, noFloat: true, bytes: true}},
		{SShort, []int{0x7edc}, read{uint: 0x7edc, float: 0x7edc}},
		{SShort, []int{-300}, read{noUint: true, float: -300}},
		{SLong, []int{0x7edcba98}, read{uint: 0x7edcba98, float: 0x7edcba98}},
		{SLong, []int{-70000}, read{noUint: true, float: -70000}},
		{SRational, []int{-7, 2}, read{noUint: true, float: -3.5}},
		{SRational, []int{7, -2}, read{noUint: true, float: -3.5}},
		{Float, []int{int(math.Float32bits(-1.5))}, read{noUint: true, float: -1.5}},
		{Double, []int{int(math.Float64bits(math.Pi))}, read{noUint: true, float: math.Pi}},
		{IFD, []int{0xfedcba98}, read{uint: 0xfedcba98, float: 0xfedcba98}},
		{Long8, []int{1 << 40}, read{uint: 1 << 40, float: 1 << 40}},
		{SLong8, []int{1 << 40}, read{uint: 1 << 40, float: 1 << 40}},
		{SLong8, []int{-1 << 40}, read{noUint: true, float: -1 << 40}},
		{IFD8, []int{1 << 40}, read{uint: 1 << 40, float: 1 << 40}},
		{Rational, []int{5, 0}, read{noUint: true, float: -1}},
		{0, []int{1}, read{noUint: true, noFloat: true}},
		{14, []int{1}, read{noUint: true, noFloat: true}},
		{19, []int{1}, read{noUint: true, noFloat: true}},
		{math.MaxUint16, []int{1}, read{noUint: true, noFloat: true}},
	}
	eachFormat(t, func(t *testing.T, fm format) {
		for _, tt := range tests {
			for _, n := range []int{1, 5} {
				b := newBuilder(fm)
				var values []int
				for range n {
					values = append(values, tt.value...)
				}
				fl := b.ints(tag, tt.typ, values...)
				fl.count = n
				b.directory(fl)
				d := b.open(t).Directories()[0]

				u, err := d.Uint(tag, 1)
				checkRead(t, tt.typ, "Uint", err, !tt.want.noUint, u, tt.want.uint)
				us, err := d.Uints(tag, 5)
				wantAll := make([]uint64, n)
				for i := range wantAll {
					wantAll[i] = tt.want.uint
				}
				checkRead(t, tt.typ, "Uints", err, !tt.want.noUint, us, wantAll)
				a, err := d.Array(tag)
				checkRead(t, tt.typ, "Array", err, !tt.want.noUint, a.Len(), n)
				x, err := d.Float(tag, -1)
				checkRead(t, tt.typ, "Float", err, !tt.want.noFloat, x, tt.want.float)
				p, err := d.Bytes(tag)
				checkRead(t, tt.typ, "Bytes", err, tt.want.bytes, p, fl.data)
			}
		}
	})
}

// checkRead checks the value that was read, or that the error names the tag.
func checkRead[T any](t *testing.T, typ Type, method string, err error, ok bool, got, want T) {
	t.Helper()
	if !ok {
		if e, ok := errors.AsType[*FormatError](err); !ok || e.Tag != 40000 {
			t.Errorf("%s of %v: error %v, want a FormatError of tag 40000", method, typ, err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s of %v: error %v, (-want +got)\n%s", method, typ, err, diff)
	}
}

func TestAbsent(t *testing.T) {
	b := newBuilder(formats[0])
	b.directory(b.ints(TagImageWidth, Short, 1))
	d := b.open(t).Directories()[0]
	if v, err := d.Uint(TagTileWidth, 7); v != 7 || err != nil {
		t.Errorf("Uint = %v, %v, want the default 7", v, err)
	}
	if v, err := d.Float(TagTileWidth, 7.5); v != 7.5 || err != nil {
		t.Errorf("Float = %v, %v, want the default 7.5", v, err)
	}
	if v, err := d.Uints(TagTileWidth, 7); v != nil || err != nil {
		t.Errorf("Uints = %v, %v, want nil", v, err)
	}
	if v, err := d.Bytes(TagTileWidth); v != nil || err != nil {
		t.Errorf("Bytes = %v, %v, want nil", v, err)
	}
	if v, err := d.Text(TagTileWidth); v != "" || err != nil {
		t.Errorf("Text = %q, %v, want none", v, err)
	}
	if v, err := d.Array(TagTileWidth); v.Len() != 0 || v.Bytes() != 0 || err != nil {
		t.Errorf("Array = %v, %v, want the zero Array", v, err)
	}
	if v, err := d.SubDirectories(); v != nil || err != nil {
		t.Errorf("SubDirectories = %v, %v, want nil", v, err)
	}
}

func TestNoValue(t *testing.T) {
	eachFormat(t, func(t *testing.T, fm format) {
		b := newBuilder(fm)
		b.directory(b.ints(TagTileOffsets, Long), text(TagSoftware, ""))
		d := b.open(t).Directories()[0]
		if _, err := d.Uint(TagTileOffsets, 7); err == nil {
			t.Error("Uint of no value: no error")
		}
		if _, err := d.Float(TagTileOffsets, 7); err == nil {
			t.Error("Float of no value: no error")
		}
		if v, err := d.Uints(TagTileOffsets, 7); len(v) != 0 || err != nil {
			t.Errorf("Uints of no value = %v, %v", v, err)
		}
		if a, err := d.Array(TagTileOffsets); a.Len() != 0 || err != nil {
			t.Errorf("Array of no value = %v, %v", a, err)
		}
		if p, err := d.Bytes(TagSoftware); p == nil || len(p) != 0 || err != nil {
			t.Errorf("Bytes of no value = %v, %v, want some, none of them", p, err)
		}
	})
}

func TestText(t *testing.T) {
	tests := []struct{ stored, want string }{
		{"Philips DP v1.0\x00", "Philips DP v1.0"},
		{"Philips DP v1.0", "Philips DP v1.0"},
		{"abc", "abc"},
		{"</DataObject>\r\n\t \x00\x00", "</DataObject>"},
		{"one\x00two\x00", "one\x00two"},
		{"  kept", "  kept"},
		{"\xff\xfe", "\xff\xfe"},
		{"\x00", ""},
	}
	eachFormat(t, func(t *testing.T, fm format) {
		for _, tt := range tests {
			b := newBuilder(fm)
			b.directory(text(TagSoftware, tt.stored))
			got, err := b.open(t).Directories()[0].Text(TagSoftware)
			if got != tt.want || err != nil {
				t.Errorf("Text of %q = %q, %v, want %q", tt.stored, got, err, tt.want)
			}
		}
	})
}

// TestBytesAreOwn changes the result of Bytes: the directory must not change.
func TestBytesAreOwn(t *testing.T) {
	b := newBuilder(formats[0])
	b.directory(text(TagSoftware, "ab"))
	d := b.open(t).Directories()[0]
	p, err := d.Bytes(TagSoftware)
	if err != nil {
		t.Fatal(err)
	}
	clear(p[:cap(p)])
	if got, _ := d.Text(TagSoftware); got != "ab" {
		t.Errorf("Text = %q after what Bytes returned was changed, want %q", got, "ab")
	}
}
