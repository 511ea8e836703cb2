package api

import (
	"maps"
	"slices"
)

// Rules are the patterns that have a rule.
func Rules() []string { return slices.Sorted(maps.Keys(rules)) }

// Routes are the patterns of what has been registered.
func (a *API) Routes() []string { return a.routes }

// OfPicture reports whether a pattern is that of a picture of an image.
func OfPicture(pattern string) bool { return rules[pattern].object == ofPicture }
