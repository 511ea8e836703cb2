package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

// shareAPI are the operations on share links, which show slides to people without a login.
type shareAPI struct{ *API }

const (
	sharesRoute  = "/api/v1/shares"
	sharesTag    = "shares"
	shareHours   = 7 * 24 // lifetime of a link by default
	viewedAct    = "share.view"
	openedAct    = "share.open"
	byFragment   = "The secret is in the fragment of the address, which browsers do not send and servers and proxies do not log."
	shareRefused = "This link has expired or was revoked, or its address is incomplete. Ask the person who sent it for another one."
)

// shareRoutes are the only routes that a share link is valid for, besides tiles: those that
// the viewer needs. What they show is decided by the gate, as for every caller.
var shareRoutes = map[string]bool{
	"GET /api/v1/images/{image}":                                    true,
	"GET /api/v1/images/{image}/thumbnail":                          true,
	"GET /api/v1/images/{image}/region":                             true,
	"GET /api/v1/images/{image}/icc":                                true,
	"GET /api/v1/images/{image}/icc/lut":                            true,
	"GET /api/v1/images/{image}/associated/{kind}":                  true, // labels, if the link is with labels
	"GET /api/v1/images/{image}/preview":                            true, // likewise
	"GET /dzi/{file}":                                               true,
	"GET /iiif/{version}/{image}":                                   true,
	"GET /iiif/{version}/{image}/info.json":                         true,
	"GET /iiif/{version}/{image}/{region}/{size}/{rotation}/{file}": true,
	"GET /zoomify/{image}/ImageProperties.xml":                      true,
}

// shareLink is a share link as its creator and admins see it.
type shareLink struct {
	ID         string     `json:"id" doc:"Opaque; not a secret."`
	User       string     `json:"user" doc:"Id of its creator."`
	UserName   string     `json:"user_name" doc:"Name of its creator."`
	Title      string     `json:"title" doc:"Shown above the slides; empty for none."`
	Kind       string     `json:"kind" enum:"slides,case" doc:"What it was made from."`
	Images     []string   `json:"images" doc:"Ids of the images of its creation. It shows those that its creator may still see."`
	WithLabels bool       `json:"with_labels" doc:"Whether it also shows labels, names and barcodes."`
	Password   bool       `json:"password" doc:"Whether it has a password."`
	State      string     `json:"state" enum:"active,expired,revoked" doc:"Whether it can be used."`
	CreatedAt  time.Time  `json:"created_at" doc:"Time of creation."`
	ExpiresAt  time.Time  `json:"expires_at" doc:"When it ends."`
	RevokedAt  *time.Time `json:"revoked_at" doc:"When it was revoked; null if it was not."`
	Views      int64      `json:"views" doc:"How often its page was loaded."`
	ViewedAt   *time.Time `json:"viewed_at" doc:"When its page was last loaded; null for never."`
	URL        *string    `json:"url" doc:"Address to send to people, without scheme and host if the server has no --public-url. Only the response that creates the link has this field set."`
}

func (a shareAPI) newLink(ctx context.Context, s *account.Share, names map[string]string) (shareLink, error) {
	name, ok := names[s.User]
	if !ok {
		u, err := a.Access.Accounts.Users.Get(ctx, s.User)
		if err != nil && !errors.Is(err, account.ErrNotFound) {
			return shareLink{}, err
		}
		if u != nil {
			name = u.Name
		}
		names[s.User] = name
	}
	state := "active"
	switch {
	case s.RevokedAt != nil:
		state = "revoked"
	case !s.Active(time.Now()):
		state = "expired"
	}
	return shareLink{
		ID: s.ID, User: s.User, UserName: name, Title: s.Title, Kind: string(s.Kind), Images: s.Images, WithLabels: s.Labels, Password: s.Password, State: state,
		CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt, RevokedAt: s.RevokedAt, Views: s.Views, ViewedAt: s.ViewedAt,
	}, nil
}

func (a shareAPI) register(h huma.API) {
	sharing := func(op *huma.Operation) { op.Tags = []string{sharesTag} }
	add(a.API, h, "GET", sharesRoute, "list-shares", "List share links, newest first", "The caller's own; admins may list those of another user, or of all. At most 1000.", 200, nil, a.list, sharing)
	add(a.API, h, "POST", sharesRoute, "add-share", "Create a share link", "For 1 to 200 images that the caller may see, or for the slides that a case has now. Only this response contains the address. "+byFragment, 201,
		problems{404: "No such image or case, or the caller may not see it."}, a.add, sharing)
	add(a.API, h, "GET", sharesRoute+"/{share}", "get-share", "Describe a share link", "For its creator and admins.", 200, problems{404: "No such link."}, a.get, sharing)
	add(a.API, h, "DELETE", sharesRoute+"/{share}", "revoke-share", "Revoke a share link", "It ends within seconds on all servers, also for browsers that have opened it. It stays in the list.", 204, problems{404: "No such link."}, a.revoke, sharing)
	add(a.API, h, "POST", sharesRoute+"/{share}/open", "open-share", "Open a share link",
		"Exchanges the secret of the link for the cookie "+authz.ShareCookie+", which lets this browser see its images for a day. "+byFragment, 200,
		problems{403: "The link needs its password, or the password is wrong.", 404: "The link has expired or was revoked, or the secret is wrong.", 429: "Too many passwords: Retry-After says when the next one is allowed."}, a.open, sharing)
	add(a.API, h, "GET", sharesRoute+"/{share}/view", "view-share", "View an opened share link", "With the cookie of open-share. Lists the images that the link shows now. The request is recorded in the audit log.", 200,
		problems{404: "This browser has not opened the link, or it has ended."}, a.view, sharing)
}

// requireSharing returns an error if the site has no share links.
func (a shareAPI) requireSharing() error {
	if a.Access.NoSharing {
		return newError(http.StatusForbidden, "Sharing is switched off on this server.")
	}
	return nil
}

type sharesInput struct {
	User string `query:"user" doc:"Id of the user; the caller if absent."`
	All  bool   `query:"all" doc:"Links of all users, for admins."`
}

func (a shareAPI) list(ctx context.Context, in *sharesInput) (*list[shareLink], error) {
	switch {
	case in.All && !isAdmin(ctx):
		return nil, errAdmin
	case in.All:
		in.User = ""
	case in.User == "":
		in.User = callerOf(ctx).ID
	}
	if !in.All {
		if err := ownOrAdmin(ctx, in.User); err != nil {
			return nil, err
		}
	}
	found, err := a.Access.Accounts.Shares.List(ctx, in.User)
	if err != nil {
		return nil, err
	}
	items, names := []shareLink{}, map[string]string{}
	for i := range found {
		v, err := a.newLink(ctx, &found[i], names)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	return listOf(items, ""), nil
}

type addShareInput struct {
	Body struct {
		Images     []string `json:"images,omitempty" maxItems:"200" doc:"Ids of the images, in the order in which they are shown."`
		Store      string   `json:"store,omitempty" maxLength:"64" doc:"Store of a case, with accession and instead of images."`
		Accession  string   `json:"accession,omitempty" maxLength:"500" doc:"Accession number of a case."`
		Title      string   `json:"title,omitempty" maxLength:"200" doc:"Shown above the slides to everyone who has the link."`
		Hours      int      `json:"hours,omitempty" minimum:"1" maximum:"8784" doc:"Lifetime; a week if absent."`
		Password   string   `json:"password,omitempty" maxLength:"1000" doc:"At least 8 characters; none if absent."`
		WithLabels bool     `json:"with_labels,omitempty" doc:"Also show labels, macro images, names and barcodes: patient data. Needs the scope label for each image."`
	}
}

func (a shareAPI) add(ctx context.Context, in *addShareInput) (*one[shareLink], error) {
	c := callerOf(ctx)
	if err := a.requireSharing(); err != nil {
		return nil, err
	}
	if c.Token != "" {
		return nil, errPassword // a link would outlive the token
	}
	s := account.Share{User: c.ID, Title: in.Body.Title, Kind: account.ShareSlides, Labels: in.Body.WithLabels, Images: in.Body.Images}
	if in.Body.Accession != "" || in.Body.Store != "" {
		if len(in.Body.Images) > 0 || in.Body.Accession == "" || in.Body.Store == "" {
			return nil, invalid(errors.New("give either images, or store and accession"))
		}
		var err error
		if s.Images, err = a.caseImages(ctx, in.Body.Store, in.Body.Accession); err != nil {
			return nil, err
		}
		s.Kind = account.ShareCase
	}
	if err := a.mayShare(ctx, s.Images, s.Labels); err != nil {
		return nil, err
	}
	if in.Body.Hours == 0 {
		in.Body.Hours = shareHours
	}
	s.ExpiresAt = time.Now().Add(time.Duration(in.Body.Hours) * time.Hour)
	secret, made, err := a.Access.Accounts.Shares.Add(ctx, s, in.Body.Password)
	if err != nil {
		return nil, err
	}
	v, err := a.newLink(ctx, made, map[string]string{})
	if err != nil {
		return nil, err
	}
	out := madeAt(v, sharesRoute, made.ID)
	out.CacheControl, out.Body.URL = "no-store", known(strings.TrimSuffix(a.PublicURL, "/")+SharePage(made.ID, secret))
	return out, nil
}

// SharePage returns the address of the page of a share link, without scheme and host.
func SharePage(id, secret string) string { return "/share/" + id + "#" + secret }

// caseImages returns the ids of the slides of a case. Cases are visible only with labels.
func (a shareAPI) caseImages(ctx context.Context, store, accession string) ([]string, error) {
	_, stores, _, err := caseAPI(a).labelled(ctx, store)
	if err != nil {
		return nil, err
	}
	missing := newError(http.StatusNotFound, "No case with this accession number in the stores whose labels you may see.")
	if !slices.Contains(stores, store) {
		return nil, missing
	}
	images, err := a.Catalog.Cases.Slides(ctx, store, accession)
	if err != nil {
		return nil, err
	}
	var ids []string
	for i := range images {
		ids = append(ids, images[i].ID)
	}
	if len(ids) == 0 {
		return nil, missing
	}
	return ids, nil
}

// mayShare returns an error unless the caller may see all images, and with labels also their
// labels. An image that does not exist looks like one that the caller may not see.
func (a shareAPI) mayShare(ctx context.Context, ids []string, labels bool) error {
	if len(ids) == 0 {
		return invalid(errors.New("images: give the ids of the slides"))
	}
	c := callerOf(ctx)
	stores := map[string]*catalog.Store{}
	for _, id := range ids {
		im, err := a.Catalog.Images.Get(ctx, id)
		if errors.Is(err, catalog.ErrNotFound) {
			return errForbidden
		} else if err != nil {
			return err
		}
		s := stores[im.StoreID]
		if s == nil {
			if s, err = a.Catalog.Stores.Get(ctx, im.StoreID); err != nil {
				return err
			}
			stores[im.StoreID] = s
		}
		if labels && s.HideLabels {
			return newError(http.StatusForbidden, "The store of a slide hides labels, so a link can't show them. Create it without labels.")
		}
		scope := seeTiles
		if labels {
			scope = seeLabel
		}
		if scope == seeTiles && s.Public {
			continue
		}
		if ok, err := a.may(ctx, c, requestFor(im, scope)); err != nil {
			return err
		} else if !ok {
			return errForbidden
		}
	}
	return nil
}

type sharePath struct {
	Share string `path:"share" doc:"Id of the link."`
}

// own returns a link of the caller, or of anyone for admins.
func (a shareAPI) own(ctx context.Context, id string) (*account.Share, error) {
	s, err := a.Access.Accounts.Shares.Get(ctx, id)
	if errors.Is(err, account.ErrNotFound) && !isAdmin(ctx) {
		return nil, errForbidden // the same as for another user's link
	} else if err != nil {
		return nil, err
	}
	return s, ownOrAdmin(ctx, s.User)
}

func (a shareAPI) get(ctx context.Context, in *sharePath) (*one[shareLink], error) {
	s, err := a.own(ctx, in.Share)
	if err != nil {
		return nil, err
	}
	v, err := a.newLink(ctx, s, map[string]string{})
	return oneOf(v), err
}

func (a shareAPI) revoke(ctx context.Context, in *sharePath) (*struct{}, error) {
	s, err := a.own(ctx, in.Share)
	if err != nil {
		return nil, err
	}
	return nil, a.Access.Accounts.Shares.Revoke(ctx, s.ID)
}

type openShareInput struct {
	Share string `path:"share" doc:"Id of the link."`
	Body  struct {
		Secret   string `json:"secret" maxLength:"100" doc:"Fragment of the address of the link."`
		Password string `json:"password,omitempty" maxLength:"1000" doc:"Password of the link, if it has one."`
		Framed   bool   `json:"framed,omitempty" doc:"Whether the page is in a frame of another site. The cookie is then valid only in frames of that site; needs HTTPS and --frame-ancestors."`
	}
}

type openShareOutput struct {
	CacheControl string `header:"Cache-Control"`
	SetCookie    string `header:"Set-Cookie"`
	Body         struct {
		ExpiresAt time.Time `json:"expires_at" doc:"When the link ends."`
	}
}

func (a shareAPI) open(ctx context.Context, in *openShareInput) (*openShareOutput, error) {
	c := callerOf(ctx)
	if a.Access.NoSharing {
		return nil, newError(http.StatusNotFound, shareRefused)
	}
	visit, s, err := a.Access.Accounts.Shares.Open(ctx, in.Share, in.Body.Secret, in.Body.Password, c.from)
	switch {
	case errors.Is(err, account.ErrBadSecret):
		return nil, newError(http.StatusNotFound, shareRefused)
	case errors.Is(err, account.ErrPasswordNeeded):
		return nil, newError(http.StatusForbidden, "This link needs a password.")
	case errors.Is(err, account.ErrWrongPassword):
		a.note(ctx, account.Event{Act: openedAct, Object: in.Share, Detail: "wrong password"})
		return nil, newError(http.StatusForbidden, "Wrong password.")
	case err != nil:
		return nil, err
	}
	if err := a.record(ctx, account.Event{Act: openedAct, Object: s.ID, Allowed: true}); err != nil {
		return nil, err
	}
	out := &openShareOutput{CacheControl: "no-store"}
	out.Body.ExpiresAt = s.ExpiresAt
	out.SetCookie = shareCookie(account.WithVisit(c.share, visit), c.secure, in.Body.Framed && c.secure && len(a.FrameAncestors) > 0)
	return out, nil
}

// shareCookie returns the cookie of opened share links. In a frame of another site, browsers
// accept only a partitioned one, which they send only in frames of that site.
func shareCookie(value string, secure, framed bool) string {
	c := http.Cookie{
		Name: authz.ShareCookie, Value: value, Path: "/", MaxAge: int(account.VisitLife / time.Second),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure,
	}
	if framed {
		c.SameSite, c.Partitioned = http.SameSiteNoneMode, true
	}
	return c.String()
}

// sharedSlides are the slides of a link, for people who have opened it.
type sharedSlides struct {
	Title      string    `json:"title" doc:"Title of the link; empty for none."`
	WithLabels bool      `json:"with_labels" doc:"Whether the link also shows labels and names."`
	ExpiresAt  time.Time `json:"expires_at" doc:"When the link ends."`
	Items      []image   `json:"items" doc:"Images that the link shows now, in order."`
}

func (a shareAPI) view(ctx context.Context, in *sharePath) (*one[sharedSlides], error) {
	c := *callerOf(ctx)
	gone := newError(http.StatusNotFound, shareRefused)
	if a.Access.NoSharing {
		return nil, gone
	}
	links, err := a.Access.Accounts.Shares.Visited(ctx, c.share)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(links, func(s account.Share) bool { return s.ID == in.Share })
	if at < 0 {
		return nil, gone
	}
	s := &links[at]
	c.cred.Share = c.share // for the tiles on other servers
	items, labelled, err := a.slides(context.WithValue(ctx, callerKey{}, &c), s)
	switch {
	case err != nil:
		return nil, err
	case len(items) == 0:
		return nil, gone
	}
	detail := fmt.Sprintf("%d of %d slides", len(items), len(s.Images))
	if err := a.record(ctx, account.Event{Act: viewedAct, Object: s.ID, Allowed: true, Detail: detail, Images: labelled}); err != nil {
		return nil, err
	}
	if err := a.Access.Accounts.Shares.Viewed(ctx, s.ID); err != nil {
		return nil, err
	}
	out := oneOf(sharedSlides{Title: s.Title, WithLabels: s.Labels, ExpiresAt: s.ExpiresAt, Items: items})
	out.CacheControl = "no-store"
	return out, nil
}

// slides returns the images of a link that its creator may see now, and the ids of those
// with labels.
func (a shareAPI) slides(ctx context.Context, s *account.Share) (items []image, labelled []string, err error) {
	rights, err := a.Access.Accounts.Grants.Rights(ctx, s.User)
	if err != nil {
		return nil, nil, err
	}
	stores, err := a.Catalog.Stores.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	byID := map[string]*catalog.Store{}
	for i := range stores {
		byID[stores[i].ID] = &stores[i]
	}
	for _, id := range s.Images {
		im, err := a.Catalog.Images.Get(ctx, id)
		if errors.Is(err, catalog.ErrNotFound) {
			continue
		} else if err != nil {
			return nil, nil, err
		}
		store := byID[im.StoreID]
		if store == nil || !store.Public && !rights.Allows(im.StoreID, im.ID, seeTiles) {
			continue
		}
		labels := s.Labels && !store.HideLabels && rights.Allows(im.StoreID, im.ID, seeLabel)
		if labels {
			labelled = append(labelled, im.ID)
		}
		items = append(items, imageAPI(a).show(ctx, im, stores, labels))
	}
	return items, labelled, nil
}
