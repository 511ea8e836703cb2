package auth

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// The attacks: a page whose name resolves to the loopback address, and a proxy
// that publishes a server without access control.
func TestGuard(t *testing.T) {
	tests := []struct {
		name   string
		host   string
		header string
		open   bool
		want   int
	}{
		{"localhost", "localhost:8080", "", false, 200},
		{"without port", "localhost", "", false, 200},
		{"loopback", "127.0.0.1:8080", "", false, 200},
		{"another loopback", "127.9.9.9:80", "", false, 200},
		{"loopback of version 6", "[::1]:8080", "", false, 200},
		{"rebound name", "evil.example:8080", "", false, 421},
		{"rebound name that looks local", "localhost.evil.example", "", false, 421},
		{"rebound name that looks like an address", "127.0.0.1.evil.example:8080", "", false, 421},
		{"address of the machine", "192.0.2.7:8080", "", false, 421},
		{"no host", "", "", false, 421},
		{"port without name", ":8080", "", false, 421},
		{"proxy", "127.0.0.1:8080", "X-Forwarded-For", false, 403},
		{"proxy by the standard's header", "127.0.0.1:8080", "Forwarded", false, 403},
		{"proxy by another header", "127.0.0.1:8080", "X-Forwarded-Prefix", false, 403},
		{"proxy by half of one", "127.0.0.1:8080", "X-Forwarded", false, 403},
		{"proxy with underscores", "127.0.0.1:8080", "X_Forwarded_For", false, 403},
		{"network in front", "127.0.0.1:8080", "CF-Connecting-IP", false, 403},
		{"client of a network in front", "127.0.0.1:8080", "True-Client-IP", false, 403},
		{"a browser's header", "127.0.0.1:8080", "X-Requested-With", false, 200},
		{"another", "127.0.0.1:8080", "Cookie", false, 200},
		{"open", "slides.example", "X-Forwarded-For", true, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := &Guard{Open: tt.open}
			h := g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest("GET", "/api/v1/images", nil)
			r.Host = tt.host
			if tt.header != "" {
				r.Header.Set(tt.header, "1")
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("status %d, want %d", w.Code, tt.want)
			}
		})
	}
}
