package task

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeArgs(t *testing.T) {
	tests := []struct {
		name, kind, json string
		want             Args
		words            string // part of the error; "" for no error
	}{
		{"sync", SyncStore, `{"confirm":true,"store":"s","dry_run":true}`, Args{Store: "s", DryRun: true, Confirm: true}, ""},
		{"image", HashImage, `{"store":"s","image":"i"}`, Args{Store: "s", Image: "i"}, ""},
		{"null", VerifyStore, `null`, Args{}, ""},
		{"long s", SyncStore, `{"store":"OWN","ſtore":"FOREIGN","confirm":true}`, Args{}, `"ſtore" must be written "store"`},
		{"another case", HashImage, `{"store":"OWN","Image":"FOREIGN"}`, Args{}, `"Image" must be written "image"`},
		{"twice", SyncStore, `{"store":"OWN","store":"FOREIGN"}`, Args{}, `"store" is given more than once`},
		{"of another kind", SyncStore, `{"store":"s","image":"i"}`, Args{}, `"image" is not known`},
		{"of another kind, and empty", HashImage, `{"store":"s","confirm":false}`, Args{}, `"confirm" is not known`},
		{"unknown", VerifyStore, `{"store":"s","run_as":"root"}`, Args{}, `"run_as" is not known`},
		{"type", VerifyStore, `{"store":5}`, Args{}, "store must be a string"},
		{"list", VerifyStore, `[1]`, Args{}, "an object is expected"},
		{"large", VerifyStore, `{"store":"` + strings.Repeat("x", maxArgs) + `"}`, Args{}, "more than 64 KB"},
	}
	for _, tt := range tests {
		got, err := DecodeArgs(tt.kind, []byte(tt.json))
		if tt.words == "" && err != nil || tt.words != "" && (!errors.Is(err, ErrBadArgs) || !strings.Contains(err.Error(), tt.words)) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.words)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestShorten lists a task with large arguments, as earlier versions accepted them.
func TestShorten(t *testing.T) {
	large := strings.Repeat("x", listedArgs)
	for _, tt := range []struct{ name, kind, args, want string }{
		{"small", HashImage, `{"store":"s","image":"i"}`, `{"store":"s","image":"i"}`},
		{"large image", HashImage, `{"store":"s","image":"` + large + `"}`, `{"store":"s"}`},
		{"large store", HashImage, `{"store":"` + large + `"}`, `{}`},
		{"unknown keys", HashImage, `{"store":"s","note":"` + large + `"}`, `{}`},
	} {
		v := View{Kind: tt.kind, Args: json.RawMessage(tt.args)}
		v.shorten()
		if string(v.Args) != tt.want {
			t.Errorf("%s: %.80s, want %s", tt.name, v.Args, tt.want)
		}
	}
}
