package mongodb

import (
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct {
		in, want string // in, if want is ""
		hosts    int
		user     string
		database string
	}{
		{in: "mongodb://db.example.org/tiles1", hosts: 1, database: "tiles1"},
		{in: "mongodb://reader@db.example.org:27017/tiles1", hosts: 1, user: "reader", database: "tiles1"},
		{in: "mongodb://a:1,b:2,c/tiles1?replicaSet=rs0", hosts: 3, database: "tiles1"},
		{in: "mongodb://[::1]:27017/tiles1", hosts: 1, database: "tiles1"},
		{in: "mongodb://[::1]/tiles1", hosts: 1, database: "tiles1"},
		{in: "mongodb://a%40b%3Ac@host/tiles%31", want: "mongodb://a%40b%3Ac@host/tiles1", hosts: 1, user: "a@b:c", database: "tiles1"},
		{in: "mongodb://a%20b+c@host/tiles1", hosts: 1, user: "a b+c", database: "tiles1"},
		{in: "mongodb://host/tiles1?tls=true&authSource=admin", want: "mongodb://host/tiles1?authSource=admin&tls=true", hosts: 1, database: "tiles1"},
		{in: "mongodb+srv://cluster.example.org/tiles1", hosts: 1, database: "tiles1"},
	} {
		a, err := ParseAddress(tt.in)
		if tt.want == "" {
			tt.want = tt.in
		}
		if err != nil || len(a.Hosts) != tt.hosts || a.User != tt.user || a.Database != tt.database || a.String() != tt.want {
			t.Errorf("ParseAddress(%q) = %+v, %q, %v", tt.in, a, a, err)
		}
		if again, err := ParseAddress(a.String()); err != nil || again.String() != tt.want {
			t.Errorf("ParseAddress(%q) = %q, %v", a, again, err)
		}
	}
}

// With changes options of a copy.
func TestWith(t *testing.T) {
	a, err := ParseAddress("mongodb://host/tiles1?authSource=admin&tls=true")
	if err != nil {
		t.Fatal(err)
	}
	b := a.With("replicaSet", "rs0").With("authSource", "")
	if b.Option("replicaSet") != "rs0" || b.String() != "mongodb://host/tiles1?replicaSet=rs0&tls=true" || a.Option("authSource") != "admin" {
		t.Errorf("%v, from %v", b, a)
	}
	if c := (Address{Hosts: []string{"host"}, Database: "tiles1"}).With("authSource", "").With("replicaSet", "rs0"); c.String() != "mongodb://host/tiles1?replicaSet=rs0" {
		t.Error(c)
	}
}

func TestParseAddressRefused(t *testing.T) {
	for in, words := range map[string]string{
		"db.example.org/tiles1":                              "begins with mongodb://",
		"http://db.example.org/tiles1":                       "begins with mongodb://",
		"mongodb://reader:hunter2@host/tiles1":               "contains a password",
		"mongodb://reader:hunter2@a@b@host/tiles1":           "contains a password",
		"mongodb://hunter2%ZZ@host/tiles1":                   "user in the address",
		"mongodb://@host/tiles1":                             "user in the address",
		"mongodb://host":                                     "name of the database",
		"mongodb://host/":                                    "name of the database",
		"mongodb://host/a b":                                 "name of the database",
		"mongodb://host/a/b":                                 "name of the database",
		"mongodb:///tiles1":                                  "invalid host",
		"mongodb://host:0/tiles1":                            "invalid port",
		"mongodb://host:99999/tiles1":                        "invalid port",
		"mongodb://a,,b/tiles1":                              "invalid host",
		"mongodb://%2Ftmp%2Fsocket/tiles1":                   "invalid host",
		"mongodb+srv://a,b/tiles1":                           "one host",
		"mongodb+srv://a:27017/tiles1":                       "one host",
		"mongodb://host/tiles1?tlsInsecure=true":             `option "tlsInsecure"`,
		"mongodb://host/tiles1?password=hunter2":             `option "password"`,
		"mongodb://host/tiles1?authMechanismProperties=a:b":  "not supported",
		"mongodb://host/tiles1?tls=yes":                      "true or false",
		"mongodb://host/tiles1?authSource=a&authSource=b":    "twice",
		"mongodb://host/tiles1?a=%ZZ":                        "options",
		"mongodb://host/" + strings.Repeat("a", 64):          "name of the database",
		"mongodb://host/tiles1?maxPoolSize=1000000":          "not supported",
		"mongodb://host/tiles1?proxyPassword=hunter2&tls=no": "not supported",
	} {
		a, err := ParseAddress(in)
		if err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseAddress(%q) = %v, %v, want an error with %q", in, a, err, words)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("mongodb://reader@a:1,[::1]:2/tiles1?tls=true")
	f.Add("mongodb://a:b@c/d")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		again, err := ParseAddress(a.String())
		if err != nil || again.String() != a.String() || again.User != a.User || again.Database != a.Database {
			t.Errorf("ParseAddress(%q) = %q, which is %q again, %v", s, a, again, err)
		}
	})
}
