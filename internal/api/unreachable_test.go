package api_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// A store shows whether its host and its endpoint are available.
func TestStoreUnreachable(t *testing.T) {
	st := newStoresSite(t)
	const here, gone = "https://here.example.org", "https://gone.example.org"
	st.api.Endpoints = func() map[string]string { return map[string]string{here: "", gone: "the connection was refused"} }
	if err := st.api.Catalog.Workers.Beat(t.Context(), catalog.Worker{ID: "w", Host: "alive", StartedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/stores/" + st.object("POST", "/api/v1/stores", body("root", st.path("roots/a")), 201)["id"].(string)
	for _, tt := range []struct {
		host, endpoint      any
		hostAway, away, why any
		seen                bool
	}{
		{nil, nil, nil, nil, nil, false},
		{"alive", here, false, false, nil, true},
		{"dead", gone, true, true, "the connection was refused", false},
		{nil, "https://new.example.org", nil, nil, nil, false},
	} {
		s := st.object("PATCH", path, body("host", tt.host, "endpoint", tt.endpoint), 200)
		got := []any{s["host_away"], s["endpoint_away"], s["endpoint_error"], s["host_seen_at"] != nil}
		if diff := cmp.Diff([]any{tt.hostAway, tt.away, tt.why, tt.seen}, got); diff != "" {
			t.Errorf("host %v, endpoint %v (-want +got):\n%s", tt.host, tt.endpoint, diff)
		}
	}
}
