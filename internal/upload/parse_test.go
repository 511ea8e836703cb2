package upload

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// Headers are either refused or parsed to valid values.
func FuzzHeaders(f *testing.F) {
	for _, s := range []string{"", "filename YS50aWZm,store eA==", "a", "a ,b", "a  YQ==", ",", "a \xff", "sha1 AAAA", "sha256 ", "filename Li4vLi4vYQ=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := parseChecksum(s); err == nil && c != nil && len(c.want) != c.Size() {
			t.Errorf("a checksum of %d bytes", len(c.want))
		}
		m, err := parseMetadata(s)
		if err != nil {
			return
		}
		for key, value := range m {
			if key == "" || strings.ContainsAny(key, " ,\r\n") {
				t.Errorf("key %q", key)
			}
			name := cleanName(value)
			if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsAny(name, "/\\\x00\n") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~") {
				t.Errorf("%q becomes %q", value, name)
			}
		}
	})
}
