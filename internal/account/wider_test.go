package account

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// TestWider compares who sees images of two stores.
func TestWider(t *testing.T) {
	t.Parallel()
	a := open(t, "sqlite:"+t.TempDir()+"/catalog.db", newClock())
	ctx := t.Context()
	group := must(a.Groups.Add(ctx, Group{Name: "group"}))(t)
	for _, g := range []Grant{
		{Group: group.ID, Role: Viewer, Store: "from"},
		{Group: group.ID, Role: Contributor, Store: "rights"},
		{Group: group.ID, Role: Viewer, Store: "same"},
	} {
		must(a.Grants.Add(ctx, g))(t)
	}
	for name, tt := range map[string]struct {
		from, to catalog.Store
		want     []string
	}{
		"equal":       {catalog.Store{ID: "from"}, catalog.Store{ID: "same"}, nil},
		"no grants":   {catalog.Store{ID: "from"}, catalog.Store{ID: "none"}, nil},
		"more":        {catalog.Store{ID: "from"}, catalog.Store{ID: "rights"}, []string{"1 users or groups have more permissions for the other store"}},
		"public":      {catalog.Store{ID: "from"}, catalog.Store{ID: "same", Public: true}, []string{"the other store is public"}},
		"both public": {catalog.Store{ID: "from", Public: true}, catalog.Store{ID: "same", Public: true}, nil},
		"labels":      {catalog.Store{ID: "from", HideLabels: true}, catalog.Store{ID: "same"}, []string{"the other store does not hide labels"}},
	} {
		got, err := a.Grants.Wider(ctx, &tt.from, &tt.to)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
