package api

import (
	"maps"
	"slices"
)

// Rules returns the patterns with a rule.
func Rules() []string { return slices.Sorted(maps.Keys(rules)) }

// Routes returns the registered patterns.
func (a *API) Routes() []string { return a.routes }

// OfPicture reports whether a pattern is a route of an image's pictures.
func OfPicture(pattern string) bool { return rules[pattern].object == ofPicture }
