package strictjson

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Name string `json:"name"`
	Kept string `json:"-"`
}

type embedded struct {
	Common int `json:"common"`
}

type outer struct {
	embedded
	Store string           `json:"store,omitempty"`
	Key   string           `json:"key"`
	One   *inner           `json:"one"`
	Many  []inner          `json:"many"`
	Named map[string]inner `json:"named"`
	Any   any              `json:"any"`
	Raw   json.RawMessage  `json:"raw"`
	Plain int
}

func TestUnmarshal(t *testing.T) {
	tests := []struct {
		name, json, words string // words: of the error, or ""
	}{
		{"all", `{"common":1,"store":"a","key":"k","one":{"name":"n"},"many":[{"name":"m"}],"named":{"X":{"name":"x"}},"any":{"a":1,"A":2},"raw":{"b":1},"Plain":3}`, ""},
		{"null", `{"one":null,"many":null}`, ""},
		{"twice", `{"store":"a","store":"b"}`, `"store" is given more than once`},
		{"twice by an escape", `{"store":"a","\u0073tore":"b"}`, `"store" is given more than once`},
		{"another case", `{"Store":"a"}`, `"Store" must be written "store"`},
		{"long s", `{"store":"a","ſtore":"b"}`, `must be written "store"`},
		{"long s escaped", `{"\u017ftore":"b"}`, `must be written "store"`},
		{"Kelvin", `{"Key":"b"}`, `must be written "key"`},
		{"without a tag", `{"plain":3}`, `"plain" must be written "Plain"`},
		{"embedded", `{"Common":3}`, `must be written "common"`},
		{"unknown", `{"colour":"red"}`, `"colour" is not known`},
		{"not of JSON", `{"one":{"Kept":"x"}}`, `"Kept" is not known`},
		{"in a pointer", `{"one":{"name":"a","name":"b"}}`, `"name" is given more than once`},
		{"in a list", `{"many":[{"name":"a"},{"NAME":"b"}]}`, `"NAME" must be written "name"`},
		{"in a map", `{"named":{"x":{"Name":"b"}}}`, `"Name" must be written "name"`},
		{"keys of a map", `{"named":{"x":{},"x":{}}}`, `"x" is given more than once`},
		{"in anything", `{"any":[{"a":{"b":1,"b":2}}]}`, `"b" is given more than once`},
		{"in a raw value", `{"raw":{"a":1,"a":2}}`, `"a" is given more than once`},
		{"cut off", `{"store":"a"`, "unexpected end"},
		{"more behind", `{"store":"a"}{}`, "after top-level value"},
		{"another type", `{"store":5}`, "cannot unmarshal number"},
		{"a list for an object", `[{"a":1}]`, "cannot unmarshal array"},
		{"long key", `{"` + strings.Repeat("x", 1000) + `":1}`, strings.Repeat("x", 40) + `" is not known`},
		{"deep", strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "max depth"},
	}
	for _, tt := range tests {
		var got, want outer
		err := Unmarshal([]byte(tt.json), &got)
		if tt.words != "" {
			if err == nil || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("%s: error %v, want %q", tt.name, err, tt.words)
			}
			continue
		}
		if jerr := json.Unmarshal([]byte(tt.json), &want); err != nil || jerr != nil {
			t.Errorf("%s: %v, %v", tt.name, err, jerr)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(outer{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestUnmarshalKnown(t *testing.T) {
	for _, tt := range []struct {
		json string
		want string // "" if it is refused
	}{
		{`{"store":"a","colour":{"x":1}}`, "a"},
		{`{"store":"a","Store":"b"}`, ""},
		{`{"store":"a","store":"b"}`, ""},
		{`{"store":"a","colour":{"x":1,"x":2}}`, ""},
	} {
		var got outer
		if err := UnmarshalKnown([]byte(tt.json), &got); (err == nil) != (tt.want != "") || got.Store != tt.want {
			t.Errorf("%s: store %q and error %v, want %q", tt.json, got.Store, err, tt.want)
		}
	}
}

func TestUnmarshalAny(t *testing.T) {
	var v any
	if err := Unmarshal([]byte(`{"a":{"b":1},"A":2}`), &v); err != nil {
		t.Error(err)
	}
	if err := Unmarshal([]byte(`{}`), v); err == nil {
		t.Error("decoded into what is no pointer")
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(`{"store":"a","many":[{"name":"b"}]}`)
	f.Add(`{"store":"a","ſtore":"b"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var got, want outer
		if Unmarshal([]byte(text), &got) != nil {
			return
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("taken, and encoding/json says %v", err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(outer{})); diff != "" {
			t.Error(diff)
		}
	})
}
