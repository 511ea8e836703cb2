package account

import (
	"maps"
	"slices"
	"strings"
)

// A Scope is a kind of permission.
type Scope string

// The scopes. ScopeLabel includes ScopeTiles, ScopeFile both, and ScopeAdmin everything.
const (
	ScopeTiles Scope = "tiles" // see the tissue
	ScopeLabel Scope = "label" // see label, macro, barcode and file name, too: patient data
	ScopeFile  Scope = "file"  // download the original file, which contains all of it
	ScopeWrite Scope = "write" // upload, sync
	ScopeAdmin Scope = "admin"
)

// A Role is a set of scopes that a grant gives.
type Role string

// The roles.
const (
	Viewer      Role = "viewer"      // tiles
	Reader      Role = "reader"      // tiles and label
	Downloader  Role = "downloader"  // tiles, label and file
	Contributor Role = "contributor" // tiles, label and write
	Admin       Role = "admin"       // everything
)

// Scopes returns the scopes of the role; an unknown role has none.
func (r Role) Scopes() []Scope { return roleScopes[r].list() }

var roleScopes = map[Role]scopes{
	Viewer:      tiles,
	Reader:      tiles | label,
	Downloader:  tiles | label | file,
	Contributor: tiles | label | write,
	Admin:       tiles | label | file | write | admin,
}

// scopes is a set of scopes.
type scopes uint8

const (
	tiles scopes = 1 << iota
	label
	write
	admin
	file
)

var scopeBits = []struct {
	name     Scope
	bit      scopes
	includes scopes
}{
	{ScopeTiles, tiles, tiles},
	{ScopeLabel, label, tiles | label},
	{ScopeFile, file, tiles | label | file},
	{ScopeWrite, write, write},
	{ScopeAdmin, admin, tiles | label | file | write | admin},
}

// scopesOf returns the set of the named scopes and those they include.
func scopesOf(names []Scope) (set scopes, err error) {
	for _, name := range names {
		b := includedIn(name)
		if b == 0 {
			return 0, invalid("unknown scope %q: use tiles, label, file, write or admin", printable(string(name), 20))
		}
		set |= b
	}
	return set, nil
}

func includedIn(name Scope) scopes {
	for _, s := range scopeBits {
		if s.name == name {
			return s.includes
		}
	}
	return 0
}

// bit returns the scope's bit, or 0 if it is unknown.
func (s Scope) bit() scopes {
	for _, b := range scopeBits {
		if b.name == s {
			return b.bit
		}
	}
	return 0
}

func (set scopes) list() []Scope {
	list := []Scope{}
	for _, s := range scopeBits {
		if set&s.bit != 0 {
			list = append(list, s.name)
		}
	}
	return list
}

func (set scopes) String() string {
	var names []string
	for _, s := range set.list() {
		names = append(names, string(s))
	}
	return strings.Join(names, " ")
}

// Rights are what a user may do and where, by all their grants. The zero value has no
// rights. Rights are immutable.
type Rights struct {
	everywhere     scopes
	stores, images map[string]scopes
}

// Allows reports whether the scope is held for an image of a store; for the whole store
// if image is empty; for everything if both are. It is false for an unknown scope.
func (r Rights) Allows(store, image string, scope Scope) bool {
	b := scope.bit()
	if b == 0 {
		return false
	}
	held := r.everywhere
	if store != "" {
		held |= r.stores[store]
	}
	if image != "" {
		held |= r.images[image]
	}
	return held&b != 0
}

// Everywhere reports whether the scope is held for all stores, including future ones.
func (r Rights) Everywhere(scope Scope) bool { return r.Allows("", "", scope) }

// Stores returns the sorted ids of the stores with a grant of their own for the scope. It
// is never nil.
func (r Rights) Stores(scope Scope) []string { return having(r.stores, scope.bit()) }

// Images returns the sorted ids of the images with a grant of their own for the scope. It
// is never nil.
func (r Rights) Images(scope Scope) []string { return having(r.images, scope.bit()) }

func having(m map[string]scopes, bit scopes) []string {
	list := []string{}
	for _, id := range slices.Sorted(maps.Keys(m)) {
		if m[id]&bit != 0 {
			list = append(list, id)
		}
	}
	return list
}

// Within returns the rights of a token with those scopes. It ignores unknown scopes.
func (r Rights) Within(names []Scope) Rights {
	var set scopes
	for _, n := range names {
		set |= includedIn(n)
	}
	cut := func(m map[string]scopes) map[string]scopes {
		out := make(map[string]scopes, len(m))
		for id, s := range m {
			if s&set != 0 {
				out[id] = s & set
			}
		}
		return out
	}
	return Rights{everywhere: r.everywhere & set, stores: cut(r.stores), images: cut(r.images)}
}

// RightsOf returns the combined rights of grants.
func RightsOf(grants []Grant) Rights {
	r := Rights{stores: map[string]scopes{}, images: map[string]scopes{}}
	for _, g := range grants {
		switch s := roleScopes[g.Role]; {
		case g.Image != "":
			r.images[g.Image] |= s
		case g.Store != "":
			r.stores[g.Store] |= s
		default:
			r.everywhere |= s
		}
	}
	return r
}
