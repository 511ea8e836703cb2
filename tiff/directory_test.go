package tiff

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEntries reads tags that are out of order or duplicate: the first one is used.
func TestEntries(t *testing.T) {
	eachFormat(t, func(t *testing.T, fm format) {
		b := newBuilder(fm)
		at := b.directory(
			b.ints(TagTileWidth, Short, 512),
			b.ints(TagImageWidth, Short, 1),
			text(TagSoftware, "first of two"),
			b.ints(TagImageWidth, Long, 2),
			text(TagSoftware, "2"),
			b.ints(TagImageWidth, Short, 3),
			b.ints(65535, 99, 4),
			b.ints(0, Short, 5),
		)
		d := b.open(t).Directories()[0]
		type entry struct {
			Tag    Tag
			Type   Type
			Count  uint64
			Offset int64
		}
		room := int(fm.entry - fm.pointer)
		want := []entry{
			{0, Short, 1, int64(b.entryAt(at, 7) + room)},
			{TagImageWidth, Short, 1, int64(b.entryAt(at, 1) + room)},
			{TagSoftware, ASCII, 12, fm.header()},
			{TagTileWidth, Short, 1, int64(b.entryAt(at, 0) + room)},
			{65535, 99, 0, 0},
		}
		var got []entry
		for _, e := range d.Entries() {
			got = append(got, entry{e.Tag, e.Type, e.Count, e.Offset})
			if same, ok := d.Entry(e.Tag); !ok || same != e {
				t.Errorf("Entry(%v) = %+v, %v, want %+v", e.Tag, same, ok, e)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Entries (-want +got)\n%s", diff)
		}
		if _, ok := d.Entry(TagTileLength); ok {
			t.Error("Entry of an absent tag: true")
		}
		if s, err := d.Text(TagSoftware); s != "first of two" || err != nil {
			t.Errorf("Software = %q, %v, want the first", s, err)
		}
	})
}

// TestSubDirectories reads two chains of sub-directories below the first directory, and one
// below one of them. Their values are inside of an entry or outside.
func TestSubDirectories(t *testing.T) {
	for _, typ := range []Type{Long, IFD, Long8, IFD8} {
		eachFormat(t, func(t *testing.T, fm format) {
			b := newBuilder(fm)
			inner, _ := b.loose(b.ints(TagImageWidth, Short, 100))
			one, last := b.loose(b.ints(TagImageWidth, Short, 10), b.ints(TagSubIFDs, typ, inner))
			two, _ := b.loose(b.ints(TagImageWidth, Short, 11))
			b.point(last, two)
			three, _ := b.loose(b.ints(TagImageWidth, Short, 12))
			b.directory(b.ints(TagImageWidth, Short, 1), b.ints(TagSubIFDs, typ, one, 0, three))
			b.directory(b.ints(TagImageWidth, Short, 2))
			f := b.open(t)

			for range 2 { // a second call returns the same
				subs, err := f.Directories()[0].SubDirectories()
				if err != nil {
					t.Fatal(err)
				}
				checkWidths(t, "the first directory", subs, 10, 11, 12)
				below, err := subs[0].SubDirectories()
				if err != nil {
					t.Fatal(err)
				}
				checkWidths(t, "its first sub-directory", below, 100)
			}
			subs, err := f.Directories()[1].SubDirectories()
			if err != nil {
				t.Fatal(err)
			}
			checkWidths(t, "the second directory", subs)
		})
	}
}

func checkWidths(t *testing.T, of string, dirs []*Directory, want ...uint64) {
	t.Helper()
	var got []uint64
	for i, d := range dirs {
		w, err := d.Uint(TagImageWidth, 0)
		if err != nil || d.Index != i {
			t.Errorf("sub-directory %d of %s: index %d, error %v", i, of, d.Index, err)
		}
		got = append(got, w)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("widths of the sub-directories of %s (-want +got)\n%s", of, diff)
	}
}

// TestSubDirectoriesJoin reads sub-directories that are listed in the tag and also form a
// chain which continues in the main chain, as Bio-Formats writes the levels of pyramids.
func TestSubDirectoriesJoin(t *testing.T) {
	tests := []struct {
		name string
		list []int // the sub-directories in the tag: 0, 1, 2, of which each points to the next
		want []uint64
	}{
		{"all in order", []int{0, 1, 2}, []uint64{10, 11, 12}},
		{"all backwards", []int{2, 1, 0}, []uint64{12, 11, 10}},
		{"only the first", []int{0}, []uint64{10, 11, 12}},
		{"one twice", []int{2, 2, 1}, []uint64{12, 11}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachFormat(t, func(t *testing.T, fm format) {
				b := newBuilder(fm)
				var subs []int
				var last int
				for i := range 3 {
					at, end := b.loose(b.ints(TagImageWidth, Short, 10+i))
					if i > 0 {
						b.point(last, at)
					}
					subs, last = append(subs, at), end
				}
				list := make([]int, len(tt.list))
				for i, n := range tt.list {
					list[i] = subs[n]
				}
				b.directory(b.ints(TagImageWidth, Short, 1), b.ints(TagSubIFDs, b.offset(), list...))
				label := b.directory(b.ints(TagImageWidth, Short, 2))
				b.point(last, label)
				got, err := b.open(t).Directories()[0].SubDirectories()
				if err != nil {
					t.Fatal(err)
				}
				checkWidths(t, "the first directory", got, tt.want...)
			})
		})
	}
}

// A damage is an invalid file, with the expected error.
type damage struct {
	name        string
	make        func(b *builder) (at int) // offset of the error
	tag         Tag
	unsupported bool
	want        string
	only        *layout // the only format in which it is possible; both if nil
	opens       bool    // the error occurs when the tag is read
}

var damages = []damage{
	{
		name: "next is the directory itself",
		make: func(b *builder) int {
			at := b.directory(b.ints(TagImageWidth, Short, 1))
			b.point(b.last, at)
			return b.last
		},
		want: "a loop or an overlap",
	},
	{
		name: "next is the first",
		make: func(b *builder) int {
			at := b.directory(b.ints(TagImageWidth, Short, 1))
			b.directory(b.ints(TagImageWidth, Short, 2))
			b.directory(b.ints(TagImageWidth, Short, 3))
			b.point(b.last, at)
			return b.last
		},
		want: "directory 3 should be at bytes",
	},
	{
		name: "next is inside of another",
		make: func(b *builder) int {
			at := b.directory(b.ints(0, 0, 0), b.ints(0, Short, 1), b.ints(0, 0))
			b.point(b.last, b.entryAt(at, 1)+2) // the type SHORT is taken as the count: 3 fields
			b.file = append(b.file, make([]byte, 200)...)
			return b.last
		},
		only: &classic,
		want: "a loop or an overlap",
	},
	{
		name: "next ends inside of another",
		make: func(b *builder) int {
			trap := len(b.file)
			b.file = append(b.file, b.number(b.count, 2)...)
			b.directory(b.ints(TagImageWidth, Short, 1), b.ints(TagImageLength, Short, 1))
			b.point(b.last, trap)
			return b.last
		},
		want: "a loop or an overlap",
	},
	{
		name: "first is in the header",
		make: func(b *builder) int {
			b.file = append(b.file, make([]byte, 1<<10)...)
			at := b.last
			b.point(at, 8) // of a BigTIFF, where the pointer itself is the count
			if b.layout == classic {
				b.point(at, 2) // where the version is
			}
			return at
		},
		want: "which overlap the file's header",
	},
	{
		name: "next is behind the end",
		make: func(b *builder) int {
			b.directory(b.ints(TagImageWidth, Short, 1))
			b.point(b.last, 1<<30)
			return b.last
		},
		want: "directory 1 should be at byte 1073741824, but the file ends at byte",
	},
	{
		name: "next is above 2^63",
		make: func(b *builder) int {
			b.directory(b.ints(TagImageWidth, Short, 1))
			b.point(b.last, -2)
			return b.last
		},
		only: &bigTIFF,
		want: "directory 1 should be at byte 18446744073709551614, but the file ends at byte",
	},
	{
		name: "next is the last byte",
		make: func(b *builder) int {
			b.directory(b.ints(TagImageWidth, Short, 1))
			b.file = append(b.file, 0)
			b.point(b.last, len(b.file)-1)
			return len(b.file) - 1
		},
		want: "the file is incomplete: it ends 1 bytes into directory 1",
	},
	{
		name: "no fields",
		make: func(b *builder) int { return b.directory() },
		want: "directory 0 has 0 fields",
	},
	{
		name: "too many fields",
		make: func(b *builder) int {
			return b.directory(make([]field, maxFields+1)...)
		},
		want: "directory 0 has 4097 fields",
	},
	{
		name: "an absurd count of fields",
		make: func(b *builder) int {
			at := b.directory(b.ints(TagImageWidth, Short, 1))
			copy(b.file[at:], b.number(b.count, -1))
			return at
		},
		want: "fields, expected 1 to 4096",
	},
	{
		name: "more fields than fit into the file",
		make: func(b *builder) int {
			at := b.directory(b.ints(TagImageWidth, Short, 1))
			copy(b.file[at:], b.number(b.count, 4000))
			return at
		},
		want: "directory 0 has 4000 fields in",
	},
	{
		name: "a directory too many",
		make: func(b *builder) int {
			at := 0
			for range maxDirectories + 1 {
				at = b.last
				b.directory(b.ints(TagImageWidth, Short, 1))
			}
			return at
		},
		unsupported: true,
		want:        "more than 4096 directories",
	},
	{
		name: "too many fields in all directories",
		make: func(b *builder) int {
			fields := make([]field, maxFields)
			at := 0
			for range maxAllFields/maxFields + 1 {
				at = b.directory(fields...)
			}
			return at
		},
		unsupported: true,
		want:        "more than 262144 fields in 65 directories",
	},
	{
		name: "a sub-directory is in the file's chain",
		make: func(b *builder) int {
			at := b.directory(b.ints(TagImageWidth, Short, 1))
			sub := b.directory(b.ints(TagSubIFDs, b.offset(), at))
			return b.value(sub, 0)
		},
		tag: TagSubIFDs, opens: true,
		want: "a loop or an overlap",
	},
	{
		name: "a chain of sub-directories is a loop",
		make: func(b *builder) int {
			one, last := b.loose(b.ints(TagImageWidth, Short, 1))
			two, end := b.loose(b.ints(TagImageWidth, Short, 2))
			b.point(last, two)
			b.point(end, one)
			b.directory(b.ints(TagSubIFDs, b.offset(), one))
			return end
		},
		tag: TagSubIFDs, opens: true,
		want: "a loop or an overlap",
	},
	{
		name: "a sub-directory ends inside of the directory it belongs to",
		make: func(b *builder) int {
			trap := len(b.file)
			b.file = append(b.file, b.number(b.count, 2)...)
			at := b.directory(b.ints(TagSubIFDs, b.offset(), trap))
			b.file = append(b.file, make([]byte, 64)...)
			return b.value(at, 0)
		},
		tag: TagSubIFDs, opens: true,
		want: "a loop or an overlap",
	},
	{
		name: "a sub-directory begins inside of the directory it belongs to",
		make: func(b *builder) int {
			count := field{TagSoftware, Undefined, -1, b.number(b.count, 1)}
			at := b.directory(b.ints(TagSubIFDs, b.offset(), 0), count)
			b.point(b.value(at, 0), b.value(at, 1))
			b.file = append(b.file, make([]byte, 64)...)
			return b.value(at, 0)
		},
		tag: TagSubIFDs, opens: true,
		want: "a loop or an overlap",
	},
	{
		name: "a sub-directory behind the end",
		make: func(b *builder) int {
			return b.value(b.directory(b.ints(TagSubIFDs, b.offset(), 1<<20)), 0)
		},
		tag: TagSubIFDs, opens: true,
		want: "directory 0 should be at byte 1048576, but the file ends at byte",
	},
	{
		name: "the third sub-directory behind the end",
		make: func(b *builder) int {
			one, _ := b.loose(b.ints(TagImageWidth, Short, 1))
			two, _ := b.loose(b.ints(TagImageWidth, Short, 2))
			list := len(b.file)
			b.directory(b.ints(TagSubIFDs, b.offset(), one, two, 1<<20))
			return list + 2*int(b.pointer)
		},
		tag: TagSubIFDs, opens: true,
		want: "directory 2 should be at byte 1048576, but the file ends at byte",
	},
	{
		name: "sub-directories as text",
		make: func(b *builder) int { return b.entryAt(b.directory(text(TagSubIFDs, "abcd")), 0) },
		tag:  TagSubIFDs, opens: true,
		want: "type ASCII, expected integers",
	},
	{
		name: "an absurd number of sub-directories",
		make: func(b *builder) int {
			return b.entryAt(b.directory(field{TagSubIFDs, IFD, math.MaxUint32, make([]byte, 10_000)}), 0)
		},
		tag: TagSubIFDs, opens: true,
		want: "4294967295 values, expected at most 4096",
	},
	{
		name: "offsets behind the end",
		make: func(b *builder) int {
			at := b.directory(b.ints(TagTileOffsets, Long, 1, 2, 3))
			b.point(b.value(at, 0), 1<<24)
			return b.entryAt(at, 0)
		},
		tag: TagTileOffsets, opens: true,
		want: "3 values of 4 bytes should be at byte 16777216, but the file ends at byte",
	},
	{
		name: "the last byte of the offsets behind the end",
		make: func(b *builder) int {
			at := b.directory(b.ints(TagTileOffsets, Long, 1, 2, 3))
			b.point(b.value(at, 0), len(b.file)-11)
			return b.entryAt(at, 0)
		},
		tag: TagTileOffsets, opens: true,
		want: "3 values of 4 bytes should be at",
	},
	{
		name: "offsets above 2^63",
		make: func(b *builder) int {
			at := b.directory(b.ints(TagTileOffsets, Long, 1, 2, 3))
			b.point(b.value(at, 0), math.MinInt64)
			return b.entryAt(at, 0)
		},
		only: &bigTIFF,
		tag:  TagTileOffsets, opens: true,
		want: "3 values of 4 bytes should be at byte 9223372036854775807, but the file ends at byte",
	},
	{
		name: "an absurd count",
		make: func(b *builder) int {
			return b.entryAt(b.directory(field{TagTileOffsets, Long8, math.MaxUint32, make([]byte, 32)}), 0)
		},
		tag: TagTileOffsets, opens: true,
		want: "4294967295 values of 8 bytes should be at",
	},
	{
		name: "a count whose bytes are 2^64",
		make: func(b *builder) int {
			return b.entryAt(b.directory(field{TagTileOffsets, Long8, 1 << 61, make([]byte, 32)}), 0)
		},
		only: &bigTIFF,
		tag:  TagTileOffsets, opens: true,
		want: "2305843009213693952 values of 8 bytes should be at",
	},
	{
		name: "a type that does not exist",
		make: func(b *builder) int { return b.entryAt(b.directory(b.ints(TagTileOffsets, 99, 1)), 0) },
		tag:  TagTileOffsets, opens: true,
		want: "type 99, expected integers",
	},
	{
		name: "a negative offset",
		make: func(b *builder) int {
			at := len(b.file)
			b.directory(b.ints(TagTileOffsets, SLong, 1, 2, -3))
			return at + 8
		},
		tag: TagTileOffsets, opens: true,
		want: "a negative value",
	},
}

func TestDamaged(t *testing.T) {
	for _, tt := range damages {
		t.Run(tt.name, func(t *testing.T) {
			eachFormat(t, func(t *testing.T, fm format) {
				if tt.only != nil && *tt.only != fm.layout {
					t.Skip("not possible in this format")
				}
				b := newBuilder(fm)
				at := tt.make(b)
				err := readDamaged(b, tt)
				if err == nil {
					t.Fatal("no error")
				}
				where := fmt.Sprintf("(at byte %d)", at)
				if tt.tag != 0 {
					where = fmt.Sprintf("(TIFF tag %v, at byte %d)", tt.tag, at)
				}
				if got := err.Error(); !strings.HasSuffix(got, where) || !strings.Contains(got, tt.want) {
					t.Errorf("error %q, want %q", got, tt.want+" … "+where)
				}
				if _, ok := errors.AsType[*UnsupportedError](err); ok != tt.unsupported {
					t.Errorf("error %v is a %T", err, err)
				}
			})
		})
	}
}

// readDamaged opens b and reads the damaged field.
func readDamaged(b *builder, tt damage) error {
	f, err := Open(strings.NewReader(string(b.file)), int64(len(b.file)))
	if err != nil || !tt.opens {
		return err
	}
	dirs := f.Directories()
	d := dirs[len(dirs)-1]
	if tt.tag == TagSubIFDs {
		_, err = d.SubDirectories()
		return err
	}
	_, err = d.Array(tt.tag)
	return err
}

// TestManyDirectories opens a file with the maximum number of directories.
func TestManyDirectories(t *testing.T) {
	b := newBuilder(formats[0])
	subs := make([]int, maxDirectories)
	for i := range subs {
		subs[i], _ = b.loose(b.ints(TagImageWidth, Short, i))
	}
	for range maxDirectories {
		b.directory(b.ints(TagImageWidth, Short, 1))
	}
	f := b.open(t)
	if got := len(f.Directories()); got != maxDirectories {
		t.Errorf("%d directories, want %d", got, maxDirectories)
	}
	b = newBuilder(formats[0])
	for i := range subs {
		subs[i], _ = b.loose(b.ints(TagImageWidth, Short, i))
	}
	b.directory(b.ints(TagSubIFDs, b.offset(), subs...))
	got, err := b.open(t).Directories()[0].SubDirectories()
	if len(got) != maxDirectories || err != nil {
		t.Errorf("%d sub-directories, %v, want %d", len(got), err, maxDirectories)
	}
}

// TestEndlessSubDirectories follows sub-directories that contain each other, or that are
// nested more and more deeply: both must end in an error.
func TestEndlessSubDirectories(t *testing.T) {
	deep := func(b *builder) {
		at := 0
		for range 100 {
			at, _ = b.loose(b.ints(TagSubIFDs, b.offset(), at))
		}
		b.directory(b.ints(TagSubIFDs, b.offset(), at))
	}
	circle := func(b *builder) {
		one, _ := b.loose(b.ints(TagSubIFDs, b.offset(), 0))
		two, _ := b.loose(b.ints(TagSubIFDs, b.offset(), one))
		b.point(b.value(one, 0), two)
		b.directory(b.ints(TagSubIFDs, b.offset(), one))
	}
	itself := func(b *builder) {
		one, _ := b.loose(b.ints(TagSubIFDs, b.offset(), 0))
		b.point(b.value(one, 0), one)
		b.directory(b.ints(TagSubIFDs, b.offset(), one))
	}
	tests := []struct {
		name  string
		make  func(b *builder)
		depth int // of the last valid one
		want  string
	}{
		{"deeper and deeper", deep, maxDepth, "nested more than 8 deep"},
		{"in each other", circle, 2, "a loop or an overlap"},
		{"in itself", itself, 1, "a loop or an overlap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachFormat(t, func(t *testing.T, fm format) {
				b := newBuilder(fm)
				tt.make(b)
				dirs := b.open(t).Directories()
				for depth := range 20 {
					subs, err := dirs[0].SubDirectories()
					if err != nil {
						if e, ok := errors.AsType[*FormatError](err); !ok || e.Tag != TagSubIFDs || !strings.Contains(e.Msg, tt.want) || depth != tt.depth {
							t.Errorf("at depth %d, error %v, want %q at depth %d", depth, err, tt.want, tt.depth)
						}
						return
					}
					dirs = subs
				}
				t.Error("no end")
			})
		})
	}
}
