package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// user is a user as admins see them.
type user struct {
	ID          string         `json:"id" doc:"Opaque."`
	Name        string         `json:"name" doc:"What they log in with."`
	DisplayName string         `json:"display_name" doc:"What they are called."`
	Disabled    bool           `json:"disabled" doc:"May not come in."`
	Source      account.Source `json:"source" enum:"local,oidc" doc:"Who vouches for them: this server, or an OpenID Connect provider."`
	HasPassword bool           `json:"has_password" doc:"Can log in with one."`
	CreatedAt   time.Time      `json:"created_at" doc:"When they became known."`
	UpdatedAt   time.Time      `json:"updated_at" doc:"When their record was last changed."`
	LastLoginAt *time.Time     `json:"last_login_at" doc:"null if never."`
}

func newUser(u *account.User) user {
	return user{u.ID, u.Name, u.DisplayName, u.Disabled, u.Source, u.HasPassword, u.CreatedAt, u.UpdatedAt, u.LastLoginAt}
}

// one and list are answers with a thing, and with things.
type one[T any] struct {
	CacheControl string `header:"Cache-Control"`
	Location     string `header:"Location"`
	Body         T
}

type list[T any] struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Items      []T     `json:"items" doc:"The page."`
		NextCursor *string `json:"next_cursor" doc:"null at the end of the list."`
	}
}

func oneOf[T any](v T) *one[T] { return &one[T]{CacheControl: private, Body: v} }

func madeAt[T any](v T, route, id string) *one[T] {
	return &one[T]{CacheControl: private, Location: route + "/" + id, Body: v}
}

func listOf[T any](items []T, next string) *list[T] {
	out := &list[T]{CacheControl: private}
	if items == nil {
		items = []T{}
	}
	out.Body.Items, out.Body.NextCursor = items, known(next)
	return out
}

type userPath struct {
	User string `path:"user" doc:"Id of the user."`
}

type groupPath struct {
	Group string `path:"group" doc:"Id of the group."`
}

type memberPath struct {
	Group string `path:"group" doc:"Id of the group."`
	User  string `path:"user" doc:"Id of the user."`
}

const usersRoute, groupsRoute, tokensRoute = "/api/v1/users", "/api/v1/groups", "/api/v1/tokens"

// add registers an operation of people. It answers 404 where no users are known.
func add[I, O any](a *API, h huma.API, method, path, id, summary, description string, status int, p problems, f func(context.Context, *I) (*O, error)) {
	words := problems{401: notLogged, 403: notAllowed, 404: noPeople}
	for code, text := range p {
		if code == 404 {
			text = noPeople + " " + text
		}
		words[code] = text
	}
	register(h, huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{accessTag}, Summary: summary, Description: description, DefaultStatus: status}, words,
		func(ctx context.Context, in *I) (*O, error) {
			if err := a.people(); err != nil {
				return nil, err
			}
			out, err := f(ctx, in)
			if err != nil {
				return nil, a.accountFailed(ctx, err)
			}
			return out, nil
		})
}

const taken, lastAdmin = "Another has that name.", "Nobody would be left who is an admin."

func (a *API) users(h huma.API) {
	add(a, h, "GET", usersRoute, "list-users", "List users by name, a page at a time", "", 200, problems{400: "The cursor is not one of this list."}, a.listUsers)
	add(a, h, "POST", usersRoute, "add-user", "Add a user", "Without a password nobody can log in as the user: for programs that have tokens.", 201, problems{409: taken}, a.addUser)
	add(a, h, "GET", usersRoute+"/{user}", "get-user", "Describe a user", "", 200, problems{404: "No such user."}, a.getUser)
	add(a, h, "PATCH", usersRoute+"/{user}", "change-user", "Change a user", "Who is disabled has no session any more, and their tokens are of no use.", 200, problems{404: "No such user.", 409: taken + " Or: " + lastAdmin}, a.changeUser)
	add(a, h, "DELETE", usersRoute+"/{user}", "remove-user", "Remove a user", "With sessions, tokens and grants. The audit log keeps the id.", 204, problems{404: "No such user.", 409: lastAdmin}, a.removeUser)
	add(a, h, "PUT", usersRoute+"/{user}/password", "set-password", "Set a password", "One's own, with the current one; that of others for admins. All sessions of the user end; API tokens stay unless revoke_tokens is set.", 204,
		problems{401: "The current password is wrong.", 404: "No such user.", 409: lastAdmin, 429: "Too many attempts: Retry-After says when the next one is allowed."}, a.setPassword)
	add(a, h, "GET", usersRoute+"/{user}/sessions", "list-sessions", "List a user's sessions", "One's own; those of others for admins.", 200, problems{404: "No such user."}, a.listSessions)
	add(a, h, "DELETE", usersRoute+"/{user}/sessions", "end-sessions", "End all sessions of a user", "One's own; those of others for admins.", 204, problems{404: "No such user."}, a.endSessions)
	add(a, h, "DELETE", usersRoute+"/{user}/sessions/{session}", "end-session", "End a session of a user", "One's own; those of others for admins.", 204, problems{404: "No such session of the user."}, a.removeSession)
}

type pageInput struct {
	Cursor string `query:"cursor" doc:"next_cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"How many at most."`
}

func (a *API) listUsers(ctx context.Context, in *pageInput) (*list[user], error) {
	found, next, err := a.Access.Accounts.Users(ctx, account.UserQuery{Cursor: in.Cursor, Limit: in.Limit})
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
		Name        string `json:"name" doc:"What they log in with: 1 to 64 characters."`
		DisplayName string `json:"display_name,omitempty" doc:"What they are called."`
		Password    string `json:"password,omitempty" maxLength:"1000" doc:"At least 12 characters."`
		Disabled    bool   `json:"disabled,omitempty" doc:"May not come in."`
	}
}

func (a *API) addUser(ctx context.Context, in *addUserInput) (*one[user], error) {
	u, err := a.Access.Accounts.CreateUser(ctx, account.User{Name: in.Body.Name, DisplayName: in.Body.DisplayName, Disabled: in.Body.Disabled}, in.Body.Password)
	if err != nil {
		return nil, err
	}
	return madeAt(newUser(u), usersRoute, u.ID), nil
}

func (a *API) getUser(ctx context.Context, in *userPath) (*one[user], error) {
	u, err := a.Access.Accounts.User(ctx, in.User)
	if err != nil {
		return nil, err
	}
	return oneOf(newUser(u)), nil
}

type changeUserInput struct {
	User string `path:"user" doc:"Id of the user."`
	Body struct {
		Name        *string `json:"name,omitempty" doc:"What they log in with."`
		DisplayName *string `json:"display_name,omitempty" doc:"What they are called."`
		Disabled    *bool   `json:"disabled,omitempty" doc:"May not come in."`
	}
}

func (a *API) changeUser(ctx context.Context, in *changeUserInput) (*one[user], error) {
	u, err := a.Access.Accounts.UpdateUser(ctx, in.User, func(u *account.User) error {
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

// set changes what is given.
func set[T any](to, given *T) {
	if given != nil {
		*to = *given
	}
}

func (a *API) removeUser(ctx context.Context, in *userPath) (*struct{}, error) {
	return nil, a.Access.Accounts.DeleteUser(ctx, in.User)
}

// ownOrAdmin refuses what is neither the caller's own nor asked for by an admin. That
// there is no such user only admins learn.
func ownOrAdmin(ctx context.Context, user string) error {
	if c := callerOf(ctx); c.admin || c.ID != "" && c.ID == user {
		return nil
	}
	return errForbidden
}

type passwordInput struct {
	User string `path:"user" doc:"Id of the user."`
	Body struct {
		Current      string `json:"current,omitempty" maxLength:"1000" doc:"One's own so far. Admins who set that of others give none."`
		Password     string `json:"password" maxLength:"1000" doc:"At least 12 characters."`
		RevokeTokens bool   `json:"revoke_tokens,omitempty" doc:"Revoke all API tokens of the user, too."`
	}
}

func (a *API) setPassword(ctx context.Context, in *passwordInput) (*struct{}, error) {
	if err := ownOrAdmin(ctx, in.User); err != nil {
		return nil, err
	}
	if in.Body.Password == "" {
		return nil, invalid(errors.New("password: at least 12 characters"))
	}
	c := callerOf(ctx)
	if c.ID == in.User {
		u, err := a.Access.Accounts.User(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		if _, err := a.Access.Accounts.Authenticate(ctx, u.Name, in.Body.Current, c.from); err != nil {
			return nil, err
		}
	}
	if in.Body.RevokeTokens {
		return nil, a.Access.Accounts.SetPasswordRevokingTokens(ctx, in.User, in.Body.Password)
	}
	return nil, a.Access.Accounts.SetPassword(ctx, in.User, in.Body.Password)
}

// userSession is a session as its user sees it.
type userSession struct {
	ID        string    `json:"id" doc:"Opaque, and no secret."`
	Address   string    `json:"address" doc:"Where it was begun."`
	Agent     string    `json:"agent" doc:"What the browser calls itself."`
	CreatedAt time.Time `json:"created_at" doc:"When it was begun."`
	SeenAt    time.Time `json:"seen_at" doc:"When it was last used, to the minute."`
	ExpiresAt time.Time `json:"expires_at" doc:"When it ends at the latest."`
	Current   bool      `json:"current" doc:"It is the one in which this is asked."`
}

func (a *API) listSessions(ctx context.Context, in *userPath) (*list[userSession], error) {
	if err := ownOrAdmin(ctx, in.User); err != nil {
		return nil, err
	}
	if _, err := a.Access.Accounts.User(ctx, in.User); err != nil {
		return nil, err
	}
	found, err := a.Access.Accounts.Sessions(ctx, in.User)
	if err != nil {
		return nil, err
	}
	items := []userSession{}
	for _, s := range found {
		items = append(items, userSession{s.ID, s.Address, s.Agent, s.CreatedAt, s.SeenAt, s.ExpiresAt, s.ID == callerOf(ctx).Session})
	}
	return listOf(items, ""), nil
}

func (a *API) endSessions(ctx context.Context, in *userPath) (*struct{}, error) {
	if err := ownOrAdmin(ctx, in.User); err != nil {
		return nil, err
	}
	return nil, a.Access.Accounts.EndSessions(ctx, in.User)
}

type sessionPath struct {
	User    string `path:"user" doc:"Id of the user."`
	Session string `path:"session" doc:"Id of the session."`
}

func (a *API) removeSession(ctx context.Context, in *sessionPath) (*struct{}, error) {
	if err := ownOrAdmin(ctx, in.User); err != nil {
		return nil, err
	}
	found, err := a.Access.Accounts.Sessions(ctx, in.User)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(found, func(s account.Session) bool { return s.ID == in.Session }) {
		return nil, account.ErrNotFound // as one of another user
	}
	return nil, a.Access.Accounts.EndSession(ctx, in.Session)
}

// group is users who get grants together.
type group struct {
	ID        string    `json:"id" doc:"Opaque."`
	Name      string    `json:"name" doc:"1 to 64 characters."`
	External  *string   `json:"external" doc:"Name of the group at the OpenID Connect provider whose members are in this one."`
	Members   int       `json:"members" doc:"How many."`
	CreatedAt time.Time `json:"created_at" doc:"When it was made."`
}

func newGroup(g *account.Group) group {
	return group{g.ID, g.Name, known(g.External), g.Members, g.CreatedAt}
}

func (a *API) groups(h huma.API) {
	add(a, h, "GET", groupsRoute, "list-groups", "List all groups by name", "", 200, nil, a.listGroups)
	add(a, h, "POST", groupsRoute, "add-group", "Add a group", "", 201, problems{409: taken}, a.addGroup)
	add(a, h, "GET", groupsRoute+"/{group}", "get-group", "Describe a group", "", 200, problems{404: "No such group."}, a.getGroup)
	add(a, h, "PATCH", groupsRoute+"/{group}", "change-group", "Change a group", "", 200, problems{404: "No such group.", 409: taken}, a.changeGroup)
	add(a, h, "DELETE", groupsRoute+"/{group}", "remove-group", "Remove a group", "With its grants.", 204, problems{404: "No such group.", 409: lastAdmin}, a.removeGroup)
	add(a, h, "GET", groupsRoute+"/{group}/members", "list-members", "List the users of a group by name", "", 200, problems{404: "No such group."}, a.listMembers)
	add(a, h, "PUT", groupsRoute+"/{group}/members/{user}", "add-member", "Put a user into a group", "", 204, problems{404: "No such group or user."}, a.addMember)
	add(a, h, "DELETE", groupsRoute+"/{group}/members/{user}", "remove-member", "Take a user out of a group", "", 204, problems{404: "No such group, or the user is not in it.", 409: lastAdmin}, a.removeMember)
}

func (a *API) listGroups(ctx context.Context, _ *struct{}) (*list[group], error) {
	found, err := a.Access.Accounts.Groups(ctx)
	if err != nil {
		return nil, err
	}
	items := []group{}
	for i := range found {
		items = append(items, newGroup(&found[i]))
	}
	return listOf(items, ""), nil
}

type groupFields struct {
	Name     *string `json:"name,omitempty" doc:"1 to 64 characters."`
	External *string `json:"external,omitempty" doc:"Name of the group at the OpenID Connect provider."`
}

type addGroupInput struct{ Body groupFields }

func (a *API) addGroup(ctx context.Context, in *addGroupInput) (*one[group], error) {
	var g account.Group
	set(&g.Name, in.Body.Name)
	set(&g.External, in.Body.External)
	made, err := a.Access.Accounts.CreateGroup(ctx, g)
	if err != nil {
		return nil, err
	}
	return madeAt(newGroup(made), groupsRoute, made.ID), nil
}

func (a *API) getGroup(ctx context.Context, in *groupPath) (*one[group], error) {
	g, err := a.Access.Accounts.Group(ctx, in.Group)
	if err != nil {
		return nil, err
	}
	return oneOf(newGroup(g)), nil
}

type changeGroupInput struct {
	Group string `path:"group" doc:"Id of the group."`
	Body  groupFields
}

func (a *API) changeGroup(ctx context.Context, in *changeGroupInput) (*one[group], error) {
	g, err := a.Access.Accounts.UpdateGroup(ctx, in.Group, func(g *account.Group) error {
		set(&g.Name, in.Body.Name)
		set(&g.External, in.Body.External)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return oneOf(newGroup(g)), nil
}

func (a *API) removeGroup(ctx context.Context, in *groupPath) (*struct{}, error) {
	return nil, a.Access.Accounts.DeleteGroup(ctx, in.Group)
}

func (a *API) listMembers(ctx context.Context, in *groupPath) (*list[user], error) {
	if _, err := a.Access.Accounts.Group(ctx, in.Group); err != nil {
		return nil, err
	}
	found, err := a.Access.Accounts.Members(ctx, in.Group)
	if err != nil {
		return nil, err
	}
	items := []user{}
	for i := range found {
		items = append(items, newUser(&found[i]))
	}
	return listOf(items, ""), nil
}

func (a *API) addMember(ctx context.Context, in *memberPath) (*struct{}, error) {
	return nil, a.Access.Accounts.AddMember(ctx, in.Group, in.User)
}

func (a *API) removeMember(ctx context.Context, in *memberPath) (*struct{}, error) {
	return nil, a.Access.Accounts.RemoveMember(ctx, in.Group, in.User)
}
