// Package auth says who may see what.
package auth

import (
	"net"
	"strings"
)

// LocalHost reports whether a Host header names this machine's loopback. A page
// of another site whose name is made to resolve to 127.0.0.1 (DNS rebinding)
// still sends its own name here, and is refused.
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

// Forwarded reports whether a header, in canonical form, is one that proxies set.
// One in front of a server without access control would publish it, so a request
// that bears any of them is refused.
func Forwarded(header string) bool {
	switch header {
	case "Forwarded", "Via", "X-Real-Ip", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-Server":
		return true
	}
	return false
}
