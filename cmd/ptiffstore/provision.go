package main

import (
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/api"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/config"
	"github.com/slideatlas/ptiffstore/internal/source"
)

// Fields of a store that cannot be edited: its id, mode and places.
var fixedFields = []string{"id", "mode", "root", "incoming", "password_file"}

var storeID = regexp.MustCompile(`^[a-z0-9]+([-_][a-z0-9]+)*$`)

// storeKeys returns the keys of a store, which are named as the settings of the API.
func storeKeys() []config.Key {
	list := []config.Key{{Name: "id", Type: reflect.TypeFor[string](), Own: true, Check: func(v any) error {
		if s := v.(string); !storeID.MatchString(s) || len(s) > 64 {
			return errors.New("an id consists of lower-case letters and digits, with single hyphens or underscores between them")
		}
		return nil
	}}}
	for _, f := range api.StoreFields() {
		k := config.Key{
			Name: f.Name, Type: f.Type,
			Own:  slices.Contains([]string{"root", "incoming", "label", "password_file"}, f.Name),
			Path: slices.Contains([]string{"root", "incoming", "password_file"}, f.Name),
		}
		switch f.Name {
		case "mode":
			k.OneOf = []string{string(catalog.InPlace), string(catalog.Managed)}
		case "origin":
			k.OneOf = []string{"top-left", "bottom-left"}
		}
		if !slices.Contains(fixedFields, f.Name) {
			k.Check = func(v any) error {
				err := editProvisioned(&catalog.Store{Mode: catalog.InPlace, Root: "/"}, map[string]any{f.Name: v})
				if e, ok := errors.AsType[*config.FieldError](err); ok {
					return e.Err
				}
				return err
			}
		}
		list = append(list, k)
	}
	return list
}

// editProvisioned sets the settings of the file on a store. The error is a
// [*config.FieldError] if it concerns one of them.
func editProvisioned(s *catalog.Store, fields map[string]any) error {
	patch := map[string]any{}
	for name, v := range fields {
		if list, ok := v.([]string); ok && len(list) == 0 {
			v = nil // an empty list is the default
		}
		if !slices.Contains(fixedFields, name) {
			patch[name] = v
		}
	}
	b, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	err = api.EditStore(s, b)
	if e, ok := errors.AsType[*api.FieldError](err); ok { // without its hint: a file has no null
		return &config.FieldError{Field: e.Field, Err: e.Err}
	}
	return err
}

// checkProvisioned checks whether the fields of a store fit each other.
func checkProvisioned(fields map[string]any) error {
	root, _ := fields["root"].(string)
	if root == "" {
		return &config.FieldError{Field: "root", Err: errors.New("a store needs a folder: write root: and the folder of its slides")}
	}
	s := catalog.Store{Mode: catalog.InPlace, Root: root}
	if err := checkImages(root, fields); err != nil {
		return err
	}
	if fields["mode"] == string(catalog.Managed) {
		s.Mode = catalog.Managed
	} else if fields["incoming"] != nil {
		return &config.FieldError{Field: "incoming", Err: errors.New("only managed stores have an incoming folder: remove the line, or write mode: managed")}
	}
	return editProvisioned(&s, fields)
}

// checkImages checks a root that is a URL, and its password file.
func checkImages(root string, fields map[string]any) error {
	secret, _ := fields["password_file"].(string)
	if source.IsURL(root) {
		if _, err := source.CheckRoot(root); err != nil {
			return &config.FieldError{Field: "root", Err: err}
		}
		if fields["mode"] == string(catalog.Managed) && catalog.KindOf(root) != catalog.S3 {
			return &config.FieldError{Field: "mode", Err: errors.New("images of a database are only read: remove the line")}
		}
		if fields["incoming"] != nil {
			return &config.FieldError{Field: "incoming", Err: errors.New("only managed stores in folders have an incoming folder: remove the line")}
		}
	}
	if err := source.CheckSecret(root, secret); err != nil {
		return &config.FieldError{Field: "password_file", Err: err}
	}
	return nil
}
