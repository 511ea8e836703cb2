package bucket

import (
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct{ in, bucket, prefix, text string }{
		{"s3://slides", "slides", "", "s3://slides/"},
		{"s3://slides/", "slides", "", "s3://slides/"},
		{"s3://slides//", "slides", "", "s3://slides/"},
		{"s3://slides/a", "slides", "a/", "s3://slides/a/"},
		{"s3://my.slides-1/a b/ü&+%20#/", "my.slides-1", "a b/ü&+%20#/", "s3://my.slides-1/a b/ü&+%20#/"},
		{"s3://Old_Bucket/x", "Old_Bucket", "x/", "s3://Old_Bucket/x/"},
	} {
		a, err := ParseAddress(tt.in)
		if err != nil || a.Bucket != tt.bucket || a.Prefix != tt.prefix || a.String() != tt.text {
			t.Errorf("ParseAddress(%q) = %+v, %v", tt.in, a, err)
		}
	}
}

func TestParseAddressRefused(t *testing.T) {
	for in, words := range map[string]string{
		"slides/a":                        "begins with s3://",
		"S3://slides":                     "begins with s3://",
		"https://slides.s3.amazonaws.com": "begins with s3://",
		"s3://":                           "name of a bucket",
		"s3://ab":                         "name of a bucket",
		"s3://" + strings.Repeat("a", 64): "name of a bucket",
		"s3://-slides":                    "name of a bucket",
		"s3://a..b":                       "name of a bucket",
		"s3://192.0.2.1/a":                "name of a bucket",
		"s3://sli des":                    "name of a bucket",
		"s3://slides:9000/a":              "name of a bucket",
		"s3://KEY:hunter2@slides/a":       "no credentials",
		"s3://slides/a//b":                `""`,
		"s3://slides/a/../b":              `".."`,
		"s3://slides/a\nb":                "control characters",
		"s3://slides/\xff":                "control characters",
		"s3://slides/a?endpoint=http://evil.example":      "no options",
		"s3://slides/" + strings.Repeat("a", maxPrefix+1): "longer",
	} {
		a, err := ParseAddress(in)
		if err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseAddress(%q) = %v, %v, want an error with %q", in, a, err, words)
		}
	}
}

func TestCheckEndpoint(t *testing.T) {
	for s, ok := range map[string]bool{
		"": true, "https://s3.example.org": true, "http://127.0.0.1:7070/": true, "https://[::1]:9000": true,
		"s3.example.org": false, "ftp://s3.example.org": false, "https://": false, "https://KEY:hunter2@s3.example.org": false,
		"https://s3.example.org/bucket": false, "https://s3.example.org?a=b": false, "https:s3.example.org": false, "https://:9000": false, "://hunter2": false,
	} {
		if err := CheckEndpoint(s); (err == nil) != ok || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("CheckEndpoint(%q) = %v", s, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("s3://slides/a b/c")
	f.Add("s3://a:b@c/d")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if again, err := ParseAddress(a.String()); err != nil || again != a {
			t.Errorf("ParseAddress(%q) = %q, which is %q again, %v", s, a, again, err)
		}
	})
}
