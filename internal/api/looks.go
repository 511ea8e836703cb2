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
	// lookIdle ends a look that shows nothing for so long.
	lookIdle = 10 * time.Minute
	// lookLife ends a look that a page which refreshes itself would continue forever.
	lookLife = time.Hour
	// lookImages limits the images of one look, and so of one entry of the audit log.
	lookImages = 1000
	// looksMost limits the callers whose looks are in memory. The next request of a caller
	// whose look was dropped begins a new one.
	looksMost = 200
)

// listLabels is the audit log's act for lists with labels or names.
const listLabels = "label.list"

// A look is what one caller sees while reading lists: pages, refreshes and previews. The
// audit log has one entry for it, with all images whose labels were shown. The entry is
// written before the labels are sent.
type look struct {
	sync.Mutex  // held while the entry is written
	entry       int64
	store       string
	seen        map[string]bool // images of the entry
	opened      map[string]bool // images with an entry of their own
	began, last time.Time
	told        string // detail of the last other list
}

// fresh reports whether the look continues, and otherwise starts it over.
func (l *look) fresh(now time.Time) {
	if l.seen == nil || now.Sub(l.last) > lookIdle || now.Sub(l.began) > lookLife {
		l.restart(now)
		l.opened, l.told = map[string]bool{}, ""
	}
	l.last = now
}

func (l *look) restart(now time.Time) {
	l.entry, l.seen, l.began = 0, map[string]bool{}, now
}

// looks are the looks of all callers. The zero value is ready for use.
type looks struct {
	mu       sync.Mutex
	byCaller map[string]*look
}

// of returns the look of a caller, locked.
func (k *looks) of(c *caller) *look {
	key := strings.Join([]string{c.ID, c.Session, c.Token, c.from}, "\x00")
	k.mu.Lock()
	l := k.byCaller[key]
	if l == nil {
		if k.byCaller == nil || len(k.byCaller) >= looksMost {
			k.byCaller = map[string]*look{} // costs some callers a second entry
		}
		l = &look{}
		k.byCaller[key] = l
	}
	k.mu.Unlock()
	l.Lock()
	l.fresh(time.Now())
	return l
}

// recordListed records that a list shows the labels of images to the caller.
func (a *API) recordListed(ctx context.Context, store string, images []string) error {
	c := callerOf(ctx)
	if a.Access == nil || a.Access.Accounts == nil || len(images) == 0 {
		return nil
	}
	l := a.Access.looks.of(c)
	defer l.Unlock()
	images = slices.DeleteFunc(images, func(id string) bool { return l.store == store && l.seen[id] })
	if len(images) == 0 {
		return nil
	}
	if l.store != store || len(l.seen)+len(images) > lookImages {
		l.restart(time.Now())
		l.store = store
	}
	e := account.Event{N: l.entry, User: c.ID, Act: listLabels, Object: store, From: c.from, Allowed: true, Images: images}
	n, err := a.Access.Accounts.Audit.RecordImages(context.WithoutCancel(ctx), e)
	if err != nil {
		return auditFailed(err)
	}
	l.entry = n
	for _, id := range images {
		l.seen[id] = true
	}
	return nil
}

// recordOpened records that the caller opens an image with its label.
func (a *API) recordOpened(ctx context.Context, image string) error {
	if err := a.record(ctx, account.Event{Act: showLabel, Object: image, Allowed: true}); err != nil {
		return err
	}
	if c := callerOf(ctx); a.Access != nil && c.ID != "" {
		l := a.Access.looks.of(c)
		defer l.Unlock()
		if len(l.opened) >= lookImages {
			clear(l.opened)
		}
		l.opened[image] = true
	}
	return nil
}

// recordPicture records that the caller sees the label of an image as a picture, unless
// the caller's look has it already: a page shows several pictures of each slide.
func (a *API) recordPicture(ctx context.Context, image string) error {
	l := a.Access.looks.of(callerOf(ctx))
	known := l.seen[image] || l.opened[image]
	l.Unlock()
	if known {
		return nil
	}
	return a.recordOpened(ctx, image)
}

// recordList records a list with names other than of images, unless the caller's look has
// just had the same one: pages refresh themselves.
func (a *API) recordList(ctx context.Context, e account.Event) error {
	c := callerOf(ctx)
	if a.Access == nil || c.ID == "" {
		return a.record(ctx, e)
	}
	l := a.Access.looks.of(c)
	defer l.Unlock()
	told := fmt.Sprintf("%s %s %s", e.Act, e.Object, e.Detail)
	if l.told == told {
		return nil
	}
	if err := a.record(ctx, e); err != nil {
		return err
	}
	l.told = told
	return nil
}
