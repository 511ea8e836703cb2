package account

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// Groups are the groups, with their members.
type Groups struct{ *handle }

// A Group is a set of users with common grants.
type Group struct {
	ID   string `json:"id"`
	Name string `json:"name"` // 1 to 64 characters, unique regardless of case
	// External is the name of the OpenID Connect provider's group whose members become
	// members of this one, or empty.
	External  string    `json:"external"`
	Members   int       `json:"members"` // number of members
	CreatedAt time.Time `json:"created_at"`
}

const groupColumns = `g.id, g.name, g.external, (SELECT count(DISTINCT m.user_id) FROM group_members m WHERE m.group_id = g.id), g.created_at`

func scanGroup(r row) (Group, error) {
	var g Group
	err := r.Scan(&g.ID, &g.Name, &g.External, &g.Members, moment{&g.CreatedAt})
	return g, err
}

func (g *Group) check() (err error) {
	if g.Name, err = checkName("group", g.Name); err != nil {
		return err
	}
	g.External, err = checkText("external name", g.External, 200)
	return err
}

// Add adds a group with the name and external name of g. The error may be
// [ErrInvalid] or [ErrConflict].
func (gs *Groups) Add(ctx context.Context, g Group) (*Group, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	err := gs.change(ctx, func(t *tx) error {
		g.ID, g.Members, g.CreatedAt = catalog.NewID(), 0, t.now
		_, err := t.exec(ctx, "group", `INSERT INTO user_groups (id, name, folded, external, created_at) VALUES ($1, $2, $3, $4, $5)`,
			g.ID, g.Name, fold(g.Name), g.External, t.now.UnixMicro())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &g, nil
}

// Get returns the group of that id, or [ErrNotFound].
func (gs *Groups) Get(ctx context.Context, id string) (*Group, error) {
	return one(ctx, gs.read, scanGroup, "group", `SELECT `+groupColumns+` FROM user_groups g WHERE g.id = $1`, id)
}

// ByName returns the group of that name, ignoring case, or [ErrNotFound].
func (gs *Groups) ByName(ctx context.Context, name string) (*Group, error) {
	return one(ctx, gs.read, scanGroup, "group", `SELECT `+groupColumns+` FROM user_groups g WHERE g.folded = $1`, fold(strings.TrimSpace(name)))
}

// List returns all groups, ordered by name.
func (gs *Groups) List(ctx context.Context) ([]Group, error) {
	return all(ctx, gs.read, scanGroup, "groups", `SELECT `+groupColumns+` FROM user_groups g ORDER BY g.folded`)
}

// Update calls edit with the group, and stores its Name and External. The error is
// [ErrNotFound], [ErrInvalid], [ErrConflict] or that of edit.
func (gs *Groups) Update(ctx context.Context, id string, edit func(*Group) error) (*Group, error) {
	var g *Group
	err := gs.change(ctx, func(t *tx) (err error) {
		if g, err = t.group(ctx, id); err != nil {
			return err
		}
		if err := edit(g); err != nil {
			return err
		}
		if err := g.check(); err != nil {
			return err
		}
		_, err = t.exec(ctx, "group", `UPDATE user_groups SET name = $2, folded = $3, external = $4 WHERE id = $1`, id, g.Name, fold(g.Name), g.External)
		return err
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

func (t *tx) group(ctx context.Context, id string) (*Group, error) {
	return one(ctx, t, scanGroup, "group", `SELECT `+groupColumns+` FROM user_groups g WHERE g.id = $1`, id)
}

// Delete removes a group and its grants. The error is [ErrNotFound] or
// [ErrLastAdmin].
func (gs *Groups) Delete(ctx context.Context, id string) error {
	return gs.change(ctx, func(t *tx) error {
		return t.keepAdmin(ctx, func() error {
			if _, err := t.group(ctx, id); err != nil {
				return err
			}
			if err := t.revokeGroup(ctx, id); err != nil {
				return err
			}
			return t.execAll(ctx, "group", []any{id},
				`DELETE FROM user_groups WHERE id = $1`,
				`DELETE FROM group_members WHERE group_id = $1`,
				`DELETE FROM grants WHERE group_id = $1`)
		})
	})
}

// Members returns the users of a group, ordered by name.
func (gs *Groups) Members(ctx context.Context, group string) ([]User, error) {
	return all(ctx, gs.read, scanUser, "members", `SELECT `+userColumns+` FROM users u
		WHERE u.id IN (SELECT user_id FROM group_members WHERE group_id = $1) ORDER BY u.folded`, group)
}

// AddMember adds a user to a group; adding a member again has no effect. The error may be
// [ErrNotFound].
func (gs *Groups) AddMember(ctx context.Context, group, user string) error {
	return gs.change(ctx, func(t *tx) error {
		if _, err := t.group(ctx, group); err != nil {
			return err
		}
		if _, err := t.user(ctx, user); err != nil {
			return err
		}
		n, err := t.exec(ctx, "member", `INSERT INTO group_members (group_id, user_id, source) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, group, user, Local)
		if err != nil || n == 0 {
			return err
		}
		return t.revoke(ctx, RevokeUser, user)
	})
}

// RemoveMember removes a user from a group. A member who was added by the OpenID Connect
// provider returns with the next login. The error may be [ErrNotFound] or [ErrLastAdmin].
func (gs *Groups) RemoveMember(ctx context.Context, group, user string) error {
	return gs.change(ctx, func(t *tx) error {
		return t.keepAdmin(ctx, func() error {
			n, err := t.exec(ctx, "member", `DELETE FROM group_members WHERE group_id = $1 AND user_id = $2`, group, user)
			if err != nil {
				return err
			}
			if n == 0 {
				return fmt.Errorf("%w: member", ErrNotFound)
			}
			return t.revoke(ctx, RevokeUser, user)
		})
	})
}

// SetOIDC makes a user a member of the groups whose External is among names, and
// removes memberships that earlier calls have added. It ignores unknown names: a provider
// may list hundreds.
func (gs *Groups) SetOIDC(ctx context.Context, user string, names []string) error {
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = n != ""
	}
	return gs.change(ctx, func(t *tx) error {
		if _, err := t.user(ctx, user); err != nil {
			return err
		}
		type membership struct {
			group, external string
			in              bool
		}
		list, err := all(ctx, t, func(r row) (m membership, err error) { return m, r.Scan(&m.group, &m.external, &m.in) }, "groups",
			`SELECT g.id, g.external, EXISTS (SELECT 1 FROM group_members m WHERE m.group_id = g.id AND m.user_id = $1 AND m.source = $2)
			FROM user_groups g`, user, OIDC)
		if err != nil {
			return err
		}
		changed := false
		for _, m := range list {
			statement := `INSERT INTO group_members (group_id, user_id, source) VALUES ($1, $2, $3)`
			if m.in {
				statement = `DELETE FROM group_members WHERE group_id = $1 AND user_id = $2 AND source = $3`
			}
			if m.in == wanted[m.external] {
				continue
			}
			if _, err := t.exec(ctx, "member", statement, m.group, user, OIDC); err != nil {
				return err
			}
			changed = true
		}
		if !changed {
			return nil
		}
		return t.revoke(ctx, RevokeUser, user)
	})
}
