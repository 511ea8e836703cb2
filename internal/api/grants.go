package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
)

// grantAPI are the operations on grants.
type grantAPI struct{ *API }

// grant gives a role to a user or a group.
type grant struct {
	ID        string       `json:"id" doc:"Opaque."`
	User      *string      `json:"user" doc:"Id of the user, or null."`
	Group     *string      `json:"group" doc:"Id of the group, or null."`
	Role      account.Role `json:"role" enum:"viewer,reader,downloader,contributor,admin" doc:"viewer: tiles. reader: also labels and names. downloader: also original files. contributor: also uploads and syncs. admin: everything."`
	Store     *string      `json:"store" doc:"Id of the store, or null."`
	Image     *string      `json:"image" doc:"Id of the image, or null. If store and image are null, the grant is for everything."`
	CreatedAt time.Time    `json:"created_at" doc:"Time of creation."`
}

func newGrant(g *account.Grant) grant {
	return grant{g.ID, known(g.User), known(g.Group), g.Role, known(g.Store), known(g.Image), g.CreatedAt}
}

const grantsRoute = "/api/v1/grants"

func (a grantAPI) register(h huma.API) {
	add(a.API, h, "GET", grantsRoute, "list-grants", "List grants", "Oldest first.", 200, nil, a.list)
	add(a.API, h, "POST", grantsRoute, "add-grant", "Give a role to a user or a group", "If the grant exists already, it is returned.", 201, problems{404: "No such user or group."}, a.add)
	add(a.API, h, "DELETE", grantsRoute+"/{grant}", "remove-grant", "Remove a grant", "Cached decisions that depend on it are discarded at once.", 204, problems{404: "No such grant.", 409: lastAdmin}, a.remove)
}

type grantsInput struct {
	User  string `query:"user" doc:"Only grants to this user."`
	Group string `query:"group" doc:"Only grants to this group."`
	Store string `query:"store" doc:"Only grants for this store."`
	Image string `query:"image" doc:"Only grants for this image."`
}

func (a grantAPI) list(ctx context.Context, in *grantsInput) (*list[grant], error) {
	found, err := a.Access.Accounts.Grants.List(ctx, account.GrantFilter(*in))
	if err != nil {
		return nil, err
	}
	items := []grant{}
	for i := range found {
		items = append(items, newGrant(&found[i]))
	}
	return listOf(items, ""), nil
}

type addGrantInput struct {
	Body struct {
		User  string `json:"user,omitempty" doc:"Id of the user; give this or group."`
		Group string `json:"group,omitempty" doc:"Id of the group."`
		Role  string `json:"role" enum:"viewer,reader,downloader,contributor,admin" doc:"Role to grant."`
		Store string `json:"store,omitempty" doc:"Id of the store; give this or image, or neither for everything."`
		Image string `json:"image,omitempty" doc:"Id of the image."`
	}
}

func (a grantAPI) add(ctx context.Context, in *addGrantInput) (*one[grant], error) {
	b := &in.Body
	if b.Store != "" {
		if _, err := a.Catalog.Stores.Get(ctx, b.Store); err != nil {
			return nil, err
		}
	}
	if b.Image != "" {
		if _, err := a.Catalog.Images.Get(ctx, b.Image); err != nil {
			return nil, err
		}
	}
	g, err := a.Access.Accounts.Grants.Add(ctx, account.Grant{User: b.User, Group: b.Group, Role: account.Role(b.Role), Store: b.Store, Image: b.Image})
	if err != nil {
		return nil, err
	}
	return madeAt(newGrant(g), grantsRoute, g.ID), nil
}

type grantPath struct {
	Grant string `path:"grant" doc:"Id of the grant."`
}

func (a grantAPI) remove(ctx context.Context, in *grantPath) (*struct{}, error) {
	return nil, a.Access.Accounts.Grants.Delete(ctx, in.Grant)
}
