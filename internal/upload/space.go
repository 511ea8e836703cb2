package upload

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// maxOpen bounds the incomplete uploads of a store, far above the limit of one owner,
// to bound memory and the size of the folder.
const maxOpen = 10_000

// fresh is how long bytes are reserved for the rest of an upload that receives nothing.
const fresh = time.Hour

// space limits the uploads of an owner, and reserves bytes of a store's disk and quota for
// new ones.
type space struct {
	catalog    *catalog.Catalog
	folders    *folders
	ownerOpen  int
	ownerBytes int64
	reserve    int64 // bytes of the disk that are left free

	mu sync.Mutex // so that two new uploads don't reserve the same bytes
}

// begin creates an upload, if its owner may have another one, and there is enough space
// for it and for the rest of the others.
func (s *space) begin(r *http.Request, d destination, rec *record) error {
	if err := d.indexOf().refresh(d, s.folders.scanAge); err != nil {
		return err
	}
	err := s.grant(d, rec)
	if _, ok := errors.AsType[*httperr.Error](err); ok { // another process may have freed space
		stores, serr := s.catalog.Stores.List(r.Context())
		if serr != nil {
			return serr
		}
		if serr := s.folders.refreshAll(r.Context(), stores, min(s.folders.scanAge, refusalAge)); serr != nil {
			return serr
		}
		err = s.grant(d, rec)
	}
	if err != nil {
		return err
	}
	if err := d.create(rec); err != nil {
		d.indexOf().drop(rec.ID)
		return err
	}
	return nil
}

// grant adds an upload to the index, or refuses it. It accesses no file while it
// holds the lock.
func (s *space) grant(d destination, rec *record) error {
	free, err := d.free()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ownerLimit(rec); err != nil {
		return err
	}
	promised, open := s.folders.promised(d.indexOf())
	if open >= maxOpen {
		return &httperr.Error{Status: http.StatusServiceUnavailable, Detail: "This store has too many incomplete uploads. Try again later.", RetryAfter: 60}
	}
	if free-promised-s.reserve < rec.Length {
		return noRoom(rec.Length, free-promised, s.reserve)
	}
	if left, ok := quotaLeft(d.storeOf()); ok {
		if left -= d.indexOf().parts() + promised; left < rec.Length {
			return overQuota(d.storeOf(), rec.Length, left)
		}
	}
	e := entryOf(rec, stamp{})
	e.pending = true
	d.indexOf().put(e)
	return nil
}

// ownerLimit refuses an upload if its owner has too many incomplete uploads, or if they
// are too large. A single upload is never too large.
func (s *space) ownerLimit(rec *record) error {
	has := s.folders.heldBy(rec.Owner)
	switch {
	case has.open >= s.ownerOpen:
		return &httperr.Error{
			Status: http.StatusTooManyRequests, RetryAfter: 60,
			Detail: fmt.Sprintf("You have %d incomplete uploads, which is the maximum. Complete or remove some.", has.open),
		}
	case has.open > 0 && has.bytes+rec.Length > s.ownerBytes:
		return &httperr.Error{
			Status: http.StatusTooManyRequests, RetryAfter: 60,
			Detail: fmt.Sprintf("Your incomplete uploads may have %d bytes in total: they have %d, and this one adds %d. Complete or remove some.", s.ownerBytes, has.bytes, rec.Length),
		}
	}
	return nil
}

// fits refuses bytes for an upload whose rest no longer fits on the disk or into the store's
// quota: other files may have filled them, or the quota may have been lowered.
func (s *space) fits(d destination, rec *record) error {
	rest := rec.Length - rec.Offset
	if free, err := d.free(); err == nil && free-s.reserve < rest {
		return errors.Join(errFull, noRoom(rest, free, s.reserve))
	}
	left, ok := quotaLeft(d.storeOf())
	if !ok {
		return nil
	}
	if err := d.indexOf().refresh(d, s.folders.scanAge); err != nil {
		return err
	}
	if left -= d.indexOf().parts(); left < rest {
		return errors.Join(errFull, overQuota(d.storeOf(), rest, left))
	}
	return nil
}

// noRoom refuses a file of need bytes for a disk that has free bytes, of which reserve are
// not to be used.
func noRoom(need, free, reserve int64) error {
	return &httperr.Error{
		Status: http.StatusInsufficientStorage, RetryAfter: 60,
		Detail: fmt.Sprintf("The disk of the store has no room for the file: %d bytes are needed, and %d are free, of which %d are kept in reserve. Delete slides or enlarge the disk, then try again.", need, max(0, free), reserve),
	}
}

// quotaLeft is how many bytes the store's quota still allows; ok is false without a
// quota. Files in the incoming folder count once they are in the catalog.
func quotaLeft(st *catalog.Store) (left int64, ok bool) { return st.Quota - st.Bytes, st.Quota > 0 }

func overQuota(st *catalog.Store, need, left int64) error {
	return &httperr.Error{
		Status: http.StatusInsufficientStorage, RetryAfter: 60,
		Detail: fmt.Sprintf("The store's quota is %d bytes, of which %d are left: %d are needed. The received data are kept: delete slides or raise the quota, then resume.", st.Quota, max(0, left), need),
	}
}
