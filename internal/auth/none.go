// Package auth says who may see what.
package auth

import (
	"net"
	"slices"
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

// Forwarded reports whether a header, in canonical form, is one that proxies set: any
// X-Forwarded-…, and those by which others tell who has asked. One in front of a server
// without access control would publish it, so a request that bears any of them is
// refused. Some proxies write underscores for hyphens.
func Forwarded(header string) bool {
	if len(header) < len("Via") {
		return false
	}
	switch header[0] { // of nearly all headers no more is looked at
	case 'F', 'V', 'X', 'T', 'C', 'f', 'v', 'x', 't', 'c':
	default:
		return false
	}
	if strings.ContainsRune(header, '_') {
		header = strings.ReplaceAll(header, "_", "-")
	}
	if n := len("X-Forwarded"); len(header) >= n && strings.EqualFold(header[:n], "X-Forwarded") {
		return true
	}
	return slices.ContainsFunc(byProxies, func(name string) bool { return strings.EqualFold(name, header) })
}

var byProxies = []string{
	"Forwarded", "Forwarded-For", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Host", "X-Original-Forwarded-For",
	"X-Envoy-External-Address", "True-Client-Ip", "Cf-Connecting-Ip", "Client-Ip",
}
