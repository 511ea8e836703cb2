package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// A Grant gives a role to a user or a group, for a store, an image or everything.
type Grant struct {
	ID        string    `json:"id"`
	User      string    `json:"user,omitempty"`  // id; or
	Group     string    `json:"group,omitempty"` // id
	Role      Role      `json:"role"`
	Store     string    `json:"store,omitempty"` // id; or
	Image     string    `json:"image,omitempty"` // id; if both are empty, everything
	CreatedAt time.Time `json:"created_at"`
}

const grantColumns = `g.id, g.user_id, g.group_id, g.role, g.store, g.image, g.created_at`

func scanGrant(r row) (Grant, error) {
	var g Grant
	err := r.Scan(&g.ID, &g.User, &g.Group, &g.Role, &g.Store, &g.Image, moment{&g.CreatedAt})
	return g, err
}

func (g *Grant) check() error {
	switch {
	case (g.User == "") == (g.Group == ""):
		return invalid("a grant is for either a user or a group")
	case g.Store != "" && g.Image != "":
		return invalid("a grant is for one store, one image or everything")
	case roleScopes[g.Role] == 0:
		return invalid("unknown role %q: use viewer, reader, downloader, contributor or admin", printable(string(g.Role), 20))
	}
	return nil
}

// Grants are the roles given to users and groups.
type Grants struct{ *handle }

// Add adds a grant, or returns the existing equal one. It does not check whether the
// store or image exists. The error is [ErrInvalid], or [ErrNotFound] for the user or
// group.
func (gs *Grants) Add(ctx context.Context, g Grant) (*Grant, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	var made *Grant
	err := gs.change(ctx, func(t *tx) (err error) {
		made, err = t.addGrant(ctx, g)
		return err
	})
	return made, err
}

func (t *tx) addGrant(ctx context.Context, g Grant) (*Grant, error) {
	if g.User != "" {
		if _, err := t.user(ctx, g.User); err != nil {
			return nil, err
		}
	} else if _, err := t.group(ctx, g.Group); err != nil {
		return nil, err
	}
	there, err := one(ctx, t, scanGrant, "grant", `SELECT `+grantColumns+` FROM grants g
		WHERE g.user_id = $1 AND g.group_id = $2 AND g.role = $3 AND g.store = $4 AND g.image = $5`, g.User, g.Group, g.Role, g.Store, g.Image)
	if !errors.Is(err, ErrNotFound) {
		return there, err
	}
	g.ID, g.CreatedAt = catalog.NewID(), t.now
	if _, err := t.exec(ctx, "grant", `INSERT INTO grants (id, user_id, group_id, role, store, image, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		g.ID, g.User, g.Group, g.Role, g.Store, g.Image, t.now.UnixMicro()); err != nil {
		return nil, err
	}
	return &g, t.revokeSubject(ctx, &g)
}

// revokeSubject revokes decisions about the grant's users. This is also needed for new
// grants, because denials are cached too.
func (t *tx) revokeSubject(ctx context.Context, g *Grant) error {
	if g.User != "" {
		return t.revoke(ctx, RevokeUser, g.User)
	}
	return t.revokeGroup(ctx, g.Group)
}

// Delete removes a grant. The error may be [ErrNotFound] or [ErrLastAdmin].
func (gs *Grants) Delete(ctx context.Context, id string) error {
	return gs.change(ctx, func(t *tx) error {
		return t.keepAdmin(ctx, func() error {
			g, err := one(ctx, t, scanGrant, "grant", `SELECT `+grantColumns+` FROM grants g WHERE g.id = $1`, id)
			if err != nil {
				return err
			}
			n, err := t.exec(ctx, "grant", `DELETE FROM grants WHERE id = $1`, id)
			if err != nil {
				return err
			}
			if n == 0 {
				return fmt.Errorf("%w: grant", ErrNotFound)
			}
			return t.revokeSubject(ctx, g)
		})
	})
}

// Get returns the grant of that id, or [ErrNotFound].
func (gs *Grants) Get(ctx context.Context, id string) (*Grant, error) {
	return one(ctx, gs.read, scanGrant, "grant", `SELECT `+grantColumns+` FROM grants g WHERE g.id = $1`, id)
}

// A GrantFilter selects grants; empty fields match all.
type GrantFilter struct{ User, Group, Store, Image string }

// List returns grants, oldest first.
func (gs *Grants) List(ctx context.Context, f GrantFilter) ([]Grant, error) {
	return all(ctx, gs.read, scanGrant, "grants", `SELECT `+grantColumns+` FROM grants g
		WHERE ($1 = '' OR g.user_id = $1) AND ($2 = '' OR g.group_id = $2) AND ($3 = '' OR g.store = $3) AND ($4 = '' OR g.image = $4)
		ORDER BY g.created_at, g.id`, f.User, f.Group, f.Store, f.Image)
}

// Of returns the effective grants of a user: their own and those of their groups. A
// disabled user has none.
func (gs *Grants) Of(ctx context.Context, user string) ([]Grant, error) {
	return all(ctx, gs.read, scanGrant, "grants", `SELECT `+grantColumns+` FROM grants g
		WHERE (g.user_id = $1 OR g.group_id IN (SELECT group_id FROM group_members WHERE user_id = $1))
			AND EXISTS (SELECT 1 FROM users WHERE id = $1 AND NOT disabled)
		ORDER BY g.created_at, g.id`, user)
}

// Rights returns the rights of a user by their own grants and those of their groups. A
// disabled or unknown user has none.
func (gs *Grants) Rights(ctx context.Context, user string) (Rights, error) {
	grants, err := gs.Of(ctx, user)
	if err != nil {
		return Rights{}, err
	}
	return RightsOf(grants), nil
}

// admins reports whether an admin of everything can log in.
const admins = `SELECT EXISTS (SELECT 1 FROM users u WHERE NOT u.disabled AND (u.password <> '' OR u.issuer <> '') AND EXISTS (
	SELECT 1 FROM grants g WHERE g.role = 'admin' AND g.store = '' AND g.image = '' AND (g.user_id = u.id
		OR g.group_id IN (SELECT m.group_id FROM group_members m WHERE m.user_id = u.id))))`

func hasAdmin(ctx context.Context, q querier) (has bool, err error) {
	err = q.QueryRowContext(ctx, admins).Scan(&has)
	return has, wrap(err, "admins")
}

// keepAdmin runs f, and fails with [ErrLastAdmin] if f removes the last admin.
func (t *tx) keepAdmin(ctx context.Context, f func() error) error {
	before, err := hasAdmin(ctx, t)
	if err != nil {
		return err
	}
	if err := f(); err != nil || !before {
		return err
	}
	after, err := hasAdmin(ctx, t)
	if err == nil && !after {
		return ErrLastAdmin
	}
	return err
}
