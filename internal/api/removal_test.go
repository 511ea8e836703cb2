package api_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/managed"
	"github.com/slideatlas/ptiffstore/internal/scan"
)

// removal adds the functions that remove and restore images to the site.
func (st *site) removal() {
	st.api.Remove, st.api.Restore = st.api.Catalog.Images.Delete, st.api.Catalog.Images.Restore
}

func TestRemoveImage(t *testing.T) {
	st := newSite(t)
	st.removal()
	id := st.record("a.tiff", nil)
	st.record("b.tiff", nil)
	path := "/api/v1/images/" + id
	listed := func(query string) []string {
		t.Helper()
		return names(st.object("GET", "/api/v1/images?sort=name"+query, "", 200), "file_name")
	}
	before := st.object("GET", path, "", 200)
	if a := st.ask("DELETE", path, ""); a.status != 204 || len(a.body) != 0 {
		t.Fatalf("DELETE: %d %s, want 204", a.status, a.body)
	}
	st.refused("GET", path, "", 404, "no object with this id")
	if diff := cmp.Diff([]string{"b.tiff"}, listed("")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a.tiff"}, listed("&deleted=true")); diff != "" {
		t.Errorf("list of the deleted (-want +got):\n%s", diff)
	}
	gone := st.object("GET", "/api/v1/images?deleted=true", "", 200)["items"].([]any)[0].(map[string]any)
	if gone["deleted_at"] == nil || gone["tile_url"] != nil {
		t.Errorf("deleted at %v, tile_url %v: want a time, and no tiles", gone["deleted_at"], gone["tile_url"])
	}
	after := st.object("POST", path+"/restore", "", 200)
	before["updated_at"], after["updated_at"] = nil, nil
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("restored (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff([]string{}, listed("&deleted=true")); diff != "" {
		t.Errorf("list of the deleted (-want +got):\n%s", diff)
	}
	for _, r := range [][2]string{{"DELETE", ""}, {"POST", "/restore"}} {
		st.refused(r[0], "/api/v1/images/nobody"+r[1], "", 404, "no object with this id")
	}
}

func TestRetryImage(t *testing.T) {
	st := newSite(t)
	id := st.record("a.tiff", func(im *catalog.Image) { im.State = catalog.Broken })
	st.api.Retry = func(ctx context.Context, id string) error {
		_, err := st.api.Catalog.Images.Update(ctx, id, func(im *catalog.Image) error { im.State = catalog.Available; return nil })
		return err
	}
	if got := st.object("POST", "/api/v1/images/"+id+"/retry", "", 200)["state"]; got != "available" {
		t.Errorf("state %v after the retry", got)
	}
}

// Errors about files are reported without their names.
func TestImageRefused(t *testing.T) {
	tests := []struct {
		err    error
		status int
		words  string
	}{
		{fmt.Errorf("image: %w", catalog.ErrNotFound), 404, "no object with this id"},
		{scan.ErrBusy, 409, "Another process works on this file"},
		{fmt.Errorf("%w: the slide has come again, as image x", managed.ErrInTheWay), 409, "the slide has come again"},
		{fmt.Errorf("%w: no such device", scan.ErrNoRoot), 503, "disk is mounted"},
		{&fs.PathError{Op: "open", Path: "/slides/secret.tiff", Err: fs.ErrNotExist}, 410, "trash"},
		{&fs.PathError{Op: "open", Path: "/slides/secret.tiff", Err: errors.New("input/output error")}, 500, "log has the reason"},
	}
	st := newSite(t)
	id := st.record("a.tiff", nil)
	for _, tt := range tests {
		fail := func(context.Context, string) error { return tt.err }
		st.api.Remove, st.api.Restore, st.api.Retry = fail, fail, fail
		for _, r := range [][2]string{{"DELETE", ""}, {"POST", "/restore"}, {"POST", "/retry"}} {
			st.refused(r[0], "/api/v1/images/"+id+r[1], "", tt.status, tt.words)
		}
	}
}

func TestImagesForOthers(t *testing.T) {
	st := newSite(t)
	st.removal()
	id := st.record("a.tiff", nil)
	st.admin.Store(false)
	for _, r := range [][2]string{{"DELETE", ""}, {"POST", "/restore"}, {"POST", "/retry"}} {
		st.refused(r[0], "/api/v1/images/"+id+r[1], "", 403, "Only an admin may do this")
	}
	st.refused("GET", "/api/v1/images?deleted=true", "", 403, "Only an admin may do this")
}
