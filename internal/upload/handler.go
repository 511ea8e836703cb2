package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/scan"
)

// maxOpen bounds the incomplete uploads of a store, far above the limit of one owner,
// to bound memory and the size of the folder.
const maxOpen = 10_000

// answer turns an error into the one that is sent to the client.
func answer(id string, err error) error {
	if e, ok := errors.AsType[*httperr.Error](err); ok {
		return e
	}
	for _, a := range []struct {
		err error
		httperr.Error
	}{
		{errNoUpload, httperr.Error{Status: http.StatusNotFound, Detail: "There is no such upload. Start a new one."}},
		{errLost, httperr.Error{Status: http.StatusGone, Detail: "The data of this upload are no longer on the server. Start a new upload."}},
		{errLocked, httperr.Error{Status: http.StatusLocked, Detail: "Another request writes to this upload. Wait for it to end.", RetryAfter: 3}},
		{errTaken, httperr.Error{Status: http.StatusConflict, Detail: "Another request has taken over this upload."}},
		{errClosing, httperr.Error{Status: http.StatusServiceUnavailable, Detail: "The server is being restarted. Resume the upload in a moment.", RetryAfter: 5}},
		{errBusy, httperr.Error{Status: http.StatusServiceUnavailable, Detail: "The server receives as many uploads as it can at once. Resume this one in a moment.", RetryAfter: 5}},
		{errIdle, httperr.Error{Status: http.StatusRequestTimeout, Detail: "Almost no data arrived for a long time. Resume the upload at its offset."}},
		{errCut, httperr.Error{Status: http.StatusBadRequest, Detail: "The connection was interrupted. Resume the upload at its offset."}},
		{errChecksum, httperr.Error{Status: statusChecksum, Detail: "The checksum of the chunk does not match the header. Send the chunk again."}},
		{errTooMuch, httperr.Error{Status: http.StatusRequestEntityTooLarge, Detail: "More bytes were sent than Upload-Length announced."}},
		{errFull, httperr.Error{Status: http.StatusInsufficientStorage, Detail: "The disk of the store is full. The received data are kept: free some space, then resume.", RetryAfter: 60}},
		{errAway, httperr.Error{Status: http.StatusServiceUnavailable, Detail: "The store's incoming folder is unreachable: check that its disk is mounted, then resume.", RetryAfter: 30}},
		{catalog.ErrFull, httperr.Error{Status: http.StatusInsufficientStorage, Detail: "The disk of the database is full: free some space, then resume.", RetryAfter: 60}},
		{catalog.ErrAway, httperr.Error{Status: http.StatusServiceUnavailable, Detail: "The database does not answer. Try again in a moment.", RetryAfter: 5}},
		{catalog.ErrNotFound, httperr.Error{Status: http.StatusNotFound, Detail: "There is no such store."}},
	} {
		if errors.Is(err, a.err) {
			return &a.Error
		}
	}
	return fmt.Errorf("upload %s: %w", id, fsx.WithoutPath(err))
}

// caller returns the caller's user, or the refusal.
func (u *Uploads) caller(r *http.Request, st *catalog.Store) (string, error) {
	if u.o.Caller == nil {
		return "", refuse(http.StatusForbidden, "You may not upload into this store.")
	}
	return u.o.Caller(r, st)
}

// find returns the upload in the address, and its folder, which the caller closes. The
// upload must be the caller's own or, if others is set, in a store that the caller is
// an admin of.
func (u *Uploads) find(r *http.Request, others bool) (*folder, *found, error) {
	id := r.PathValue("upload")
	if !isID(id) {
		return nil, nil, errNoUpload
	}
	stores, err := u.o.Catalog.Stores.List(r.Context())
	if err != nil {
		return nil, nil, err
	}
	missing := errNoUpload
	for i := range stores {
		if stores[i].Mode != catalog.Managed {
			continue
		}
		f, err := u.open(&stores[i], false)
		if errors.Is(err, errAway) {
			missing = errAway // it may be there
		}
		if err != nil {
			continue
		}
		rec, err := f.load(id)
		if err == nil {
			var it *found
			if it, err = u.allowed(r, f, rec, others); err == nil {
				return f, it, nil
			}
		}
		f.close()
		if !errors.Is(err, errNoUpload) {
			return nil, nil, err
		}
	}
	return nil, nil, missing
}

// found is an upload that the caller may see.
type found struct {
	*record
	own   bool
	names bool // the caller may see file names
}

// allowed refuses expired uploads, and uploads of others unless others is set and the
// caller is an admin of the store.
func (u *Uploads) allowed(r *http.Request, f *folder, rec *record, others bool) (*found, error) {
	who, err := u.caller(r, f.store)
	e := entryOf(rec, stamp{})
	if err == nil && u.expired(&e) {
		return nil, errNoUpload
	}
	if err == nil && rec.Owner == who {
		return &found{rec, true, true}, nil
	}
	if others {
		rights, rerr := u.rights(r, f.store)
		if rerr != nil {
			return nil, rerr
		}
		if rights.Admin && !u.expired(&e) {
			return &found{rec, false, rights.Names}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, errNoUpload
}

// emptyBytes is how much of an upload must have been received for it to be kept for
// long.
const emptyBytes = 1 << 20

// expires is when an upload is removed if it does not change. One with few bytes is
// easily begun again, so it expires soon.
func (u *Uploads) expires(e *entry) time.Time {
	keep := u.o.Keep
	if e.isOpen() && e.offset < min(e.length, emptyBytes) {
		keep = min(keep, u.o.KeepEmpty)
	}
	return e.used.Add(keep)
}

func (u *Uploads) expired(e *entry) bool { return time.Now().After(u.expires(e)) }

func (u *Uploads) recordExpires(r *record) time.Time {
	e := entryOf(r, stamp{})
	return u.expires(&e)
}

// tell sets the headers with the state of an upload.
func (u *Uploads) tell(w http.ResponseWriter, r *record) {
	h := w.Header()
	h.Set(hOffset, strconv.FormatInt(r.Offset, 10))
	h.Set(hExpires, u.recordExpires(r).UTC().Format(http.TimeFormat))
}

func (u *Uploads) create(w http.ResponseWriter, r *http.Request) error {
	rec, st, err := u.wanted(r)
	if err != nil {
		return answer("", err)
	}
	sum, err := parseChecksum(r.Header.Get(hChecksum))
	if err != nil {
		return err
	}
	body := r.Header.Get("Content-Type") == chunkType
	if !body && r.ContentLength != 0 && r.Header.Get("Content-Type") != "" {
		return refuse(http.StatusUnsupportedMediaType, "The first bytes of a file are sent as "+chunkType+".")
	}
	f, err := u.open(st, true)
	if err != nil {
		return answer("", err)
	}
	defer f.close()
	if err := u.begin(r, f, rec); err != nil {
		return answer(rec.ID, err)
	}
	if body {
		if rec, err = u.first(w, r, f, rec, sum); err != nil {
			return answer(rec.ID, err)
		}
	}
	u.tell(w, rec)
	w.Header().Set("Location", Route+"/"+rec.ID)
	w.WriteHeader(http.StatusCreated)
	return nil
}

// first receives the bytes that come with the creation of an upload. If that fails, the
// upload is removed, because no client knows its address.
func (u *Uploads) first(w http.ResponseWriter, r *http.Request, f *folder, rec *record, sum *checksum) (*record, error) {
	h, err := u.take(rec.ID, false)
	if err != nil {
		return rec, errors.Join(err, f.remove(rec.ID))
	}
	defer h.release()
	now, err := u.write(w, r, f, h, sum, nil)
	switch {
	case err == nil, errors.Is(err, errFull): // the client learns of the full disk with its next chunk
		return now, nil
	case now.State == refused:
		return now, err
	}
	return now, errors.Join(err, f.remove(rec.ID))
}

// wanted returns the upload that a request creates, and its store.
func (u *Uploads) wanted(r *http.Request) (*record, *catalog.Store, error) {
	if r.Header.Get("Upload-Concat") != "" || r.Header.Get("Upload-Defer-Length") != "" {
		return nil, nil, refuse(http.StatusBadRequest, "A file is sent as one upload, whose length must be given at its creation.")
	}
	length, err := number(r, hLength)
	switch {
	case err != nil:
		return nil, nil, err
	case length == 0:
		return nil, nil, refuse(http.StatusBadRequest, "The file is empty, so it is not a slide.")
	case length > u.o.MaxSize:
		return nil, nil, refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("The file is larger than the maximum of %d bytes.", u.o.MaxSize))
	}
	meta, err := parseMetadata(r.Header.Get(hMetadata))
	if err != nil {
		return nil, nil, refuse(http.StatusBadRequest, "The header "+hMetadata+" must be pairs of a name and a value in base64, separated by commas, each name once.")
	}
	if meta["store"] == "" {
		return nil, nil, refuse(http.StatusBadRequest, "Give in "+hMetadata+" the store that receives the file: store, the id of a managed store.")
	}
	st, err := u.o.Catalog.Stores.Get(r.Context(), meta["store"])
	if err != nil {
		return nil, nil, err
	}
	rec := &record{ID: catalog.NewID(), Store: st.ID, Metadata: r.Header.Get(hMetadata), Length: length, State: uploading, CreatedAt: time.Now(), UsedAt: time.Now()}
	if rec.Owner, err = u.caller(r, st); err != nil {
		return nil, nil, err
	}
	if st.Mode != catalog.Managed {
		return nil, nil, refuse(http.StatusForbidden, "The folder of this store is only read. Upload into a managed store, or copy the file into the folder.")
	}
	if rec.Name = cleanName(meta["filename"]); rec.Name == "" {
		return nil, nil, refuse(http.StatusBadRequest, "Give in "+hMetadata+" the name of the file: filename.")
	}
	if !scan.Accepts(st, rec.Name) {
		return nil, nil, refuse(http.StatusUnprocessableEntity, "The store does not accept files with this name. Names of slides end in .tif or .tiff, those of images to convert in .png or .jpg, unless the store's include and exclude patterns differ.")
	}
	if meta["sha256"] != "" {
		rec.Want, err = parseDigest(meta["sha256"])
	}
	return rec, st, err
}

// begin creates an upload, if its owner may have another one, and there is room for it
// and for the rest of the others.
func (u *Uploads) begin(r *http.Request, f *folder, rec *record) error {
	if err := f.ix.refresh(f, u.scanAge); err != nil {
		return err
	}
	err := u.reserve(f, rec)
	if _, ok := errors.AsType[*httperr.Error](err); ok { // another process may have made room
		stores, serr := u.o.Catalog.Stores.List(r.Context())
		if serr != nil {
			return serr
		}
		if serr := u.refreshAll(stores, min(u.scanAge, refusalAge)); serr != nil {
			return serr
		}
		err = u.reserve(f, rec)
	}
	if err != nil {
		return err
	}
	if err := f.create(rec); err != nil {
		f.ix.drop(rec.ID)
		return err
	}
	return nil
}

// reserve adds an upload to the index, or refuses it. It accesses no file while it
// holds the lock.
func (u *Uploads) reserve(f *folder, rec *record) error {
	free, err := f.free()
	if err != nil {
		return err
	}
	u.reserving.Lock()
	defer u.reserving.Unlock()
	if err := u.ownerLimit(rec); err != nil {
		return err
	}
	promised, open := u.promised(f.ix)
	if open >= maxOpen {
		return &httperr.Error{Status: http.StatusServiceUnavailable, Detail: "This store has too many incomplete uploads. Try again later.", RetryAfter: 60}
	}
	if free-promised-u.o.Reserve < rec.Length {
		return noRoom(rec.Length, free-promised, u.o.Reserve)
	}
	if left, ok := quotaLeft(f.store); ok {
		if left -= f.ix.parts() + promised; left < rec.Length {
			return overQuota(f.store, rec.Length, left)
		}
	}
	e := entryOf(rec, stamp{})
	e.pending = true
	f.ix.put(e)
	return nil
}

// ownerLimit refuses an upload if its owner has too many incomplete uploads, or if they
// are too large. A single upload is never too large.
func (u *Uploads) ownerLimit(rec *record) error {
	has := u.heldBy(rec.Owner)
	switch {
	case has.open >= u.o.OwnerOpen:
		return &httperr.Error{
			Status: http.StatusTooManyRequests, RetryAfter: 60,
			Detail: fmt.Sprintf("You have %d incomplete uploads, which is the maximum. Complete or remove some.", has.open),
		}
	case has.open > 0 && has.bytes+rec.Length > u.o.OwnerBytes:
		return &httperr.Error{
			Status: http.StatusTooManyRequests, RetryAfter: 60,
			Detail: fmt.Sprintf("Your incomplete uploads may have %d bytes in total: they have %d, and this one adds %d. Complete or remove some.", u.o.OwnerBytes, has.bytes, rec.Length),
		}
	}
	return nil
}

// create creates the files of an upload.
func (f *folder) create(rec *record) error {
	file, err := f.dir.OpenFile(part(rec.ID), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return full(err)
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := f.save(rec); err != nil {
		return errors.Join(err, f.remove(rec.ID))
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

// fresh is how long room is reserved for the rest of an upload that receives nothing.
const fresh = time.Hour

func (u *Uploads) head(w http.ResponseWriter, r *http.Request) error {
	f, it, err := u.find(r, false)
	if err != nil {
		return answer("", err)
	}
	defer f.close()
	rec, err := u.settle(r.Context(), f, it.ID)
	if err != nil {
		return answer("", err)
	}
	if rec.State == refused {
		return wrongDigest()
	}
	u.tell(w, rec)
	w.Header().Set(hLength, strconv.FormatInt(rec.Length, 10))
	if rec.Metadata != "" {
		w.Header().Set(hMetadata, rec.Metadata)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func wrongDigest() error {
	return refuse(http.StatusUnprocessableEntity, "The SHA-256 of the received file is not the announced one, so the file was discarded: it changed while it was sent, or was damaged in transit. Upload it again.")
}

func (u *Uploads) patch(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Content-Type") != chunkType {
		return refuse(http.StatusUnsupportedMediaType, "The bytes of a file are sent as "+chunkType+".")
	}
	offset, err := number(r, hOffset)
	if err != nil {
		return err
	}
	sum, err := parseChecksum(r.Header.Get(hChecksum))
	if err != nil {
		return err
	}
	f, it, err := u.find(r, false)
	if err != nil {
		return answer("", err)
	}
	defer f.close()
	h, err := u.take(it.ID, false)
	if err != nil {
		return answer(it.ID, err)
	}
	defer h.release()
	rec, err := u.write(w, r, f, h, sum, &offset)
	if rec.State != refused {
		u.tell(w, rec)
	}
	if err != nil {
		return answer(rec.ID, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// write appends the body of a request to an upload that is held, if the offset is
// right, and finishes the upload when it is complete. It returns the updated record.
func (u *Uploads) write(w http.ResponseWriter, r *http.Request, f *folder, h *hold, sum *checksum, offset *int64) (*record, error) {
	rec, err := f.load(h.id)
	if err != nil {
		return &record{ID: h.id, State: refused}, err // it was terminated since
	}
	if rec.State == refused {
		return rec, wrongDigest()
	}
	if rec.State == received || rec.complete() {
		if offset != nil && *offset != rec.Offset {
			return rec, wrongOffset(rec)
		}
		if r.ContentLength != 0 {
			return rec, errTooMuch
		}
		return rec, u.finish(r.Context(), f, rec)
	}
	if !u.enter(rec.Owner) {
		return rec, errBusy
	}
	defer u.leave(rec.Owner)
	wr, err := u.openWriter(f, h)
	if err != nil {
		return rec, err
	}
	defer wr.close()
	rec = wr.r
	switch {
	case offset != nil && *offset != rec.Offset:
		return rec, wrongOffset(rec)
	case r.ContentLength > rec.Length-rec.Offset:
		return rec, errTooMuch
	}
	if free, err := f.free(); err == nil && free-u.o.Reserve < rec.Length-rec.Offset && r.ContentLength != 0 {
		return rec, errors.Join(errFull, noRoom(rec.Length-rec.Offset, free, u.o.Reserve))
	}
	if r.ContentLength != 0 {
		if err := u.quota(f, rec); err != nil {
			return rec, err
		}
	}
	h.reads(w)
	err = wr.receive(r.Body, sum)
	h.rest()
	if err != nil {
		return rec, err
	}
	if err := u.finish(context.WithoutCancel(r.Context()), f, rec); err != nil {
		return rec, err
	}
	if rec.State == refused {
		return rec, wrongDigest()
	}
	return rec, nil
}

// quota refuses bytes for an upload whose complete file would exceed the store's quota:
// the quota may have been lowered, or other files have filled it.
func (u *Uploads) quota(f *folder, rec *record) error {
	left, ok := quotaLeft(f.store)
	if !ok {
		return nil
	}
	if err := f.ix.refresh(f, u.scanAge); err != nil {
		return err
	}
	if left -= f.ix.parts(); left < rec.Length-rec.Offset {
		return errors.Join(errFull, overQuota(f.store, rec.Length-rec.Offset, left))
	}
	return nil
}

func wrongOffset(r *record) error {
	return refuse(http.StatusConflict, fmt.Sprintf("The offset of the upload is %d: resume there.", r.Offset))
}

// terminate removes an upload. A file that was moved to the store stays there.
func (u *Uploads) terminate(w http.ResponseWriter, r *http.Request) error {
	f, rec, err := u.find(r, true)
	if err != nil {
		return answer("", err)
	}
	defer f.close()
	if err := u.audit(r, Event{Act: "upload.remove", Object: rec.ID + " " + rec.Store, Detail: rec.begunBy()}); err != nil {
		return err
	}
	h, err := u.take(rec.ID, true)
	if err != nil {
		return answer(rec.ID, err)
	}
	defer h.release()
	release, err := f.claim(rec.ID)
	if err != nil {
		return answer(rec.ID, err)
	}
	defer release()
	if err := f.remove(rec.ID); err != nil {
		return answer(rec.ID, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
