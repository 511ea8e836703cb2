package authz

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

// The headers of proxies, and headers of browsers and programs that must not be mistaken
// for them.
func TestForwarded(t *testing.T) {
	for _, name := range []string{
		"Forwarded", "Forwarded-For", "Via", "X-Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "x-forwarded-host", "X_forwarded_for", "X-Real-Ip", "X_REAL_IP",
		"X-Original-Host", "X-Original-Url", "X-Original-Forwarded-For", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Client-Ip", "CLIENT_IP",
		"Cdn-Loop", "CDN-Loop", "Cf-Ray", "Cf-Visitor", "Cf-Connecting-Ip", "Cf-Ipcountry", "Fastly-Client-Ip", "Fastly-Ff", "X-Amz-Cf-Id", "X-Amzn-Trace-Id",
		"X-Azure-Clientip", "X-Azure-Ref", "X-Fd-Healthprobe", "Akamai-Origin-Hop", "X-Akamai-Edgescape", "Fly-Client-Ip", "X-Envoy-External-Address", "X-Envoy-Internal",
		"X-Arr-Log-Id", "X-Arr-Ssl", "X-Appengine-User-Ip", "X-Varnish", "X-Nginx-Proxy", "Tailscale-User-Login",
	} {
		if !Forwarded(name) {
			t.Errorf("%s is not known to be of a proxy", name)
		}
	}
	for _, name := range []string{
		"", "Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection", "Content-Length", "Content-Type", "Cookie", "Dnt", "Dpr", "Expect",
		"From", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "Origin", "Pragma", "Priority", "Proxy-Connection", "Purpose", "Range", "Referer", "Save-Data",
		"Sec-Ch-Ua", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "Sec-Gpc", "Te", "Traceparent", "Tracestate", "Transfer-Encoding", "Tus-Resumable",
		"Upgrade-Insecure-Requests", "Upload-Length", "Upload-Metadata", "Upload-Offset", "User-Agent", "Viewport-Width", "X-Request-Id", "X-Requested-With", "X-Csrf-Token",
		"X-Http-Method-Override", "X-B3-Traceid", "Ptiffstore-Proof",
	} {
		if Forwarded(name) {
			t.Errorf("%s is taken for a proxy's", name)
		}
	}
}
