package siteimport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/mongodb"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
)

// importStores adds the image stores, and the ids and labels of images of files.
func (m *importer) importStores(ctx context.Context) error {
	known, err := m.Catalog.Stores.List(ctx)
	if err != nil {
		return err
	}
	n, err := read(ctx, m, m.Admin, "databases", slideatlas.DecodeStore, func(s *slideatlas.Store) error {
		m.warnings("store", s.ID, s.Warnings)
		return m.importStore(ctx, s, known)
	})
	if err == nil && n == 0 {
		err = errors.New(`the admin database has no image stores: its collection "databases" is empty or does not exist; check the address`)
	}
	return err
}

func (m *importer) importStore(ctx context.Context, s *slideatlas.Store, known []catalog.Store) error {
	item := Item{Kind: "store", ID: string(s.ID), Name: s.Label}
	st, reason := m.store(s)
	for i := range known {
		switch k := &known[i]; {
		case k.ExternalID == string(s.ID):
			item.Object, item.Result = k.ID, Unchanged
		case reason == "" && k.Root == st.Root && k.ExternalID == "":
			item.Object, item.Result = k.ID, Changed
		}
	}
	if item.Object == "" && reason != "" {
		item.Result, item.Reason = Skipped, reason
		m.report.add(item)
		return nil
	}
	if err := m.putStore(ctx, s, &st, &item); err != nil {
		return err
	}
	m.report.add(item)
	if item.Result != Skipped {
		m.stores[s.ID] = item.Object // "" in a dry run
	}
	if item.Object == "" {
		return nil
	}
	if m.Sync != nil {
		if err := m.Sync(ctx, item.Object); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			m.report.warn("store %s was added, and could not be synced: %v", s.ID, err)
		}
	}
	if s.Kind == slideatlas.TIFF {
		return m.importImages(ctx, s, item.Object)
	}
	return nil
}

// putStore adds a store, or its external id to a known one.
func (m *importer) putStore(ctx context.Context, s *slideatlas.Store, st *catalog.Store, item *Item) error {
	switch {
	case item.Result == Unchanged || m.DryRun && item.Result == Changed:
		return nil
	case m.DryRun:
		item.Result = Added
		return nil
	case item.Result == Changed:
		_, err := m.Catalog.Stores.Update(ctx, item.Object, func(k *catalog.Store) error { k.ExternalID = string(s.ID); return nil })
		if err != nil {
			return fmt.Errorf("store %s: %w", s.ID, err)
		}
		return m.record(ctx, "store.set", item.Object)
	}
	if s.Kind == slideatlas.MongoDB && st.Kind == catalog.MongoDB && s.Password.Reveal() != "" && s.Username != "" {
		file, err := m.writePassword(s)
		if err != nil {
			return fmt.Errorf("store %s: the password of the database cannot be stored: %w", s.ID, err)
		}
		st.PasswordFile = file
	}
	put, err := m.Catalog.Stores.Put(ctx, *st)
	switch {
	case errors.Is(err, catalog.ErrConflict), errors.Is(err, catalog.ErrInvalid):
		item.Result, item.Reason = Skipped, err.Error()
		return nil
	case err != nil:
		return fmt.Errorf("store %s: %w", s.ID, err)
	}
	item.Result, item.Object = Added, put.ID
	return m.record(ctx, "store.add", put.ID)
}

// store returns the store of the catalog that corresponds to one of SlideAtlas, or the reason
// why it has no counterpart.
func (m *importer) store(s *slideatlas.Store) (st catalog.Store, reason string) {
	st = catalog.Store{ExternalID: string(s.ID), Mode: catalog.InPlace, Label: line(s.Label), Copyright: line(s.Copyright)}
	if st.Label == "" {
		st.Label = line(s.Database)
	}
	switch s.Kind {
	case slideatlas.MongoDB:
		st.Root, reason = m.database(s)
	case slideatlas.TIFF:
		st.Root, reason = m.folder(s)
		if s.RootPath == "" {
			st.Include = []string{"*"} // such sites name files by their digests, without a suffix
		}
	default:
		reason = fmt.Sprintf("stores of the kind %q are not supported", s.Kind)
	}
	if st.Kind = catalog.KindOf(st.Root); st.Label == "" {
		st.Label = path.Base(st.Root)
	}
	return st, reason
}

// database returns the root of a store in MongoDB.
func (m *importer) database(s *slideatlas.Store) (root, reason string) {
	if s.Database == "" {
		return "", "its document does not name a database"
	}
	if m.Dump != nil {
		if dir := m.Dump(s.Database); dir != "" {
			return "dump://" + dir, ""
		}
	}
	hosts := s.Hosts
	if len(hosts) == 0 {
		hosts = m.Hosts
	}
	if len(hosts) == 0 {
		return "", "its document does not name a server, and there is no dump of its database " + s.Database + " beside that of the admin database"
	}
	a := mongodb.Address{Hosts: hosts, User: s.Username, Database: s.Database}.With("replicaSet", s.ReplicaSet)
	if s.Username != "" && s.AuthDatabase != s.Database {
		a = a.With("authSource", s.AuthDatabase)
	}
	a, err := mongodb.ParseAddress(a.String())
	if err != nil {
		return "", "the address of its database is not valid: " + err.Error()
	}
	return a.String(), ""
}

// folder returns the root of a store of files.
func (m *importer) folder(s *slideatlas.Store) (root, reason string) {
	root = s.RootPath
	for _, old := range []string{s.RootPath, strings.TrimRight(s.RootPath, "/"), s.Database} {
		if moved := m.Roots[old]; old != "" && moved != "" {
			root = moved
			break
		}
	}
	switch {
	case root == "":
		return "", "its document names no folder: give it with --root " + s.Database + "=/FOLDER"
	case !filepath.IsAbs(root):
		return "", fmt.Sprintf("the folder %q is not an absolute path: give the path with --root", root)
	}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return root, fmt.Sprintf("the folder %s does not exist here: give its new path with --root %s=/NEW", root, root)
	}
	if info, err := os.Stat(real); err != nil || !info.IsDir() {
		return root, fmt.Sprintf("%s is not a folder", root)
	}
	return real, ""
}

// writePassword writes the password of a database to a file that only its owner may read.
func (m *importer) writePassword(s *slideatlas.Store) (string, error) {
	if strings.ContainsAny(s.Password.Reveal(), "\r\n") {
		return "", errors.New("it has a line break")
	}
	if err := os.MkdirAll(m.Credentials, 0o700); err != nil {
		return "", err
	}
	file := filepath.Join(m.Credentials, string(s.ID)+".password")
	if _, err := os.Lstat(file); err == nil {
		return file, nil // of an interrupted import, or changed by a person
	}
	return file, fsx.WriteFile(file, []byte(s.Password.Reveal()+"\n"), 0o600)
}

// importImages gives the images of a store of files the ids and labels that they have in
// SlideAtlas.
func (m *importer) importImages(ctx context.Context, s *slideatlas.Store, store string) error {
	data, end, err := m.Data(ctx, s)
	if err != nil {
		m.report.warn("store %s: the documents of its images cannot be read, so the images keep the ids of this server: %v", s.ID, err)
		return nil
	}
	defer end()
	var changed []string
	_, err = read(ctx, m, data, "images", slideatlas.DecodeImage, func(im *slideatlas.Image) error {
		item, err := m.importImage(ctx, im, store)
		if err != nil {
			return err
		}
		if item.Result == Changed && !m.DryRun {
			changed = append(changed, item.Object)
		}
		m.report.add(item)
		return nil
	})
	if len(changed) > 0 {
		err = errors.Join(err, m.Audit(context.WithoutCancel(ctx), account.Event{Act: "image.set", Object: store, Images: changed}))
	}
	if err != nil && ctx.Err() == nil {
		m.report.warn("store %s: the documents of its images were read in part: %v", s.ID, err)
		return nil
	}
	return err
}

func (m *importer) importImage(ctx context.Context, im *slideatlas.Image, store string) (Item, error) {
	item := Item{Kind: "image", ID: string(im.ID), Result: Skipped}
	var found []catalog.Image
	for _, name := range []string{im.SHA512, path.Base(im.Filename)} {
		if name == "" || name == "." || name == "/" || len(found) > 0 {
			continue
		}
		var err error
		if found, err = m.Catalog.Images.ByFileName(ctx, store, name); err != nil {
			return item, err
		}
	}
	switch len(found) {
	case 0:
		item.Reason = "no file of the store has its name or digest"
		return item, nil
	case 1:
	default:
		item.Reason = fmt.Sprintf("%d files of the store have its name", len(found))
		return item, nil
	}
	k := &found[0]
	item.Object = k.ID
	if k.ExternalID != nil && *k.ExternalID != string(im.ID) {
		item.Reason = "the image has another external id"
		return item, nil
	}
	label := line(im.Label)
	if item.Result = Unchanged; k.ExternalID != nil {
		return item, nil // an earlier import has set the label, and people may have changed it
	}
	item.Result = Changed
	if m.DryRun {
		return item, nil
	}
	_, err := m.Catalog.Images.Update(ctx, k.ID, func(k *catalog.Image) error {
		if k.ExternalID == nil {
			k.ExternalID = new(string(im.ID))
		}
		if k.Label == nil && label != "" {
			k.Label = &label
		}
		return nil
	})
	return item, err
}

// line returns text as one line of at most 200 visible characters.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if r := []rune(strings.TrimSpace(s)); len(r) > 200 {
		s = string(r[:200])
	}
	return strings.TrimSpace(s)
}
