package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// RefuseOIDCUser records that an OpenID Connect provider has identified a person who may
// not log in, and ends the results of earlier logins: sessions, tokens, memberships from
// the provider, and, by a revocation, signed links and access tokens. Grants and
// memberships given by an admin stay: they have no effect until the person may log in
// again. Event e is recorded in the same transaction; the user's id and a list of what
// ended are added to it. If the person is not a user here, only e is recorded.
func (a *Accounts) RefuseOIDCUser(ctx context.Context, issuer, subject string, e Event) error {
	err := a.change(ctx, func(t *tx) error {
		u, err := one(ctx, a, t, scanUser, "user", `SELECT `+userColumns+` FROM users u WHERE u.issuer = $1 AND u.subject = $2`, issuer, subject)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return err
		default:
			ended, err := t.endOIDCUser(ctx, u.ID)
			if err != nil {
				return err
			}
			e.User, e.Object, e.Detail = u.ID, u.ID, e.Detail+"; ended: "+ended
		}
		return a.insertEvent(ctx, t, &e)
	})
	if err != nil {
		return err
	}
	return a.writeEvent(&e)
}

// endOIDCUser does this for a user, and returns a description of what ended. It may
// remove the last admin: the provider's decision has priority.
func (t *tx) endOIDCUser(ctx context.Context, user string) (string, error) {
	var ended []string
	for _, v := range []struct{ what, statement string }{
		{"sessions", `DELETE FROM sessions WHERE user_id = $1`},
		{"tokens", `DELETE FROM tokens WHERE user_id = $1`},
		{"memberships", `DELETE FROM group_members WHERE user_id = $1 AND source = '` + string(OIDC) + `'`},
	} {
		n, err := t.exec(ctx, v.what, v.statement, user)
		if err != nil {
			return "", err
		}
		ended = append(ended, fmt.Sprintf("%s %d", v.what, n))
	}
	return strings.Join(ended, ", "), t.revoke(ctx, RevokeUser, user)
}
