package httperr

import (
	"crypto/tls"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// X-Forwarded-… headers count only from trusted proxies, and of a list of addresses only
// the part that these added.
func TestProxies(t *testing.T) {
	ours := Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	tests := []struct {
		name       string
		trusted    Proxies
		remote     string
		forwarded  []string
		proto      string
		tls        bool
		want       string
		wantSecure bool
	}{
		{"direct", ours, "192.0.2.1:9", nil, "", false, "192.0.2.1", false},
		{"direct by TLS", ours, "192.0.2.1:9", nil, "", true, "192.0.2.1", true},
		{"a stranger's word", ours, "192.0.2.1:9", []string{"198.51.100.7"}, "https", false, "192.0.2.1", false},
		{"no proxies", nil, "10.1.2.3:9", []string{"198.51.100.7"}, "https", false, "10.1.2.3", false},
		{"our proxy", ours, "10.1.2.3:9", []string{"198.51.100.7"}, "https", false, "198.51.100.7", true},
		{"our proxy, without TLS", ours, "10.1.2.3:9", []string{"198.51.100.7"}, "http", false, "198.51.100.7", false},
		{"forged before our proxy", ours, "10.1.2.3:9", []string{"203.0.113.9, 198.51.100.7"}, "", false, "198.51.100.7", false},
		{"in two headers", ours, "10.1.2.3:9", []string{"203.0.113.9", "198.51.100.7"}, "", false, "198.51.100.7", false},
		{"two proxies of ours", ours, "10.1.2.3:9", []string{"198.51.100.7, 10.9.9.9"}, "", false, "198.51.100.7", false},
		{"nonsense", ours, "10.1.2.3:9", []string{"198.51.100.7, me"}, "", false, "10.1.2.3", false},
		{"version 6", ours, "[::1]:9", []string{"2001:db8::5"}, "https", false, "2001:db8::5", true},
		{"with a port", ours, "10.1.2.3:9", []string{"198.51.100.7:567"}, "", false, "198.51.100.7", false},
		{"two proxies of ours, with ports", ours, "10.1.2.3:9", []string{"203.0.113.9:1, 198.51.100.7:567,10.9.9.9:80"}, "", false, "198.51.100.7", false},
		{"version 6 with a port", ours, "10.1.2.3:9", []string{"[2001:db8::5]:567"}, "", false, "2001:db8::5", false},
		{"version 6 in brackets", ours, "10.1.2.3:9", []string{"[2001:db8::5]"}, "", false, "2001:db8::5", false},
		{"mapped with a port", ours, "10.1.2.3:9", []string{"[::ffff:198.51.100.7]:567"}, "", false, "198.51.100.7", false},
		{"an invalid port", ours, "10.1.2.3:9", []string{"198.51.100.7:x"}, "", false, "10.1.2.3", false},
		{"a port of too many", ours, "10.1.2.3:9", []string{"198.51.100.7:99999"}, "", false, "10.1.2.3", false},
		{"by TLS to the first of two", ours, "10.1.2.3:9", nil, "https,http", false, "10.1.2.3", true},
		{"by TLS to the first of two, spaced", ours, "10.1.2.3:9", nil, " HTTPS , http", false, "10.1.2.3", true},
		{"by TLS to the second of two", ours, "10.1.2.3:9", nil, "http, https", false, "10.1.2.3", false},
		{"a stranger's list", ours, "192.0.2.1:9", nil, "https,http", false, "192.0.2.1", false},
		{"mapped", ours, "[::ffff:10.1.2.3]:9", []string{"198.51.100.7"}, "", false, "198.51.100.7", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tt.remote
			for _, f := range tt.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			if tt.proto != "" {
				r.Header.Set("X-Forwarded-Proto", tt.proto)
			}
			if tt.tls {
				r.TLS = new(tls.ConnectionState)
			}
			if got := tt.trusted.Address(r); got != tt.want {
				t.Errorf("address %q, want %q", got, tt.want)
			}
			if got := tt.trusted.Secure(r); got != tt.wantSecure {
				t.Errorf("secure: %t, want %t", got, tt.wantSecure)
			}
			if got := tt.tls || tt.trusted.SecureFrom(remote(r), tt.proto); got != tt.wantSecure {
				t.Errorf("secure for the second handler: %t, want %t", got, tt.wantSecure)
			}
		})
	}
}
