// Package etag compares entity tags of HTTP.
package etag

import "strings"

// Matches reports whether an If-None-Match header matches etag. It uses the weak
// comparison that RFC 9110 section 13.1.2 requires.
func Matches(header, etag string) bool {
	for header != "" {
		var one string
		one, header, _ = strings.Cut(header, ",")
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == etag || one == "*" {
			return true
		}
	}
	return false
}
