package bucket

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// newListener starts a server that answers as f does, and returns its URL.
func newListener(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}
