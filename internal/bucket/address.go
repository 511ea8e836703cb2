package bucket

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxKey is the maximum length of a key, in bytes.
const maxKey = 1024

// maxPrefix is the maximum length of the prefix of an address, in bytes: it leaves room for
// the keys below it.
const maxPrefix = 512

// An Address names a bucket and the part of it that a store consists of. It contains no
// credentials and no server: those are [Settings] of the process.
type Address struct {
	Bucket string
	Prefix string // "", or ends with "/"
}

// ParseAddress parses s3://BUCKET[/PREFIX]. The prefix is written as it is, without %XX. No
// error contains what stands before an @: it may be a secret.
func ParseAddress(s string) (Address, error) {
	rest, ok := strings.CutPrefix(s, "s3://")
	if !ok {
		return Address{}, errors.New("the address of a bucket begins with s3://")
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if strings.Contains(bucket, "@") {
		return Address{}, errors.New("the address of a bucket contains no credentials, which others could read: write s3://BUCKET/PREFIX, and give the credentials to the process")
	}
	if !validBucket(bucket) {
		return Address{}, errors.New("the address has no valid name of a bucket: write s3://BUCKET/PREFIX; a name has 3 to 63 letters, digits, dots and hyphens")
	}
	prefix = strings.TrimSuffix(prefix, "/")
	if err := checkPrefix(prefix); err != nil {
		return Address{}, err
	}
	if prefix != "" {
		prefix += "/"
	}
	return Address{Bucket: bucket, Prefix: prefix}, nil
}

// validBucket accepts the names of AWS, and those with capitals and underscores that other
// servers and old buckets have.
func validBucket(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.Contains(name, "..") {
		return false
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return false
	}
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || i == len(name)-1 || c != '.' && c != '-' && c != '_') {
			return false
		}
	}
	return true
}

func checkPrefix(prefix string) error {
	switch {
	case prefix == "":
		return nil
	case len(prefix) > maxPrefix:
		return fmt.Errorf("the prefix in the address is longer than %d bytes", maxPrefix)
	case !utf8.ValidString(prefix), strings.ContainsFunc(prefix, unicode.IsControl):
		return errors.New("the prefix in the address contains control characters, or is not UTF-8")
	case strings.Contains(prefix, "?"):
		return errors.New("the address of a bucket has no options after ?: the endpoint and the region are settings of the process")
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("the prefix in the address contains %q between two slashes", part)
		}
	}
	return nil
}

// String returns the address in its canonical form.
func (a Address) String() string { return "s3://" + a.Bucket + "/" + a.Prefix }
