package api_test

import (
	"slices"
	"testing"

	"github.com/slideatlas/ptiffstore/internal/api"
)

func TestParseAncestors(t *testing.T) {
	t.Parallel()
	got, err := api.ParseAncestors([]string{"https://Intranet.example.org:443/", "http://10.0.0.1:8080"})
	if want := []string{"https://intranet.example.org", "http://10.0.0.1:8080"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, origin := range []string{"*", "https://*.example.org", "example.org", "https://a.example/path", "https://a.example?x", "https://u@a.example", "javascript:x", "https://a;b", "https://a.example script-src 'unsafe-inline'", "https://a,b", ""} {
		if got, err := api.ParseAncestors([]string{origin}); err == nil {
			t.Errorf("%q is accepted as %q", origin, got)
		}
	}
}
