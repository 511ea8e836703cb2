package api

import (
	"context"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// userAPI are the operations on users.
type userAPI struct{ *API }

// user is a user as admins see them.
type user struct {
	ID          string         `json:"id" doc:"Opaque."`
	Name        string         `json:"name" doc:"Login name."`
	DisplayName string         `json:"display_name" doc:"Display name."`
	Disabled    bool           `json:"disabled" doc:"Whether the user is disabled and can't log in."`
	Source      account.Source `json:"source" enum:"local,oidc" doc:"Where the user logs in: local is this server, oidc is an OpenID Connect provider."`
	HasPassword bool           `json:"has_password" doc:"Whether the user has a password."`
	CreatedAt   time.Time      `json:"created_at" doc:"When the user was created."`
	UpdatedAt   time.Time      `json:"updated_at" doc:"When the user was last changed."`
	LastLoginAt *time.Time     `json:"last_login_at" doc:"Last login; null if never."`
}

func newUser(u *account.User) user {
	return user{u.ID, u.Name, u.DisplayName, u.Disabled, u.Source, u.HasPassword, u.CreatedAt, u.UpdatedAt, u.LastLoginAt}
}

type userPath struct {
	User string `path:"user" doc:"Id of the user."`
}

const usersRoute, groupsRoute, tokensRoute = "/api/v1/users", "/api/v1/groups", "/api/v1/tokens"

const taken, lastAdmin = "The name is already in use.", "The user is the last admin."

func (a userAPI) register(h huma.API) {
	add(a.API, h, "GET", usersRoute, "list-users", "List users by name, a page at a time", "", 200, problems{400: "The cursor is not one of this list."}, a.list)
	add(a.API, h, "POST", usersRoute, "add-user", "Add a user", "A user without a password can't log in; use such users for programs with API tokens.", 201, problems{409: taken}, a.add)
	add(a.API, h, "GET", usersRoute+"/{user}", "get-user", "Describe a user", "", 200, problems{404: "No such user."}, a.get)
	add(a.API, h, "PATCH", usersRoute+"/{user}", "change-user", "Change a user", "Disabling a user ends the user's sessions and makes the tokens ineffective.", 200, problems{404: "No such user.", 409: taken + " Or: " + lastAdmin}, a.change)
	add(a.API, h, "DELETE", usersRoute+"/{user}", "remove-user", "Remove a user", "The user's sessions, tokens and grants are removed, too. The audit log keeps the id.", 204, problems{404: "No such user.", 409: lastAdmin}, a.remove)
	add(a.API, h, "PUT", usersRoute+"/{user}/password", "set-password", "Set a password", "Users set their own password and give the current one; admins may set that of others. All sessions of the user end; API tokens stay unless revoke_tokens is set.", 204,
		problems{401: "The current password is wrong.", 404: "No such user.", 409: lastAdmin, 429: "Too many attempts: Retry-After says when the next one is allowed."}, a.setPassword)
	add(a.API, h, "GET", usersRoute+"/{user}/sessions", "list-sessions", "List a user's sessions", "Admins may do this for other users.", 200, problems{404: "No such user."}, sessionAPI(a).list)
	add(a.API, h, "DELETE", usersRoute+"/{user}/sessions", "end-sessions", "End all sessions of a user", "Admins may do this for other users.", 204, problems{404: "No such user."}, sessionAPI(a).endAll)
	add(a.API, h, "DELETE", usersRoute+"/{user}/sessions/{session}", "end-session", "End a session of a user", "Admins may do this for other users.", 204, problems{404: "No such session of the user."}, sessionAPI(a).end)
}

func (a userAPI) list(ctx context.Context, in *pageInput) (*list[user], error) {
	found, next, err := a.Access.Accounts.Users.List(ctx, account.UserQuery{Cursor: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	items := []user{}
	for i := range found {
		items = append(items, newUser(&found[i]))
	}
	return listOf(items, next), nil
}

type addUserInput struct {
	Body struct {
		Name        string `json:"name" doc:"Login name: 1 to 64 characters."`
		DisplayName string `json:"display_name,omitempty" doc:"Display name."`
		Password    string `json:"password,omitempty" maxLength:"1000" doc:"At least 12 characters."`
		Disabled    bool   `json:"disabled,omitempty" doc:"Whether the user is disabled and can't log in."`
	}
}

func (a userAPI) add(ctx context.Context, in *addUserInput) (*one[user], error) {
	u, err := a.Access.Accounts.Users.Add(ctx, account.User{Name: in.Body.Name, DisplayName: in.Body.DisplayName, Disabled: in.Body.Disabled}, in.Body.Password)
	if err != nil {
		return nil, err
	}
	return madeAt(newUser(u), usersRoute, u.ID), nil
}

func (a userAPI) get(ctx context.Context, in *userPath) (*one[user], error) {
	u, err := a.Access.Accounts.Users.Get(ctx, in.User)
	if err != nil {
		return nil, err
	}
	return oneOf(newUser(u)), nil
}

type changeUserInput struct {
	User string `path:"user" doc:"Id of the user."`
	Body struct {
		Name        *string `json:"name,omitempty" doc:"Login name."`
		DisplayName *string `json:"display_name,omitempty" doc:"Display name."`
		Disabled    *bool   `json:"disabled,omitempty" doc:"Whether the user is disabled and can't log in."`
	}
}

func (a userAPI) change(ctx context.Context, in *changeUserInput) (*one[user], error) {
	u, err := a.Access.Accounts.Users.Update(ctx, in.User, func(u *account.User) error {
		set(&u.Name, in.Body.Name)
		set(&u.DisplayName, in.Body.DisplayName)
		set(&u.Disabled, in.Body.Disabled)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return oneOf(newUser(u)), nil
}

func (a userAPI) remove(ctx context.Context, in *userPath) (*struct{}, error) {
	return nil, a.Access.Accounts.Users.Delete(ctx, in.User)
}

type passwordInput struct {
	User string `path:"user" doc:"Id of the user."`
	Body struct {
		Current      string `json:"current,omitempty" maxLength:"1000" doc:"Current password of the caller; not needed when an admin sets the password of another user."`
		Password     string `json:"password" maxLength:"1000" doc:"At least 12 characters."`
		RevokeTokens bool   `json:"revoke_tokens,omitempty" doc:"Revoke all API tokens of the user, too."`
	}
}

func (a userAPI) setPassword(ctx context.Context, in *passwordInput) (*struct{}, error) {
	if err := ownOrAdmin(ctx, in.User); err != nil {
		return nil, err
	}
	if in.Body.Password == "" {
		return nil, invalid(errors.New("password: at least 12 characters"))
	}
	c := callerOf(ctx)
	if c.ID == in.User {
		u, err := a.Access.Accounts.Users.Get(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		if _, err := a.Access.Accounts.Logins.ByPassword(ctx, u.Name, in.Body.Current, c.from); err != nil {
			return nil, err
		}
	}
	if in.Body.RevokeTokens {
		return nil, a.Access.Accounts.Users.SetPasswordRevokingTokens(ctx, in.User, in.Body.Password)
	}
	return nil, a.Access.Accounts.Users.SetPassword(ctx, in.User, in.Body.Password)
}
