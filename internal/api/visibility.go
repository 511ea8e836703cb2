package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/authz"
	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/task"
)

// A share is what of a store's images the caller may see.
type share int

const (
	none  share = iota // not one
	some               // perhaps some: each is to be asked for
	whole              // all
)

// A sight is what a caller may see and do, by store.
type sight struct {
	stores        []catalog.Store
	tiles, labels map[string]share
	scopes        map[string][]account.Scope // held for the whole store
	everything    bool                       // all tiles, those of stores to come, too
}

var allScopes = []account.Scope{seeTiles, seeLabel, mayWrite, mayAdmin}

// sightOf asks what the caller may see of stores.
func (a *API) sightOf(ctx context.Context, stores []catalog.Store) (*sight, error) {
	c := callerOf(ctx)
	v := &sight{stores: stores, tiles: map[string]share{}, labels: map[string]share{}, scopes: map[string][]account.Scope{}}
	if a.Access == nil {
		v.everything = true
		for i := range stores {
			id := stores[i].ID
			v.tiles[id], v.labels[id] = whole, whole
			if v.scopes[id] = allScopes; !c.admin {
				v.scopes[id] = allScopes[:2]
			}
		}
		return v, nil
	}
	questions := []authz.Question{{Scope: seeTiles}}
	for i := range stores {
		for _, scope := range allScopes {
			questions = append(questions, authz.Question{Store: stores[i].ID, Scope: scope})
		}
	}
	answers, err := a.Access.Gate.AllowMany(ctx, c.cred, questions)
	if err != nil {
		return nil, authz.Problem(err)
	}
	v.everything = answers[0].Allow
	for i := range stores {
		v.take(&stores[i], answers[1+i*len(allScopes):][:len(allScopes)])
	}
	return v, nil
}

// take notes the answers for a store, one for each of allScopes.
func (v *sight) take(s *catalog.Store, answers []authz.Answer) {
	held := []account.Scope{}
	of := func(an authz.Answer) share {
		switch {
		case an.Allow:
			return whole
		case an.StoreWide:
			return none
		}
		return some
	}
	v.tiles[s.ID], v.labels[s.ID] = of(answers[0]), of(answers[1])
	if s.HideLabels {
		v.labels[s.ID] = of(answers[3])
	}
	if s.Public {
		v.tiles[s.ID] = whole
	}
	for i, scope := range allScopes {
		if answers[i].Allow && (scope != seeLabel || v.labels[s.ID] == whole) || scope == seeTiles && s.Public {
			held = append(held, scope)
		}
	}
	v.scopes[s.ID] = held
}

// whole returns the ids of the stores of which all may be seen. It is not nil.
func (v *sight) whole(of map[string]share) []string {
	ids := []string{}
	for i := range v.stores {
		if of[v.stores[i].ID] == whole {
			ids = append(ids, v.stores[i].ID)
		}
	}
	return ids
}

const (
	// scanRounds and scanMost bound how many images, of those that the caller may see
	// only some of, are asked for on the way to one page. What follows is on the next.
	scanRounds = 10
	scanMost   = 2000
)

// imagesFor returns a page of the images that the caller may see. It may be short of
// the limit and have a cursor all the same.
func (a *API) imagesFor(ctx context.Context, v *sight, q catalog.Query) (*catalog.Page, error) {
	searched := q.Q != "" || q.Sort == catalog.SortName
	if q.Sort == catalog.SortName && q.Q == "" && len(v.whole(v.labels)) == 0 {
		q.Labels, searched = false, false // by arrival: order would tell of names
	}
	q.Stores = []string{}
	for i := range v.stores {
		id := v.stores[i].ID
		if searched && v.labels[id] != whole || v.tiles[id] == none {
			continue
		}
		q.Stores = append(q.Stores, id)
	}
	if v.hides(q.Store) {
		return nil, errForbidden
	}
	page := &catalog.Page{}
	limit, begin := q.Limit, q.Cursor == ""
	for round, scanned := 0, 0; round < scanRounds && scanned < scanMost; round++ {
		q.Limit = limit - len(page.Items)
		p, err := a.Catalog.Images(ctx, q)
		if err != nil {
			return nil, err
		}
		seen, err := a.visible(ctx, v, p.Items)
		if err != nil {
			return nil, err
		}
		scanned += len(p.Items)
		page.Items, page.NextCursor = append(page.Items, seen...), p.NextCursor
		if p.NextCursor == "" || len(page.Items) == limit {
			break
		}
		q.Cursor = p.NextCursor
	}
	if begin && q.Store != "" && !v.everything && v.tiles[q.Store] != whole && len(page.Items) == 0 {
		return nil, errForbidden // as of a store that there is not
	}
	return page, nil
}

// hides reports whether a store that is asked for is to look as if there were none. To
// those who may see everything one that there is not is said to be so.
func (v *sight) hides(store string) bool {
	return store != "" && !v.everything && v.tiles[store] == none
}

// visible are those of the images that the caller may see.
func (a *API) visible(ctx context.Context, v *sight, images []catalog.Image) ([]catalog.Image, error) {
	ok, err := a.ask(ctx, v.tiles, images, func(*catalog.Image) account.Scope { return seeTiles })
	if err != nil {
		return nil, err
	}
	var seen []catalog.Image
	for i := range images {
		if ok[i] {
			seen = append(seen, images[i])
		}
	}
	return seen, nil
}

// labelled reports of each image whether the caller may see its label and names.
func (a *API) labelled(ctx context.Context, v *sight, images []catalog.Image) ([]bool, error) {
	hidden := map[string]bool{}
	for i := range v.stores {
		hidden[v.stores[i].ID] = v.stores[i].HideLabels
	}
	return a.ask(ctx, v.labels, images, func(im *catalog.Image) account.Scope { return labelScope(hidden[im.StoreID]) })
}

// ask reports of each image whether a scope is held, and asks only where the store
// does not tell.
func (a *API) ask(ctx context.Context, of map[string]share, images []catalog.Image, scope func(*catalog.Image) account.Scope) ([]bool, error) {
	ok := make([]bool, len(images))
	var questions []authz.Question
	var at []int
	for i := range images {
		switch of[images[i].StoreID] {
		case whole:
			ok[i] = true
		case some:
			questions = append(questions, question(&images[i], scope(&images[i])))
			at = append(at, i)
		}
	}
	if len(questions) == 0 {
		return ok, nil
	}
	answers, err := a.Access.Gate.AllowMany(ctx, callerOf(ctx).cred, questions)
	if err != nil {
		return nil, authz.Problem(err)
	}
	for n, i := range at {
		ok[i] = answers[n].Allow
	}
	return ok, nil
}

// labels reports whether the caller may see an image's label and names, and puts it
// into the audit log that they do.
func (a *API) labels(ctx context.Context, s *catalog.Store, im *catalog.Image) (bool, error) {
	if a.Access == nil {
		return true, nil
	}
	c := callerOf(ctx)
	an, err := a.Access.Gate.Allow(ctx, c.cred, question(im, labelScope(s.HideLabels)))
	if err != nil {
		return false, authz.Problem(err)
	}
	if !an.Allow {
		return false, nil
	}
	e := account.Event{Act: showLabel, Object: im.ID, Allowed: true}
	if c.ID == "" {
		e.User, e.Detail = an.User.ID, "by a link or pass of the user"
	}
	return true, a.record(ctx, e)
}

// lookMany puts into the audit log that a list shows the caller labels and names: how
// many, and which is the first and last. Labelled are those it does so of, nil if all.
func (a *API) lookMany(ctx context.Context, store string, images []catalog.Image, labelled []bool) error {
	n, first, last := 0, "", ""
	for i := range images {
		if labelled != nil && !labelled[i] {
			continue
		}
		if n++; first == "" {
			first = images[i].ID
		}
		last = images[i].ID
	}
	if n == 0 {
		return nil
	}
	if !isID(store) {
		store = ""
	}
	return a.record(ctx, account.Event{Act: "label.list", Object: store, Allowed: true, Detail: fmt.Sprintf("%d images from %s to %s", n, first, last)})
}

// technical are the properties that say nothing of a patient, a person or a time: the
// others are shown with labels only.
var technical = map[string]bool{
	"aperio.AppMag": true, "aperio.MPP": true, "aperio.OriginalWidth": true, "aperio.OriginalHeight": true,
	"aperio.StripeWidth": true, "aperio.Gamma": true, "aperio.LineCameraSkew": true, "aperio.ICC Profile": true,
	"philips.DICOM_MANUFACTURER": true, "philips.DICOM_MANUFACTURERS_MODEL_NAME": true,
	"philips.DICOM_BITS_ALLOCATED": true, "philips.DICOM_BITS_STORED": true, "philips.DICOM_HIGH_BIT": true,
	"philips.DICOM_SAMPLES_PER_PIXEL": true, "philips.DICOM_PHOTOMETRIC_INTERPRETATION": true, "philips.DICOM_PLANAR_CONFIGURATION": true,
	"philips.DICOM_PIXEL_REPRESENTATION": true, "philips.DICOM_PIXEL_SPACING": true,
	"philips.DICOM_LOSSY_IMAGE_COMPRESSION": true, "philips.DICOM_LOSSY_IMAGE_COMPRESSION_METHOD": true,
	"philips.DICOM_LOSSY_IMAGE_COMPRESSION_RATIO": true, "philips.DICOM_SOFTWARE_VERSIONS": true,
	"tiff.Make": true, "tiff.Model": true,
}

// pass returns a pass for an image at another host, for its tiles or also its labels, escaped for a URL, ""
// if the caller needs none or can't have one.
func (a *API) pass(ctx context.Context, store, image string, scope account.Scope) string {
	if a.Access == nil || a.Access.Keys == nil {
		return ""
	}
	return a.sign(&callerOf(ctx).Caller, store, image, scope, authz.PassMost)
}

// sign is pass for a caller who is known, good for as long as is said.
func (a *API) sign(c *authz.Caller, store, image string, scope account.Scope, good time.Duration) string {
	if c.ID == "" {
		return ""
	}
	session := c.Session
	if session == "" {
		session = c.Token
	}
	now := time.Now()
	text, err := a.Access.Keys.SignPass(authz.Pass{
		User: c.ID, Name: c.Name, Session: session, Store: store, Image: image, Scope: scope,
		Issued: authz.Date(now), Expires: authz.Date(now) + authz.NumericDate(good.Milliseconds())/1000,
	})
	if err != nil {
		return "" // an edge asks the centre then
	}
	return url.QueryEscape(text)
}

// authorizeTask lets those who hold the scope for the task's store; for one of no
// store, admins.
func (a *API) authorizeTask(ctx context.Context, c *caller, scope account.Scope, id string) error {
	if a.Jobs == nil {
		return nil // the handler says so
	}
	v, err := a.Jobs.Get(ctx, id)
	if errors.Is(err, task.ErrNotFound) {
		return a.holdNamed(ctx, c, a.standIn(scope, false), false, id, "task")
	} else if err != nil {
		return err
	}
	store := v.StoreOf()
	if store == "" {
		scope = mayAdmin
	}
	return a.holdNamed(ctx, c, authz.Question{Store: store, Scope: scope}, true, id, "task")
}

// stillMay reports whether the caller may go on following a task.
func (a *API) stillMay(ctx context.Context, v *task.View) bool {
	if a.Access == nil {
		return true
	}
	store, scope := v.StoreOf(), seeTiles
	if store == "" {
		scope = mayAdmin
	}
	return a.hold(ctx, callerOf(ctx), authz.Question{Store: store, Scope: scope}) == nil
}

// taskFor is a task as the caller may see it.
func (a *API) taskFor(ctx context.Context, v *task.View) (taskView, error) {
	if a.Access == nil || isAdmin(ctx) {
		return taskView(*v), nil
	}
	store := v.StoreOf()
	hidden := false
	if store != "" {
		s, err := a.Catalog.Store(ctx, store)
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			return taskView{}, err
		}
		hidden = err != nil || s.HideLabels
	}
	ok, err := a.may(ctx, callerOf(ctx), authz.Question{Store: store, Scope: labelScope(hidden)})
	if err != nil {
		return taskView{}, err
	}
	return trimmed(v, store, ok), nil
}

// trimmed is a task without what only admins may see, and without what may name
// slides if labels is false.
func trimmed(v *task.View, store string, labels bool) taskView {
	t := taskView(*v)
	t.Worker = nil
	if strings.HasPrefix(t.Queue, "host-") {
		t.Queue = "host"
	}
	if labels {
		return t
	}
	t.Args, t.Result, t.Error, t.Log = json.RawMessage("{}"), nil, nil, nil
	if isID(store) {
		t.Args = json.RawMessage(`{"store":"` + store + `"}`)
	}
	return t
}

// tasksFor returns a page of the tasks that the caller may see.
func (a *API) tasksFor(ctx context.Context, f task.Filter) ([]taskView, string, error) {
	items := []taskView{}
	if a.Access == nil || isAdmin(ctx) {
		page, next, err := a.Jobs.List(ctx, f)
		for i := range page {
			items = append(items, taskView(page[i]))
		}
		return items, next, err
	}
	stores, err := a.Catalog.Stores(ctx)
	if err != nil {
		return nil, "", err
	}
	v, err := a.sightOf(ctx, stores)
	if err != nil {
		return nil, "", err
	}
	if f.Store != "" && !v.everything && v.tiles[f.Store] != whole {
		return nil, "", errForbidden
	}
	next, limit := "", f.Limit
	for range scanRounds {
		f.Limit = limit - len(items)
		var page []task.View
		if page, next, err = a.Jobs.List(ctx, f); err != nil {
			return nil, "", err
		}
		for i := range page {
			if store := page[i].StoreOf(); v.tiles[store] == whole {
				items = append(items, trimmed(&page[i], store, v.labels[store] == whole))
			}
		}
		if next == "" || len(items) == limit {
			break
		}
		f.Cursor = next
	}
	return items, next, nil
}

// mayOn returns the refusal of those who don't hold a scope for a store, or for
// everything if it is empty.
func (a *API) mayOn(ctx context.Context, scope account.Scope, store string) error {
	ok, err := a.may(ctx, callerOf(ctx), authz.Question{Store: store, Scope: scope})
	if err == nil && !ok {
		err = errForbidden
	}
	if err != nil {
		return a.failed(ctx, err)
	}
	return nil
}

// imageOf refuses a task about an image that is not in the store it names: rights are
// held for that store.
func (a *API) imageOf(ctx context.Context, args task.Args) error {
	if args.Image == "" {
		return nil
	}
	im, err := a.Catalog.Image(ctx, args.Image)
	if err == nil && args.CheckImage(im) != nil {
		err = catalog.ErrNotFound
	}
	if errors.Is(err, catalog.ErrNotFound) {
		return invalid(errors.New("args.image: there is no such image in the store"))
	} else if err != nil {
		return a.failed(ctx, err)
	}
	return nil
}
