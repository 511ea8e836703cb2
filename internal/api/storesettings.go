package api

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/strictjson"
)

// EditStore changes a store, new or from the catalog, by a JSON merge patch of the
// settings that PATCH accepts, except folders and mode. Errors of fields are of type
// [*FieldError], joined if there are several.
func EditStore(s *catalog.Store, patch []byte) error {
	var f storeFields
	if err := strictjson.Unmarshal(patch, &f); err != nil {
		return fmt.Errorf("settings of a store: %w", err)
	}
	e := newEdit(&f)
	if len(e.errs) > 0 {
		return errors.Join(e.errs...)
	}
	return e.apply(s)
}

// DescribeStore returns the JSON representation of a store for an admin.
func DescribeStore(s *catalog.Store) any {
	v := newStore(s, nil, true)
	v.Scopes = allScopes
	return v
}

// A StoreField is a setting of a store.
type StoreField struct {
	Name string       // in JSON
	Type reflect.Type // string, int64, float64, bool or []string
	Doc  string
}

// StoreFields returns the settings of [EditStore], and also mode, root and incoming.
func StoreFields() []StoreField {
	t := reflect.TypeFor[storeFields]()
	list := make([]StoreField, t.NumField())
	for i := range list {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		value, _ := f.Type.FieldByName("Value")
		list[i] = StoreField{Name: name, Type: value.Type, Doc: f.Tag.Get("doc")}
	}
	return list
}
