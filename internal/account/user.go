package account

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// A Source is the authority that authenticates a user.
type Source string

// The sources.
const (
	Local Source = "local" // a password in this database
	OIDC  Source = "oidc"  // an OpenID Connect provider
)

// A User is a person, or a program with an account of its own. Being an admin is a grant,
// not a property of the user.
type User struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"` // login name: 1 to 64 characters, unique regardless of case
	DisplayName string     `json:"display_name"`
	Disabled    bool       `json:"disabled"`
	Source      Source     `json:"source"`
	Issuer      string     `json:"issuer,omitempty"` // of source OIDC
	Subject     string     `json:"subject,omitempty"`
	HasPassword bool       `json:"has_password"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	LastLoginAt *time.Time `json:"last_login_at"`
}

// fold normalizes a name for comparison.
func fold(name string) string { return cases.Fold().String(norm.NFKC.String(name)) }

// checkName returns the normalized name to store, or [ErrInvalid].
func checkName(what, name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", invalid("the name of a %s is not UTF-8", what)
	}
	name = norm.NFC.String(strings.TrimSpace(name))
	if n := utf8.RuneCountInString(name); n < 1 || n > 64 {
		return "", invalid("the name of a %s must have 1 to 64 characters", what)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", invalid("the name of a %s has invisible characters", what)
	}
	return name, nil
}

func checkText(what, text string, most int) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case !utf8.ValidString(text):
		return "", invalid("the %s is not UTF-8", what)
	case utf8.RuneCountInString(text) > most:
		return "", invalid("the %s has more than %d characters", what, most)
	case strings.ContainsFunc(text, unicode.IsControl):
		return "", invalid("the %s has control characters", what)
	}
	return text, nil
}

const userColumns = `u.id, u.name, u.display_name, u.disabled, u.issuer, u.subject, u.password <> '', u.created_at, u.updated_at, u.last_login_at`

// fields returns the destinations of the columns of a user.
func (u *User) fields() []any {
	return []any{
		&u.ID, &u.Name, &u.DisplayName, &u.Disabled, &u.Issuer, &u.Subject, &u.HasPassword,
		moment{&u.CreatedAt},
		moment{&u.UpdatedAt},
		stamp{&u.LastLoginAt},
	}
}

// finish sets the fields that depend on columns.
func (u *User) finish() {
	u.Source = Local
	if u.Issuer != "" {
		u.Source = OIDC
	}
}

func scanUser(r row) (User, error) {
	var u User
	err := r.Scan(u.fields()...)
	u.finish()
	return u, err
}

// Users are the users, with their passwords.
type Users struct{ *handle }

// Add adds a user with the name, display name and Disabled of u. With an empty
// password the user can't log in by password. The error is [ErrInvalid] or [ErrConflict].
func (us *Users) Add(ctx context.Context, u User, password string) (*User, error) {
	u.Issuer, u.Subject = "", ""
	hash, err := us.passwords.forUser(ctx, u.Name, password)
	if err != nil {
		return nil, err
	}
	var made *User
	err = us.change(ctx, func(t *tx) (err error) {
		made, err = t.createUser(ctx, u, hash)
		return err
	})
	return made, err
}

func (t *tx) createUser(ctx context.Context, u User, hash string) (*User, error) {
	var err error
	if u.Name, err = checkName("user", u.Name); err != nil {
		return nil, err
	}
	if u.DisplayName, err = checkText("display name", u.DisplayName, 200); err != nil {
		return nil, err
	}
	u.ID, u.CreatedAt, u.UpdatedAt, u.LastLoginAt, u.HasPassword = catalog.NewID(), t.now, t.now, nil, hash != ""
	u.finish()
	_, err = t.exec(ctx, "user", `INSERT INTO users (id, name, folded, display_name, disabled, issuer, subject, password, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`,
		u.ID, u.Name, fold(u.Name), u.DisplayName, u.Disabled, u.Issuer, u.Subject, hash, t.now.UnixMicro())
	return &u, err
}

// Get returns the user of that id, or [ErrNotFound].
func (us *Users) Get(ctx context.Context, id string) (*User, error) {
	return one(ctx, us.read, scanUser, "user", `SELECT `+userColumns+` FROM users u WHERE u.id = $1`, id)
}

// ByName returns the user of that name, ignoring case, or [ErrNotFound].
func (us *Users) ByName(ctx context.Context, name string) (*User, error) {
	return one(ctx, us.read, scanUser, "user", `SELECT `+userColumns+` FROM users u WHERE u.folded = $1`, fold(strings.TrimSpace(name)))
}

// A UserQuery selects a page of users.
type UserQuery struct {
	Cursor string // the next cursor of the previous page
	Limit  int    // 1 to 1000; 100 if 0
}

func (q UserQuery) limit() int { return pageLimit(q.Limit) }

func pageLimit(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, 1000)
}

// List returns users, ordered by name, and the cursor of the next page, empty on the
// last. The error may be [ErrBadCursor].
func (us *Users) List(ctx context.Context, q UserQuery) (users []User, next string, err error) {
	after, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil || !utf8.Valid(after) {
		return nil, "", ErrBadCursor
	}
	users, err = all(ctx, us.read, scanUser, "users", `SELECT `+userColumns+` FROM users u WHERE u.folded > $1 ORDER BY u.folded LIMIT $2`,
		string(after), q.limit()+1)
	if err != nil {
		return nil, "", err
	}
	if len(users) > q.limit() {
		users = users[:q.limit()]
		next = base64.RawURLEncoding.EncodeToString([]byte(fold(users[len(users)-1].Name)))
	}
	return users, next, nil
}

// Update calls edit with the user, and stores its Name, DisplayName and Disabled.
// Disabling a user ends all their sessions, and disables their tokens. The error is
// [ErrNotFound], [ErrInvalid], [ErrConflict], [ErrLastAdmin] or that of edit.
func (us *Users) Update(ctx context.Context, id string, edit func(*User) error) (*User, error) {
	var u *User
	err := us.change(ctx, func(t *tx) (err error) {
		if u, err = t.user(ctx, id); err != nil {
			return err
		}
		was := u.Disabled
		if err := edit(u); err != nil {
			return err
		}
		return t.keepAdmin(ctx, func() error { return t.writeUser(ctx, u, u.Disabled != was) })
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

func (t *tx) user(ctx context.Context, id string) (*User, error) {
	return one(ctx, t, scanUser, "user", `SELECT `+userColumns+` FROM users u WHERE u.id = $1`, id)
}

func (t *tx) writeUser(ctx context.Context, u *User, switched bool) (err error) {
	if u.Name, err = checkName("user", u.Name); err != nil {
		return err
	}
	if u.DisplayName, err = checkText("display name", u.DisplayName, 200); err != nil {
		return err
	}
	u.UpdatedAt = t.now
	_, err = t.exec(ctx, "user", `UPDATE users SET name = $2, folded = $3, display_name = $4, disabled = $5, updated_at = $6 WHERE id = $1`,
		u.ID, u.Name, fold(u.Name), u.DisplayName, u.Disabled, t.now.UnixMicro())
	if err != nil || !switched {
		return err
	}
	if u.Disabled {
		if _, err := t.exec(ctx, "sessions", `DELETE FROM sessions WHERE user_id = $1`, u.ID); err != nil {
			return err
		}
	}
	return t.revoke(ctx, RevokeUser, u.ID)
}

// Delete removes a user with their sessions, tokens, share links, grants and memberships. The id
// stays in the audit log. The error may be [ErrNotFound] or [ErrLastAdmin].
func (us *Users) Delete(ctx context.Context, id string) error {
	return us.change(ctx, func(t *tx) error {
		return t.keepAdmin(ctx, func() error {
			n, err := t.exec(ctx, "user", `DELETE FROM users WHERE id = $1`, id)
			if err != nil {
				return err
			}
			if n == 0 {
				return fmt.Errorf("%w: user", ErrNotFound)
			}
			err = t.execAll(ctx, "user", []any{id},
				`DELETE FROM sessions WHERE user_id = $1`,
				`DELETE FROM tokens WHERE user_id = $1`,
				`DELETE FROM share_images WHERE share_id IN (SELECT id FROM shares WHERE user_id = $1)`,
				`DELETE FROM share_visits WHERE share_id IN (SELECT id FROM shares WHERE user_id = $1)`,
				`DELETE FROM shares WHERE user_id = $1`,
				`DELETE FROM grants WHERE user_id = $1`,
				`DELETE FROM group_members WHERE user_id = $1`)
			if err != nil {
				return err
			}
			return t.revoke(ctx, RevokeUser, id)
		})
	})
}

// SetPassword replaces a user's password and ends all their sessions; tokens stay. An
// empty password disables login by password. The error is [ErrNotFound], [ErrInvalid] or
// [ErrLastAdmin].
func (us *Users) SetPassword(ctx context.Context, id, password string) error {
	return us.setPassword(ctx, id, password, false)
}

// SetPasswordRevokingTokens is [Users.SetPassword] and also revokes the user's tokens,
// for use when the password may have been known to others.
func (us *Users) SetPasswordRevokingTokens(ctx context.Context, id, password string) error {
	return us.setPassword(ctx, id, password, true)
}

func (us *Users) setPassword(ctx context.Context, id, password string, revokeTokens bool) error {
	u, err := us.Get(ctx, id)
	if err != nil {
		return err
	}
	if u.Source != Local {
		return invalid("the user logs in at the OpenID Connect provider and has no password here")
	}
	hash, err := us.passwords.forUser(ctx, u.Name, password)
	if err != nil {
		return err
	}
	return us.change(ctx, func(t *tx) error {
		return t.keepAdmin(ctx, func() error {
			n, err := t.exec(ctx, "password", `UPDATE users SET password = $2, updated_at = $3 WHERE id = $1`, id, hash, t.now.UnixMicro())
			if err != nil {
				return err
			}
			if n == 0 {
				return fmt.Errorf("%w: user", ErrNotFound)
			}
			if _, err := t.exec(ctx, "sessions", `DELETE FROM sessions WHERE user_id = $1`, id); err != nil {
				return err
			}
			if revokeTokens {
				if _, err := t.exec(ctx, "tokens", `DELETE FROM tokens WHERE user_id = $1`, id); err != nil {
					return err
				}
			}
			return t.revoke(ctx, RevokeUser, id)
		})
	})
}
