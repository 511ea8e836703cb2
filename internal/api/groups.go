package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// groupAPI are the operations on groups and their members.
type groupAPI struct{ *API }

type groupPath struct {
	Group string `path:"group" doc:"Id of the group."`
}

type memberPath struct {
	Group string `path:"group" doc:"Id of the group."`
	User  string `path:"user" doc:"Id of the user."`
}

// group is a set of users with common grants.
type group struct {
	ID        string    `json:"id" doc:"Opaque."`
	Name      string    `json:"name" doc:"1 to 64 characters."`
	External  *string   `json:"external" doc:"Name of the group at the OpenID Connect provider whose members belong to this group."`
	Members   int       `json:"members" doc:"Number of members."`
	CreatedAt time.Time `json:"created_at" doc:"Time of creation."`
}

func newGroup(g *account.Group) group {
	return group{g.ID, g.Name, known(g.External), g.Members, g.CreatedAt}
}

func (a groupAPI) register(h huma.API) {
	add(a.API, h, "GET", groupsRoute, "list-groups", "List all groups by name", "", 200, nil, a.list)
	add(a.API, h, "POST", groupsRoute, "add-group", "Add a group", "", 201, problems{409: taken}, a.add)
	add(a.API, h, "GET", groupsRoute+"/{group}", "get-group", "Describe a group", "", 200, problems{404: "No such group."}, a.get)
	add(a.API, h, "PATCH", groupsRoute+"/{group}", "change-group", "Change a group", "", 200, problems{404: "No such group.", 409: taken}, a.change)
	add(a.API, h, "DELETE", groupsRoute+"/{group}", "remove-group", "Remove a group", "Its grants are removed, too.", 204, problems{404: "No such group.", 409: lastAdmin}, a.remove)
	add(a.API, h, "GET", groupsRoute+"/{group}/members", "list-members", "List the users of a group by name", "", 200, problems{404: "No such group."}, a.listMembers)
	add(a.API, h, "PUT", groupsRoute+"/{group}/members/{user}", "add-member", "Add a user to a group", "", 204, problems{404: "No such group or user."}, a.addMember)
	add(a.API, h, "DELETE", groupsRoute+"/{group}/members/{user}", "remove-member", "Remove a user from a group", "", 204, problems{404: "No such group, or the user is not in it.", 409: lastAdmin}, a.removeMember)
}

func (a groupAPI) list(ctx context.Context, _ *struct{}) (*list[group], error) {
	found, err := a.Access.Accounts.Groups.List(ctx)
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

func (a groupAPI) add(ctx context.Context, in *addGroupInput) (*one[group], error) {
	var g account.Group
	set(&g.Name, in.Body.Name)
	set(&g.External, in.Body.External)
	made, err := a.Access.Accounts.Groups.Add(ctx, g)
	if err != nil {
		return nil, err
	}
	return madeAt(newGroup(made), groupsRoute, made.ID), nil
}

func (a groupAPI) get(ctx context.Context, in *groupPath) (*one[group], error) {
	g, err := a.Access.Accounts.Groups.Get(ctx, in.Group)
	if err != nil {
		return nil, err
	}
	return oneOf(newGroup(g)), nil
}

type changeGroupInput struct {
	Group string `path:"group" doc:"Id of the group."`
	Body  groupFields
}

func (a groupAPI) change(ctx context.Context, in *changeGroupInput) (*one[group], error) {
	g, err := a.Access.Accounts.Groups.Update(ctx, in.Group, func(g *account.Group) error {
		set(&g.Name, in.Body.Name)
		set(&g.External, in.Body.External)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return oneOf(newGroup(g)), nil
}

func (a groupAPI) remove(ctx context.Context, in *groupPath) (*struct{}, error) {
	return nil, a.Access.Accounts.Groups.Delete(ctx, in.Group)
}

func (a groupAPI) listMembers(ctx context.Context, in *groupPath) (*list[user], error) {
	if _, err := a.Access.Accounts.Groups.Get(ctx, in.Group); err != nil {
		return nil, err
	}
	found, err := a.Access.Accounts.Groups.Members(ctx, in.Group)
	if err != nil {
		return nil, err
	}
	items := []user{}
	for i := range found {
		items = append(items, newUser(&found[i]))
	}
	return listOf(items, ""), nil
}

func (a groupAPI) addMember(ctx context.Context, in *memberPath) (*struct{}, error) {
	return nil, a.Access.Accounts.Groups.AddMember(ctx, in.Group, in.User)
}

func (a groupAPI) removeMember(ctx context.Context, in *memberPath) (*struct{}, error) {
	return nil, a.Access.Accounts.Groups.RemoveMember(ctx, in.Group, in.User)
}
