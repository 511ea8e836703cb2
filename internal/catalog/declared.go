package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrDeclared: a store, or a setting of it, is what a site's file says, and can only be
// changed there.
var ErrDeclared = errors.New("catalog: set in the site's file")

// A Declaration says what of a store is set in a site's file.
type Declaration struct {
	Site string // name of the site; "" if it has none
	Name string // of the store in the file
	// Keys are those of the file, by the setting that each says, as the API calls it:
	// "schedule": "store_defaults.schedule".
	Keys map[string]string
}

// Key is where the file declares the store.
func (d *Declaration) Key() string { return "stores." + d.Name }

// Declares returns an [ErrDeclared] if one of these settings is set in a site's file.
// Its words are for people.
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

// Removable returns an [ErrDeclared] if the store is in a site's file: it would be back
// when that is read next.
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
