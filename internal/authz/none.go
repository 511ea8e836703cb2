// Package authz controls access to images and stores.
package authz

import (
	"net"
	"slices"
	"strings"
)

// LocalHost reports whether a Host header names this machine's loopback. A page of
// another site whose name resolves to 127.0.0.1 (DNS rebinding) still sends its own name
// in Host, and is refused.
func LocalHost(host string) bool {
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if port == "" {
			return false
		}
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if strings.EqualFold(name, "localhost") || strings.EqualFold(name, "localhost.") {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

// Forwarded reports whether a header, in canonical form, is one that proxies add. A proxy
// in front of a server without access control would publish it, so a request with any
// such header is refused. Some proxies write underscores for hyphens.
func Forwarded(header string) bool {
	if header == "" {
		return false
	}
	names := byProxies[header[0]|0x20] // in lower case
	if len(names) == 0 {
		return false
	}
	if strings.ContainsRune(header, '_') {
		header = strings.ReplaceAll(header, "_", "-")
	}
	return slices.ContainsFunc(names, func(name string) bool {
		begin, ok := strings.CutSuffix(name, "*")
		if ok && len(header) >= len(begin) {
			return strings.EqualFold(header[:len(begin)], begin)
		}
		return strings.EqualFold(header, name)
	})
}

// byProxies are the headers of proxies by first letter, so that most headers need no
// further comparison. A * matches any suffix.
var byProxies = letters(
	// any proxy
	"Forwarded", "Forwarded-*", "Via", "X-Forwarded*", "X-Forward-For", "X-Original-*", "X-Real-*", "X-Remote-*", "X-Proxy*", "Proxy-Client-Ip", "Wl-Proxy-*",
	"Client-Ip", "X-Client-Ip", "X-Client-Port", "X-Cluster-Client-Ip", "True-Client-Ip", "X-True-Client-Ip", "Http-Client-Ip", "X-Originating-Ip", "X-Host",
	"Front-End-Https", "X-Url-Scheme", "X-Scheme", "X-Ssl-*", "X-Nginx-*", "X-Haproxy-*", "X-Traefik-*", "X-Varnish*", "Surrogate-Capability", "X-Rewrite-Url",
	// Envoy, ARR of IIS, App Engine and other load balancers
	"X-Envoy-*", "X-Arr-*", "X-Appengine-*", "X-Cloud-Trace-Context", "X-Goog-*", "X-Azure-*", "X-Fd-*", "X-Amzn-*", "X-Amz-Cf-*", "Cloudfront-*", "X-Vercel-*", "X-Nf-*",
	// networks and tunnels in front
	"Cdn-Loop", "Cf-*", "Fastly-*", "Fly-*", "Akamai-*", "X-Akamai-*", "X-Sucuri-*", "Incap-*", "Ali-Cdn-*", "Tailscale-*", "X-Ngrok-*",
)

func letters(names ...string) (of [256][]string) {
	for _, name := range names {
		of[name[0]|0x20] = append(of[name[0]|0x20], name)
	}
	return of
}
