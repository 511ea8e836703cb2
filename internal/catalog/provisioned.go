package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrProvisioned reports a store, or a setting of it, that is in the configuration file and
// can only be changed there.
var ErrProvisioned = errors.New("set in the configuration file")

// A Provisioning describes which settings of a store are in the configuration file.
type Provisioning struct {
	Site string // name of the site; "" if it has none
	Name string // of the store in the configuration file
	// Keys maps each setting, by its name in the API, to its key in the configuration file:
	// "schedule": "store_defaults.schedule".
	Keys map[string]string
}

// Key returns the key of the store in the configuration file.
func (p *Provisioning) Key() string { return "stores." + p.Name }

// Editable returns an [ErrProvisioned] if one of these settings is in the configuration
// file. Its text is for users.
func (s *Store) Editable(settings ...string) error {
	if s.Provisioned == nil {
		return nil
	}
	var set, keys []string
	for _, name := range settings {
		if key := s.Provisioned.Keys[name]; key != "" {
			set, keys = append(set, name), append(keys, key)
		}
	}
	if set == nil {
		return nil
	}
	slices.Sort(set)
	slices.Sort(keys)
	return fmt.Errorf("%w: %s can't be changed here: the configuration file%s sets it as %s; change it there and reload the file",
		ErrProvisioned, strings.Join(set, ", "), s.Provisioned.ofSite(), strings.Join(keys, ", "))
}

// Removable returns an [ErrProvisioned] if the store is in the configuration file, which
// would add it again.
func (s *Store) Removable() error {
	if s.Provisioned == nil {
		return nil
	}
	return fmt.Errorf("%w: the store can't be removed here: the configuration file%s provisions it as %s; remove it there, reload the file, then remove the store",
		ErrProvisioned, s.Provisioned.ofSite(), s.Provisioned.Key())
}

func (p *Provisioning) ofSite() string {
	if p.Site == "" {
		return ""
	}
	return " of the site " + p.Site
}
