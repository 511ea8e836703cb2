package main

import (
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/config"
)

// Fields of a store that the file sets, but no other: where it is, and which.
var placing = []string{"id", "mode", "root", "incoming"}

var storeID = regexp.MustCompile(`^[a-z0-9]+([-_][a-z0-9]+)*$`)

// storeKeys are the keys of a store: the settings of the API under the same names.
func storeKeys() []config.Key {
	list := []config.Key{{Name: "id", Kind: config.Text, Own: true, Check: func(v any) error {
		if s := v.(string); !storeID.MatchString(s) || len(s) > 64 {
			return errors.New("an id is of lower-case letters and digits, with single hyphens or underscores between them")
		}
		return nil
	}}}
	for _, f := range api.StoreFields() {
		k := config.Key{Name: f.Name, Own: slices.Contains([]string{"root", "incoming", "label"}, f.Name), Path: f.Name == "root" || f.Name == "incoming"}
		switch f.Type.Kind() {
		case reflect.Bool:
			k.Kind = config.Switch
		case reflect.Int64:
			k.Kind = config.Number
		case reflect.Float64:
			k.Kind = config.Share
		case reflect.Slice:
			k.Kind = config.List
		default:
			k.Kind = config.Text
		}
		switch f.Name {
		case "mode":
			k.OneOf = []string{string(catalog.InPlace), string(catalog.Managed)}
		case "origin":
			k.OneOf = []string{"top-left", "bottom-left"}
		}
		if !slices.Contains(placing, f.Name) {
			k.Check = func(v any) error {
				_, err := editDeclared(&catalog.Store{Mode: catalog.InPlace, Root: "/"}, map[string]any{f.Name: v})
				return err
			}
		}
		list = append(list, k)
	}
	return list
}

// editDeclared gives a store the settings of the file. The field is the one that is
// wrong.
func editDeclared(s *catalog.Store, fields map[string]any) (field string, err error) {
	patch := map[string]any{}
	for name, v := range fields {
		if list, ok := v.([]string); ok && len(list) == 0 {
			v = nil // an empty list is the default
		}
		if !slices.Contains(placing, name) {
			patch[name] = v
		}
	}
	b, err := json.Marshal(patch)
	if err != nil {
		return "", err
	}
	if err = api.EditStore(s, b); err == nil {
		return "", nil
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	field, what, ok := strings.Cut(first, ": ")
	if !ok {
		return "", err
	}
	what, _, _ = strings.Cut(what, "; null for") // in a file that is to leave the line out
	return field, errors.New(what)
}

// checkDeclared says what of a store does not go together.
func checkDeclared(fields map[string]any) (field string, err error) {
	root, _ := fields["root"].(string)
	if root == "" {
		return "root", errors.New("a store needs a folder: write root: and the folder that its slides are in")
	}
	s := catalog.Store{Mode: catalog.InPlace, Root: root}
	if fields["mode"] == string(catalog.Managed) {
		s.Mode = catalog.Managed
	} else if fields["incoming"] != nil {
		return "incoming", errors.New("the files of an in-place store stay where they are, so it has no folder for arrivals: take the line out, or write mode: managed")
	}
	return editDeclared(&s, fields)
}
