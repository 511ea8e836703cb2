package httperr

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestSaneRequestID(t *testing.T) {
	for id, want := range map[string]bool{
		"4bf92f3577b34da6a3ce929d0e0e4736":     true, // nginx
		"7f4df3a6-6f0b-4b6e-8f5e-2f9f0d1d7a11": true,
		"01J9ZC3V6N8X4T2Q7R5W0K1M9B":           true,
		NewRequestID() + "0":                   true,
		"host/a.b-000001":                      false,
		"MUSTER^ERIKA":                         false,
		"mustermann":                           false, // no digit
		"short1":                               false,
		"":                                     false,
		strings.Repeat("a1", 33):               false,
		"id with 1 space":                      false,
		"12345678\nlevel=ERROR":                false,
		`12345678"`:                            false,
		"12345678ä":                            false,
	} {
		if got := SaneRequestID(id); got != want {
			t.Errorf("SaneRequestID(%q) = %t, want %t", id, got, want)
		}
	}
}

// The client, the handler and the problem get the same id: the client's own if it is
// acceptable.
func TestRequestID(t *testing.T) {
	for _, tt := range []struct {
		name, sent string
		taken      bool
	}{
		{"none", "", false},
		{"a sane one", "edge-0001-42", true},
		{"somebody's name", "MUSTER^ERIKA", false},
	} {
		for _, identified := range []bool{true, false} {
			seen := ""
			var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = RequestID(r.Context())
				WriteProblem(w, r, http.StatusNotFound, "There is nothing.", 0)
			})
			if identified {
				h = WithRequestID(h)
			}
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
			if tt.sent != "" {
				r.Header.Set("X-Request-Id", tt.sent)
			}
			h.ServeHTTP(w, r)
			answered := w.Header().Get("X-Request-Id")
			var p Problem
			json.Unmarshal(w.Body.Bytes(), &p)
			if answered == "" || (answered == tt.sent) != tt.taken || p.Instance != "urn:request:"+answered || identified && seen != answered {
				t.Errorf("%s, identified before %t: the response has %q, the handler %q, the problem has %q", tt.name, identified, answered, seen, p.Instance)
			}
		}
	}
}

// TestContextWithLog checks that an unexpected error is logged to the log of the context.
func TestContextWithLog(t *testing.T) {
	var lines strings.Builder
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	r = r.WithContext(ContextWithLog(r.Context(), slog.New(slog.NewTextHandler(&lines, nil))))
	Handler(func(http.ResponseWriter, *http.Request) error { return errors.New("disk broken") }).ServeHTTP(httptest.NewRecorder(), r)
	if !strings.Contains(lines.String(), "disk broken") {
		t.Errorf("the log has %q", &lines)
	}
}

// TestLoggedOnce checks that an error that was logged where it occurred is not logged again.
func TestLoggedOnce(t *testing.T) {
	var lines strings.Builder
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	r = r.WithContext(ContextWithLog(r.Context(), slog.New(slog.NewTextHandler(&lines, nil))))
	if e := LogError(r, &Error{Status: http.StatusBadGateway, Err: errors.New("no luck"), Logged: true}); e.Status != http.StatusBadGateway || lines.Len() > 0 {
		t.Errorf("status %d, the log has %q", e.Status, &lines)
	}
	if LogError(r, &Error{Status: http.StatusBadGateway, Err: errors.New("no luck")}); !strings.Contains(lines.String(), "no luck") {
		t.Errorf("the log has %q", &lines)
	}
}
