package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrDeclared reports a store, or a setting of it, that is in the configuration file and
// can only be changed there.
var ErrDeclared = errors.New("catalog: set in the site's file")

// A Declaration describes which settings of a store are in the configuration file.
type Declaration struct {
	Site string // name of the site; "" if it has none
	Name string // of the store in the configuration file
	// Keys maps each setting, by its name in the API, to its key in the configuration file:
	// "schedule": "store_defaults.schedule".
	Keys map[string]string
}

// Key returns the key of the store in the configuration file.
func (d *Declaration) Key() string { return "stores." + d.Name }

// Declares returns an [ErrDeclared] if one of these settings is in the configuration file.
// Its text is for users.
func (s *Store) Declares(settings ...string) error {
	if s.Declared == nil {
		return nil
	}
	var set, keys []string
	for _, name := range settings {
		if key := s.Declared.Keys[name]; key != "" {
			set, keys = append(set, name), append(keys, key)
		}
	}
	if set == nil {
		return nil
	}
	slices.Sort(set)
	slices.Sort(keys)
	return fmt.Errorf("%w: %s can't be changed here: the file%s says it, as %s. Change it there, and have it read again",
		ErrDeclared, strings.Join(set, ", "), s.Declared.of(), strings.Join(keys, ", "))
}

// Removable returns an [ErrDeclared] if the store is in the configuration file, which would
// add it again.
func (s *Store) Removable() error {
	if s.Declared == nil {
		return nil
	}
	return fmt.Errorf("%w: the store can't be removed here: the file%s declares it, as %s. Take it out there, and have it read again; then remove it",
		ErrDeclared, s.Declared.of(), s.Declared.Key())
}

func (d *Declaration) of() string {
	if d.Site == "" {
		return " of the site"
	}
	return " of the site " + d.Site
}
