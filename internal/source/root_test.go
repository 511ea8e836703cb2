package source

import (
	"strings"
	"testing"
)

func TestCheckRoot(t *testing.T) {
	t.Parallel()
	for root, want := range map[string]string{
		"mongodb://db/tiles":                    "mongodb://db/tiles",
		"mongodb://u@db:27017/tiles?tls=true":   "mongodb://u@db:27017/tiles?tls=true",
		"mongodb+srv://u@db.example/tiles":      "mongodb+srv://u@db.example/tiles",
		"dump:///backups//tiles/":               "dump:///backups/tiles",
		"dump://backups/tiles":                  "",
		"mongodb://db":                          "",
		"mongodb://u:hunter2@db/tiles":          "",
		"mongodb://u:hunter2@x@db/tiles":        "",
		"mongodb://db/tiles?password=hunter2":   "",
		"s3://bucket":                           "s3://bucket/",
		"s3://bucket/scanner 1/ü":               "s3://bucket/scanner 1/ü/",
		"s3://bucket/a/../b":                    "",
		"s3://key:hunter2@bucket/a":             "",
		"s3://bucket/a?secret=hunter2":          "",
		"s3://":                                 "",
		"gs://bucket/a":                         "",
		"mongodb://db/tiles?tls=hunter2&x=1":    "",
		"mongodb://[::1]:27017,b:27017/tiles":   "mongodb://[::1]:27017,b:27017/tiles",
		"mongodb://a:27017,b:27017/tiles?tls=x": "",
	} {
		got, err := CheckRoot(root)
		if want == "" {
			got = ""
		}
		if got != want || (err == nil) != (want != "") {
			t.Errorf("CheckRoot(%q) = %q, %v, want %q", root, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("CheckRoot(%q) shows the password: %v", root, err)
		}
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		root, permitted string
		want            bool
	}{
		{"mongodb://u@db:27017/tiles", "mongodb://db:27017/", true},
		{"mongodb://u@db:27017/tiles", "mongodb://db:27017", true},
		{"mongodb://u@db:27017/tiles?tls=true", "mongodb://db:27017/tiles", true},
		{"mongodb://u@db:27017/tiles", "mongodb://u@db:27017/", true},
		{"mongodb://v@db:27017/tiles", "mongodb://u@db:27017/", false},
		{"mongodb://db:27017/tiles", "mongodb://u@db:27017/", false},
		{"mongodb://u@db:27017/tiles1", "mongodb://db:27017/tiles", false},
		{"mongodb://db:27017.evil/tiles", "mongodb://db:27017", false},
		{"mongodb://db:27017,evil:27017/tiles", "mongodb://db:27017/", false},
		{"mongodb://evil/tiles", "mongodb://db:27017/", false},
		{"mongodb+srv://db:27017/tiles", "mongodb://db:27017/", false},
		{"dump:///backups/tiles", "dump:///backups", true},
		{"dump:///backups/tiles", "dump:///backups/", true},
		{"dump:///backups", "dump:///backups", true},
		{"dump:///backups2", "dump:///backups", false},
		{"dump:///backups", "mongodb://db/", false},
		{"mongodb://db/tiles", "/", false},
		{"s3://slides/", "s3://slides", true},
		{"s3://slides/a/b/", "s3://slides/a", true},
		{"s3://slides/a-old/", "s3://slides/a", false},
		{"s3://slides/", "s3://slides/a/", false},
		{"s3://slides-2/", "s3://slides", false},
		{"s3://slides/", "s3://", false},
	} {
		if got := Within(tt.root, tt.permitted); got != tt.want {
			t.Errorf("Within(%q, %q) = %v, want %v", tt.root, tt.permitted, got, tt.want)
		}
	}
	for url, good := range map[string]bool{"mongodb://db:27017/": true, "mongodb://db": true, "mongodb://u@db/tiles": true, "mongodb://": false, "mongodb://u:p@db/": false, "dump:///b": true, "dump://b": false, "s3://bucket": true, "s3://bucket/a": true, "s3://b": false, "s3://": false} {
		if err := CheckPermitted(url); (err == nil) != good {
			t.Errorf("CheckPermitted(%q) = %v", url, err)
		}
	}
}
