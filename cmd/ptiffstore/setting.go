package main

import (
	"fmt"
	urls "net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/slideatlas/ptiffstore/internal/config"
)

// Origins of a setting, by precedence.
const (
	fromFlag        = "flag"
	fromEnvironment = "environment"
	fromFile        = "file"
	fromDefault     = "default"
)

// A setting is the value in force for a key, and its origin.
type setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"` // secrets are hidden
	Origin string `json:"origin"`
	Where  string `json:"where,omitempty"` // flag, variable, or file and line
	Live   bool   `json:"live"`            // it can be changed while the program runs

	value any // with secrets
}

// inForce returns the settings of the command of ctx.
func inForce(ctx *kong.Context, site *configFile) []setting {
	node := ctx.Selected()
	if node == nil {
		return nil
	}
	var list []setting
	for _, flag := range flagsOf(node) {
		name := keyOf(flag)
		if name == "" {
			continue
		}
		s := setting{Key: name, Origin: fromDefault, Live: flag.Tag.Has("live"), value: flag.Target.Interface()}
		s.Value = shown(s.value)
		variable := inEnvironment(flag)
		v, inFile := site.value(node, flag)
		switch {
		case slices.ContainsFunc(ctx.Path, func(p *kong.Path) bool { return p.Flag == flag }):
			s.Origin, s.Where = fromFlag, "--"+flag.Name
		case variable != "":
			s.Origin, s.Where = fromEnvironment, variable
		case inFile:
			s.Origin, s.Where = fromFile, fmt.Sprintf("%s:%d", site.file.Path, v.Line)
		}
		list = append(list, s)
	}
	return list
}

// shown returns a value without passwords.
func shown(v any) any {
	switch v := v.(type) {
	case string:
		return withoutPasswords(v)
	case config.Counts:
		return append([]string{}, v...) // never null in JSON
	case []string:
		list := make([]string, len(v))
		for i := range v {
			list[i] = withoutPasswords(v[i])
		}
		return list
	case int, int64, bool, float64:
		return v
	}
	return fmt.Sprint(v)
}

var secretWord = regexp.MustCompile(`(?i)pass|secret|token|key`)

// withoutPasswords returns the URL of a database or server with its secrets replaced.
func withoutPasswords(s string) string {
	u, err := urls.Parse(s)
	switch {
	case err != nil || u.Scheme == "":
		if strings.Contains(s, "password") || strings.Contains(s, "@") {
			return "(hidden)"
		}
		return s
	case u.User == nil && u.RawQuery == "":
		return s
	}
	if _, has := u.User.Password(); has {
		u.User = urls.UserPassword(u.User.Username(), "hidden")
	}
	q := u.Query()
	for name := range q {
		if secretWord.MatchString(name) {
			q.Set(name, "hidden")
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}
