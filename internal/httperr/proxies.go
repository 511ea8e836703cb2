package httperr

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the addresses of trusted reverse proxies. X-Forwarded-… headers from other
// clients are ignored. A nil Proxies trusts no proxy.
type Proxies []netip.Prefix

// Add adds an address, or a network such as 10.0.0.0/8.
func (p *Proxies) Add(s string) error {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap()
		*p = append(*p, netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", s)
	}
	*p = append(*p, prefix.Masked())
	return nil
}

// Trust reports whether addr is a trusted proxy.
func (p Proxies) Trust(addr netip.Addr) bool { return p.trusted(addr.Unmap().WithZone("")) }

// trusted is [Proxies.Trust] for an unmapped address without zone.
func (p Proxies) trusted(addr netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// remote returns the address of the connection's other end.
func remote(r *http.Request) netip.Addr {
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// Address returns the client's address: the last one in the chain that is not a trusted
// proxy.
func (p Proxies) Address(r *http.Request) string {
	addr := remote(r)
	if !addr.IsValid() {
		return ""
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && p.trusted(addr); i-- {
		next, ok := hop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		addr = next
	}
	return addr.String()
}

// hop parses an address of X-Forwarded-For. Some proxies append the port.
func hop(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = ap.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

// overTLS reports whether X-Forwarded-Proto says https. If several proxies added to it,
// the first value is the client's; a client that forges it deceives only its own browser.
func overTLS(proto string) bool {
	first, _, _ := strings.Cut(proto, ",")
	return strings.EqualFold(strings.TrimSpace(first), "https")
}

// Secure reports whether the client's connection is encrypted.
func (p Proxies) Secure(r *http.Request) bool {
	return r.TLS != nil || p.trusted(remote(r)) && overTLS(r.Header.Get("X-Forwarded-Proto"))
}

// SecureFrom is [Proxies.Secure] for a connection from addr without TLS and its
// X-Forwarded-Proto header.
func (p Proxies) SecureFrom(addr netip.Addr, proto string) bool {
	return overTLS(proto) && p.trusted(addr.Unmap().WithZone(""))
}

// SecurityHeaders sets the headers that every response has: no content type sniffing, no
// framing by other sites, no referrer; over TLS also Strict-Transport-Security.
func SecurityHeaders(p Proxies, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SetSecurity(w.Header().Set, p.Secure(r))
		next.ServeHTTP(w, r)
	})
}

// SetSecurity sets the headers of [SecurityHeaders]. Secure reports whether the client's
// connection is encrypted.
func SetSecurity(set func(key, value string), secure bool) {
	set("X-Content-Type-Options", "nosniff")
	set("X-Frame-Options", "SAMEORIGIN")
	set("Referrer-Policy", "no-referrer")
	if secure {
		set("Strict-Transport-Security", "max-age=31536000")
	}
}
