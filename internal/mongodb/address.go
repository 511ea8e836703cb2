package mongodb

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// An Address names a database and the servers that have it. It contains no password.
type Address struct {
	Hosts    []string // each NAME or NAME:PORT
	Seedlist bool     // the only host is the name of a DNS seed list (mongodb+srv)
	User     string   // "" to connect without a user
	Database string
	options  url.Values
}

// allowed lists the options of an address. Options that contain secrets, weaken TLS or
// change the limits of the package are refused.
var allowed = []string{"authSource", "authMechanism", "directConnection", "readPreference", "replicaSet", "tls", "tlsCAFile"}

// ParseAddress parses mongodb://[USER@]HOST[:PORT][,HOST…]/DATABASE[?OPTIONS]. An address
// with a password is refused: addresses are shown and logged. No error contains any part of
// the user and what stands before the host.
func ParseAddress(s string) (Address, error) {
	var a Address
	rest, ok := strings.CutPrefix(s, "mongodb://")
	if !ok {
		if rest, ok = strings.CutPrefix(s, "mongodb+srv://"); !ok {
			return a, errors.New("the address of a MongoDB database begins with mongodb:// or mongodb+srv://")
		}
		a.Seedlist = true
	}
	rest, query, _ := strings.Cut(rest, "?")
	// The user may not contain an @, but a password that was typed without escaping does.
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if err := a.parseUser(rest[:at]); err != nil {
			return a, err
		}
		rest = rest[at+1:]
	}
	hosts, database, _ := strings.Cut(rest, "/")
	if err := a.parseHosts(hosts); err != nil {
		return a, err
	}
	var err error
	if a.Database, err = url.PathUnescape(database); err != nil || !validDatabase(a.Database) {
		return a, errors.New("the address must end with the name of the database: mongodb://host/DATABASE")
	}
	return a, a.parseOptions(query)
}

func (a *Address) parseUser(s string) error {
	if strings.Contains(s, ":") {
		return errors.New("the address contains a password, which others could read: write mongodb://USER@HOST/DATABASE, and the password to a file")
	}
	var err error
	if a.User, err = url.PathUnescape(s); err != nil || a.User == "" {
		return errors.New("the user in the address is not valid: special characters are written as %XX")
	}
	return nil
}

func (a *Address) parseHosts(s string) error {
	a.Hosts = strings.Split(s, ",")
	for _, h := range a.Hosts {
		name, port := h, ""
		if i := strings.LastIndexByte(h, ':'); i >= 0 && !strings.HasSuffix(h, "]") {
			var err error
			if name, port, err = net.SplitHostPort(h); err != nil {
				return fmt.Errorf("invalid host %q in the address", h)
			}
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				return fmt.Errorf("invalid port of host %q in the address", h)
			}
		}
		name = strings.Trim(name, "[]")
		if name == "" || strings.ContainsAny(name, "/%@ ") {
			return fmt.Errorf("invalid host %q in the address", h)
		}
		if a.Seedlist && port != "" {
			return errors.New("an address with mongodb+srv:// has one host without a port")
		}
	}
	if a.Seedlist && len(a.Hosts) != 1 {
		return errors.New("an address with mongodb+srv:// has one host without a port")
	}
	return nil
}

// validDatabase reports whether MongoDB accepts the name of a database.
func validDatabase(name string) bool {
	return name != "" && len(name) < 64 && !strings.ContainsAny(name, "/\\. \"$*<>:|?\x00")
}

func (a *Address) parseOptions(query string) error {
	var err error
	if a.options, err = url.ParseQuery(query); err != nil {
		return errors.New("the options of the address are not valid")
	}
	for name, values := range a.options {
		if !slices.Contains(allowed, name) {
			return fmt.Errorf("the option %q of the address is not supported; supported are %s", name, strings.Join(allowed, ", "))
		}
		if len(values) != 1 {
			return fmt.Errorf("the option %q of the address is given twice", name)
		}
	}
	if v := a.options.Get("tls"); v != "" && v != "true" && v != "false" {
		return errors.New(`the option "tls" of the address is true or false`)
	}
	return nil
}

// Option returns the value of an option, or "".
func (a Address) Option(name string) string { return a.options.Get(name) }

// With returns the address with an option, or without it if value is "". Only [ParseAddress]
// checks options.
func (a Address) With(name, value string) Address {
	a.options = maps.Clone(a.options)
	if value == "" {
		delete(a.options, name)
		return a
	}
	if a.options == nil {
		a.options = url.Values{}
	}
	a.options[name] = []string{value}
	return a
}

// String returns the address in its canonical form.
func (a Address) String() string {
	var b strings.Builder
	b.WriteString("mongodb")
	if a.Seedlist {
		b.WriteString("+srv")
	}
	b.WriteString("://")
	if a.User != "" {
		b.WriteString(url.User(a.User).String() + "@")
	}
	b.WriteString(strings.Join(a.Hosts, ",") + "/" + url.PathEscape(a.Database))
	if len(a.options) > 0 {
		b.WriteString("?" + a.options.Encode())
	}
	return b.String()
}
