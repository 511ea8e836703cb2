package siteimport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/slideatlas"
)

// groupPrefix begins the names of imported groups, so that none becomes a member of a group
// of this server that has rights of its own.
const groupPrefix = "SlideAtlas: "

// maxName is the maximum length of the name of a user or group, in characters.
const maxName = 64

// importGroups adds the groups.
func (m *importer) importGroups(ctx context.Context) error {
	seen := map[string]bool{}
	for _, collection := range []string{"groups", "rules"} { // rules is the older name
		_, err := read(ctx, m, m.Admin, collection, slideatlas.DecodeGroup, func(g *slideatlas.Group) error {
			m.warnings("group", g.ID, g.Warnings)
			return m.importGroup(ctx, g, seen)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *importer) importGroup(ctx context.Context, g *slideatlas.Group, seen map[string]bool) error {
	item := Item{Kind: "group", ID: string(g.ID), Name: groupName(g, seen)}
	found, err := m.Accounts.Groups.ByName(ctx, item.Name)
	if err == nil {
		item.Object = found.ID
	}
	err = m.ensure(ctx, &item, err, func() (string, error) {
		added, err := m.Accounts.Groups.Add(ctx, account.Group{Name: item.Name})
		if err != nil {
			return "", err
		}
		return added.ID, nil
	})
	if err != nil {
		return err
	}
	if item.Result != Skipped {
		m.groups[g.ID] = item.Object
	}
	m.report.add(item)
	return nil
}

// ensure calls add for a group or user that was not found here, unless this is a dry run, and records
// it in the audit log. It completes the item: one whose name or other properties are invalid here is
// skipped. Found is the error of the search for its name.
func (m *importer) ensure(ctx context.Context, item *Item, found error, add func() (id string, err error)) error {
	switch {
	case found == nil:
		item.Result = Unchanged
		return nil
	case !errors.Is(found, account.ErrNotFound):
		return found
	}
	item.Result = Added
	if m.DryRun {
		return nil
	}
	id, err := add()
	if errors.Is(err, account.ErrInvalid) {
		item.Result, item.Reason = Skipped, err.Error()
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", item.Kind, item.ID, err)
	}
	item.Object = id
	return m.record(ctx, item.Kind+".add", id)
}

// groupName returns the name of an imported group. It ends with the id if the label is empty,
// too long, or that of an earlier group.
func groupName(g *slideatlas.Group, seen map[string]bool) string {
	name := groupPrefix + line(g.Label)
	if r := []rune(name); line(g.Label) == "" || len(r) > maxName || seen[strings.ToLower(name)] {
		id := " " + string(g.ID)
		name = strings.TrimSpace(string(r[:min(len(r), maxName-len(id))])) + id
	}
	seen[strings.ToLower(name)] = true
	return name
}

// importUsers adds the users, without passwords, and their memberships.
func (m *importer) importUsers(ctx context.Context) error {
	_, err := read(ctx, m, m.Admin, "users", slideatlas.DecodeUser, func(u *slideatlas.User) error {
		m.warnings("user", u.ID, u.Warnings)
		return m.importUser(ctx, u)
	})
	return err
}

func (m *importer) importUser(ctx context.Context, u *slideatlas.User) error {
	item := Item{Kind: "user", ID: string(u.ID), Name: u.Email}
	if err := m.ensureUser(ctx, &item, u); err != nil {
		return err
	}
	m.users[u.ID] = item.Object
	m.report.add(item)
	if item.Result == Skipped {
		return nil
	}
	for _, g := range u.Groups {
		if err := m.importMember(ctx, u, item.Object, g); err != nil {
			return err
		}
	}
	return nil
}

// ensureUser is [importer.ensure] for a user.
func (m *importer) ensureUser(ctx context.Context, item *Item, u *slideatlas.User) error {
	if u.Email == "" {
		item.Result, item.Reason = Skipped, "the user has no e-mail address"
		return nil
	}
	found, err := m.Accounts.Users.ByName(ctx, u.Email)
	if err == nil {
		item.Object = found.ID
	}
	return m.ensure(ctx, item, err, func() (string, error) {
		added, err := m.Accounts.Users.Add(ctx, account.User{Name: u.Email, DisplayName: line(u.Name)}, "")
		if err != nil {
			return "", err
		}
		return added.ID, nil
	})
}

// importMember makes a user a member of a group.
func (m *importer) importMember(ctx context.Context, u *slideatlas.User, user string, group slideatlas.ID) error {
	item := Item{Kind: "member", ID: string(group), Name: u.Email, Object: user, Result: Added}
	id, ok := m.groups[group]
	if !ok {
		item.Result, item.Reason = Skipped, "the group does not exist"
		m.report.add(item)
		return nil
	}
	if user != "" && id != "" {
		members, err := m.Accounts.Groups.Members(ctx, id)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(members, func(k account.User) bool { return k.ID == user }) {
			item.Result = Unchanged
		} else if !m.DryRun {
			if err := m.Accounts.Groups.AddMember(ctx, id, user); err != nil {
				return err
			}
			if err := m.record(ctx, "group.join", id+" "+user); err != nil {
				return err
			}
		}
	}
	m.report.add(item)
	return nil
}

// importPermissions grants roles to groups.
func (m *importer) importPermissions(ctx context.Context) error {
	if _, err := read(ctx, m, m.Admin, "sessions", slideatlas.DecodeSession, func(s *slideatlas.Session) error { m.sessions[s.ID] = s; return nil }); err != nil {
		return err
	}
	if _, err := read(ctx, m, m.Admin, "views", slideatlas.DecodeView, func(v *slideatlas.View) error { m.views[v.ID] = v; return nil }); err != nil {
		return err
	}
	for _, collection := range []string{"groups", "rules"} {
		_, err := read(ctx, m, m.Admin, collection, slideatlas.DecodeGroup, func(g *slideatlas.Group) error {
			for _, p := range g.Permissions {
				if err := m.importPermission(ctx, g, p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// importPermission grants the roles that correspond to a permission. No role has more rights:
// viewing does not include labels, and those who may edit a session may see the labels of its
// images, but not change or delete them.
func (m *importer) importPermission(ctx context.Context, g *slideatlas.Group, p slideatlas.Permission) error {
	item := Item{Kind: "permission", ID: string(p.ID), Name: fmt.Sprintf("%s: %s of %s", line(g.Label), p.Operation, p.Resource), Result: Unchanged}
	role := map[string]account.Role{"view": account.Viewer, "edit": account.Contributor, "admin": account.Admin}[p.Operation]
	var grants []account.Grant
	switch p.Resource {
	case "site":
		grants = []account.Grant{{Role: role}}
	case "store":
		store, ok := m.stores[p.ID]
		if store == "" && m.DryRun && ok {
			store = "?"
		}
		if store == "" { // never a grant for everything
			item.Result, item.Reason = Skipped, "the store was not imported"
			break
		}
		grants = []account.Grant{{Role: role, Store: store}}
	default:
		if role != account.Viewer {
			role = account.Reader
		}
		var err error
		if grants, item.Reason, err = m.imageGrants(ctx, p, role); err != nil {
			return err
		}
		if item.Reason != "" {
			item.Result = Skipped
		}
	}
	if len(grants) > 0 && item.Result != Skipped {
		result, err := m.grant(ctx, m.groups[g.ID], grants)
		if err != nil {
			return err
		}
		item.Result = result
	}
	m.report.add(item)
	return nil
}

// imageGrants returns the grants for the images of a session, or of the sessions of a
// collection.
func (m *importer) imageGrants(ctx context.Context, p slideatlas.Permission, role account.Role) (grants []account.Grant, reason string, err error) {
	images := map[slideatlas.ViewImage]bool{}
	for _, s := range m.sessions {
		if s.ID != p.ID && s.CollectionID != p.ID {
			continue
		}
		for _, ref := range s.Views {
			if v := m.views[ref.ID]; v != nil {
				for _, im := range v.Images {
					images[im] = true
				}
			}
		}
	}
	switch {
	case len(images) == 0:
		return nil, "no image belongs to it", nil
	case len(images) > maxGrants:
		return nil, fmt.Sprintf("%d images belong to it: grant a role for their stores instead", len(images)), nil
	}
	missing := 0
	for im := range images {
		id, err := m.image(ctx, im)
		if err != nil {
			return nil, "", err
		}
		if id == "" {
			missing++
			continue
		}
		grants = append(grants, account.Grant{Role: role, Image: id})
	}
	if len(grants) == 0 && m.DryRun { // the import would add them first
		return []account.Grant{{Role: role, Image: "?"}}, "", nil
	}
	if len(grants) == 0 {
		return nil, "its images are not in the catalog: sync their stores, and repeat the import", nil
	}
	if missing > 0 {
		m.report.warn("%d of the %d images of the %s %s are not in the catalog: sync their stores, and repeat the import", missing, len(images), p.Resource, p.ID)
	}
	return grants, "", nil
}

// image returns the id of an image of SlideAtlas in the catalog, "" if it is not there.
func (m *importer) image(ctx context.Context, im slideatlas.ViewImage) (string, error) {
	store, ok := m.stores[im.StoreID]
	if im.StoreID != "" && (!ok || store == "") {
		return "", nil
	}
	page, err := m.Catalog.Images.List(ctx, catalog.Query{ExternalID: string(im.ID), Labels: true, Limit: 2, Store: store})
	if err != nil || len(page.Items) != 1 {
		return "", err
	}
	return page.Items[0].ID, nil
}

// grant gives a group grants, and returns what has changed.
func (m *importer) grant(ctx context.Context, group string, grants []account.Grant) (Result, error) {
	if group == "" { // in a dry run
		return Added, nil
	}
	known, err := m.Accounts.Grants.List(ctx, account.GrantFilter{Group: group})
	if err != nil {
		return "", err
	}
	result := Unchanged
	for _, g := range grants {
		g.Group = group
		if slices.ContainsFunc(known, func(k account.Grant) bool { return k.Role == g.Role && k.Store == g.Store && k.Image == g.Image }) {
			continue
		}
		result = Added
		if m.DryRun {
			continue
		}
		made, err := m.Accounts.Grants.Add(ctx, g)
		if err != nil {
			return "", err
		}
		if err := m.record(ctx, "grant.add", made.ID); err != nil {
			return "", err
		}
	}
	return result, nil
}
