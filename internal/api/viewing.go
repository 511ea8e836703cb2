package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
)

const (
	// viewingIdle is how long a viewing lasts without a request.
	viewingIdle = 10 * time.Minute
	// viewingLife limits a viewing that a page which refreshes itself would continue forever.
	viewingLife = time.Hour
	// viewingImages limits the images of one viewing, and so of one entry of the audit log.
	viewingImages = 1000
	// maxViewings limits the callers whose viewings are in memory. The next request of a
	// caller whose viewing was dropped begins a new one.
	maxViewings = 200
)

// listLabels is the audit log's act for lists with labels or names.
const listLabels = "label.list"

// A viewing is a period in which a caller views lists: pages, refreshes and previews. The
// audit log has one entry for it, with all images whose labels were shown. The entry is
// written before the labels are sent.
type viewing struct {
	sync.Mutex  // held while the entry is written
	entry       int64
	store       string
	seen        map[string]bool // images of the entry
	opened      map[string]bool // images with an entry of their own
	files       map[string]bool // images whose original files were downloaded
	began, last time.Time
	lastList    string // the last other list that was recorded
}

// renew starts a new viewing if the last one is over.
func (v *viewing) renew(now time.Time) {
	if v.seen == nil || now.Sub(v.last) > viewingIdle || now.Sub(v.began) > viewingLife {
		v.restart(now)
		v.opened, v.lastList = map[string]bool{}, ""
		v.files = nil
	}
	v.last = now
}

func (v *viewing) restart(now time.Time) {
	v.entry, v.seen, v.began = 0, map[string]bool{}, now
}

// viewings are the viewings of all callers. The zero value is ready for use.
type viewings struct {
	mu       sync.Mutex
	byCaller map[string]*viewing
}

// of returns the viewing of a caller, locked.
func (k *viewings) of(c *caller) *viewing {
	key := strings.Join([]string{c.ID, c.Session, c.Token, c.from}, "\x00")
	k.mu.Lock()
	v := k.byCaller[key]
	if v == nil {
		if k.byCaller == nil || len(k.byCaller) >= maxViewings {
			k.byCaller = map[string]*viewing{} // costs some callers a second entry
		}
		v = &viewing{}
		k.byCaller[key] = v
	}
	k.mu.Unlock()
	v.Lock()
	v.renew(time.Now())
	return v
}

// recordListed records that a list shows the labels of images to the caller.
func (a *API) recordListed(ctx context.Context, store string, images []string) error {
	c := callerOf(ctx)
	if a.Access == nil || a.Access.Accounts == nil || len(images) == 0 {
		return nil
	}
	v := a.Access.viewings.of(c)
	defer v.Unlock()
	images = slices.DeleteFunc(images, func(id string) bool { return v.store == store && v.seen[id] })
	if len(images) == 0 {
		return nil
	}
	if v.store != store || len(v.seen)+len(images) > viewingImages {
		v.restart(time.Now())
		v.store = store
	}
	e := account.Event{N: v.entry, User: c.ID, Act: listLabels, Object: store, From: c.from, Allowed: true, Images: images}
	n, err := a.Access.Accounts.Audit.RecordImages(context.WithoutCancel(ctx), e)
	if err != nil {
		return auditFailed(err)
	}
	v.entry = n
	for _, id := range images {
		v.seen[id] = true
	}
	return nil
}

// recordOpened records that the caller opens an image with its label.
func (a *API) recordOpened(ctx context.Context, image string) error {
	if err := a.record(ctx, account.Event{Act: showLabel, Object: image, Allowed: true}); err != nil {
		return err
	}
	if c := callerOf(ctx); a.Access != nil && c.ID != "" {
		v := a.Access.viewings.of(c)
		defer v.Unlock()
		if len(v.opened) >= viewingImages {
			clear(v.opened)
		}
		v.opened[image] = true
	}
	return nil
}

// recordPicture records that the caller sees the label of an image as a picture, unless
// the caller's viewing has it already: a page shows several pictures of each slide.
func (a *API) recordPicture(ctx context.Context, image string) error {
	v := a.Access.viewings.of(callerOf(ctx))
	known := v.seen[image] || v.opened[image]
	v.Unlock()
	if known {
		return nil
	}
	return a.recordOpened(ctx, image)
}

// recordList records a list with names other than of images, unless the same one was just
// recorded for the caller: pages refresh themselves.
func (a *API) recordList(ctx context.Context, e account.Event) error {
	c := callerOf(ctx)
	if a.Access == nil || c.ID == "" {
		return a.record(ctx, e)
	}
	v := a.Access.viewings.of(c)
	defer v.Unlock()
	text := fmt.Sprintf("%s %s %s", e.Act, e.Object, e.Detail)
	if v.lastList == text {
		return nil
	}
	if err := a.record(ctx, e); err != nil {
		return err
	}
	v.lastList = text
	return nil
}
