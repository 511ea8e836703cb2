package slideatlas

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// encode returns the BSON of a document.
func encode(t testing.TB, doc bson.D) bson.Raw {
	t.Helper()
	b, err := bson.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// oid returns the ObjectId whose last byte is n.
func oid(n byte) bson.ObjectID { return bson.ObjectID{0x53, 0x56, 0xd8, 0xb9, 11: n} }

// hexOf returns the id of oid(n).
func hexOf(n byte) ID { return ID(oid(n).Hex()) }

// check fails the test if got is not want. Empty and nil lists are the same.
func check[T any](t *testing.T, name string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.AllowUnexported(Secret{})); d != "" {
		t.Errorf("%s: - want, + got:\n%s", name, d)
	}
}

func TestParseID(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want ID
		ok   bool
	}{
		{"5356d8b9e67655244bf3273a", "5356d8b9e67655244bf3273a", true},
		{"5356D8B9E67655244BF3273A", "5356d8b9e67655244bf3273a", true},
		{"5356d8b9e67655244bf3273", "", false},
		{"5356d8b9e67655244bf3273g", "", false},
		{"", "", false},
	} {
		if got, ok := ParseID(tt.in); got != tt.want || ok != tt.ok {
			t.Errorf("ParseID(%q) = %q, %t", tt.in, got, ok)
		}
	}
}

func TestSecret(t *testing.T) {
	s := Secret{"hunter2"}
	encoded, err := json.Marshal(struct{ Password Secret }{s})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("store", "password", s, "store", &Store{Password: s})
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %q %x", s, &Store{Password: s}, s, s, s), string(encoded), log.String()} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") {
			t.Errorf("the password is in %s", text)
		}
	}
	if s.Reveal() != "hunter2" {
		t.Error("Reveal does not return the password")
	}
}

// Each value of BSON is skipped by its size.
func TestEach(t *testing.T) {
	types := bson.D{
		{Key: "double", Value: 1.5},
		{Key: "text", Value: "text"},
		{Key: "document", Value: bson.D{{Key: "a", Value: 1}}},
		{Key: "list", Value: bson.A{1, "2"}},
		{Key: "binary", Value: bson.Binary{Data: []byte("abc")}},
		{Key: "old binary", Value: bson.Binary{Subtype: 2, Data: []byte("abc")}},
		{Key: "undefined", Value: bson.Undefined{}},
		{Key: "id", Value: oid(1)},
		{Key: "truth", Value: true},
		{Key: "date", Value: bson.NewDateTimeFromTime(time.Unix(1, 0))},
		{Key: "null", Value: nil},
		{Key: "regex", Value: bson.Regex{Pattern: "a+", Options: "i"}},
		{Key: "pointer", Value: bson.DBPointer{DB: "db", Pointer: oid(2)}},
		{Key: "script", Value: bson.JavaScript("f()")},
		{Key: "symbol", Value: bson.Symbol("s")},
		{Key: "scope", Value: bson.CodeWithScope{Code: "f()", Scope: bson.D{}}},
		{Key: "int32", Value: int32(1)},
		{Key: "timestamp", Value: bson.Timestamp{T: 1, I: 2}},
		{Key: "int64", Value: int64(1)},
		{Key: "decimal", Value: bson.NewDecimal128(1, 2)},
		{Key: "min", Value: bson.MinKey{}},
		{Key: "max", Value: bson.MaxKey{}},
	}
	doc := encode(t, types)
	if err := doc.Validate(); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, e := range types {
		want = append(want, e.Key)
	}
	if err := each(doc, func(name string, v bson.RawValue) error {
		got = append(got, name)
		return v.Validate()
	}); err != nil {
		t.Fatal(err)
	}
	check(t, "fields", got, want)
	for n := range len(doc) { // cut short, with and without a length that matches
		cut := append(bson.Raw(nil), doc[:n]...)
		if each(cut, func(string, bson.RawValue) error { return nil }) == nil {
			t.Errorf("%d of %d bytes are a document", n, len(doc))
		}
		if n > 5 {
			cut[n-1] = 0
			binary.LittleEndian.PutUint32(cut, uint32(n))
			_ = each(cut, func(_ string, v bson.RawValue) error { return nil }) // does not panic
		}
	}
}

// Embedded documents of any depth do not use up the stack.
func TestDepth(t *testing.T) {
	const depth = 1_000_000
	deep := make([]byte, 0, 8*depth)
	for i := range depth {
		deep = binary.LittleEndian.AppendUint32(deep, uint32(8*(depth-i)+5))
		deep = append(deep, byte(bson.TypeEmbeddedDocument), 'a', 0)
	}
	deep = append(deep, 5, 0, 0, 0)
	deep = append(deep, make([]byte, depth+1)...)
	binary.LittleEndian.PutUint32(deep, uint32(len(deep)))
	n := 0
	if err := each(deep, func(string, bson.RawValue) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("%d fields, %v", n, err)
	}
}

func TestTexts(t *testing.T) {
	long := strings.Repeat("é", maxText)
	for _, tt := range []struct {
		name string
		in   any
		want string
		warn bool
	}{
		{"text", "Größe", "Größe", false},
		{"not UTF-8", "Gr\xf6\xdfe", "Gr\uFFFDe", false},
		{"long", long, long[:maxText-2], false},
		{"symbol", bson.Symbol("a"), "a", false},
		{"absent", nil, "", false},
		{"number", 5, "", true},
	} {
		r, err := open(encode(t, bson.D{{Key: "f", Value: tt.in}}))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.text("f"); got != tt.want || (r.warnings != nil) != tt.warn {
			t.Errorf("%s: %.40q, %q", tt.name, got, r.warnings)
		}
	}
}

func TestDates(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   any
		want time.Time
		warn bool
	}{
		{"date", bson.DateTime(1400000000500), time.Date(2014, 5, 13, 16, 53, 20, 5e8, time.UTC), false},
		{"never", bson.NewDateTimeFromTime(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)), time.Time{}, false},
		{"before 1970", bson.DateTime(-1), time.Time{}, false},
		{"absurd", bson.DateTime(1 << 62), time.Time{}, true},
		{"text", "2014-05-13", time.Time{}, true},
		{"absent", nil, time.Time{}, false},
	} {
		r, err := open(encode(t, bson.D{{Key: "f", Value: tt.in}}))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.date("f"); !got.Equal(tt.want) || (r.warnings != nil) != tt.warn {
			t.Errorf("%s: %v, %q", tt.name, got, r.warnings)
		}
	}
}

// The number of warnings is bounded, also those of embedded documents.
func TestWarnings(t *testing.T) {
	var views bson.A
	for range 300 {
		views = append(views, bson.D{{Key: "ref", Value: 5}}, 7)
	}
	s, err := DecodeSession(encode(t, bson.D{{Key: "_id", Value: oid(1)}, {Key: "attachments", Value: views}, {Key: "views", Value: views}}))
	if err != nil || len(s.Warnings) != maxWarnings {
		t.Errorf("%d warnings, %v", len(s.Warnings), err)
	}
}
