package upload

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/fsx"
	"github.com/slideatlas/ptiffstore/internal/httperr"
	"github.com/slideatlas/ptiffstore/internal/scan"
)

// answer turns an error into the one that is sent to the client.
func answer(id string, err error) error {
	if e, ok := errors.AsType[*httperr.Error](err); ok {
		return e
	}
	if err := bucketAnswer(err); err != nil {
		return err
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
		{errAway, httperr.Error{Status: http.StatusServiceUnavailable, Detail: "The store's incoming folder or bucket is unreachable: check that its disk is mounted, or the address of the bucket, then resume.", RetryAfter: 30}},
		{errNoBuckets, httperr.Error{Status: http.StatusServiceUnavailable, Detail: "This server does not receive uploads into buckets: use the server that manages the stores.", RetryAfter: 60}},
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

// find returns the upload in the address, and its folder, which the caller closes. The
// upload must be the caller's own or, if others is set, in a store that the caller is
// an admin of.
func (u *Uploads) find(r *http.Request, others bool) (destination, *found, error) {
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
		d, err := u.folders.open(r.Context(), &stores[i], false)
		if errors.Is(err, errAway) {
			missing = errAway // it may be there
		}
		if err != nil {
			continue
		}
		rec, err := d.load(id)
		if err == nil {
			var it *found
			if it, err = u.access.find(r, d, rec, others); err == nil {
				return d, it, nil
			}
		}
		d.close()
		if !errors.Is(err, errNoUpload) {
			return nil, nil, err
		}
	}
	return nil, nil, missing
}

// setState sets the headers with the state of an upload.
func (u *Uploads) setState(w http.ResponseWriter, r *record) {
	h := w.Header()
	h.Set(hOffset, strconv.FormatInt(r.Offset, 10))
	h.Set(hExpires, u.folders.recordExpires(r).UTC().Format(http.TimeFormat))
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
	d, err := u.folders.open(r.Context(), st, true)
	if err != nil {
		return answer("", err)
	}
	defer d.close()
	if err := u.space.begin(r, d, rec); err != nil {
		return answer(rec.ID, err)
	}
	if body {
		if rec, err = u.first(w, r, d, rec, sum); err != nil {
			return answer(rec.ID, err)
		}
	}
	u.setState(w, rec)
	w.Header().Set("Location", Route+"/"+rec.ID)
	w.WriteHeader(http.StatusCreated)
	return nil
}

// first receives the bytes that come with the creation of an upload. If that fails, the
// upload is removed, because no client knows its address.
func (u *Uploads) first(w http.ResponseWriter, r *http.Request, d destination, rec *record, sum *checksum) (*record, error) {
	h, err := u.holds.take(rec.ID, false)
	if err != nil {
		return rec, errors.Join(err, d.remove(rec.ID))
	}
	defer h.release()
	now, err := u.receiver.receive(w, r, d, h, sum, nil)
	switch {
	case err == nil, errors.Is(err, errFull): // the client learns of the full disk with its next chunk
		return now, nil
	case now.State == refused:
		return now, err
	}
	return now, errors.Join(err, d.remove(rec.ID))
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
	if rec.Owner, err = u.access.caller(r, st); err != nil {
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

func (u *Uploads) head(w http.ResponseWriter, r *http.Request) error {
	d, it, err := u.find(r, false)
	if err != nil {
		return answer("", err)
	}
	defer d.close()
	rec, err := u.receiver.settle(r.Context(), d, it.ID)
	if err != nil {
		return answer("", err)
	}
	if rec.State == refused {
		return wrongDigest()
	}
	u.setState(w, rec)
	w.Header().Set(hLength, strconv.FormatInt(rec.Length, 10))
	if rec.Metadata != "" {
		w.Header().Set(hMetadata, rec.Metadata)
	}
	w.WriteHeader(http.StatusOK)
	return nil
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
	d, it, err := u.find(r, false)
	if err != nil {
		return answer("", err)
	}
	defer d.close()
	h, err := u.holds.take(it.ID, false)
	if err != nil {
		return answer(it.ID, err)
	}
	defer h.release()
	rec, err := u.receiver.receive(w, r, d, h, sum, &offset)
	if rec.State != refused {
		u.setState(w, rec)
	}
	if err != nil {
		return answer(rec.ID, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// terminate removes an upload. A file that was moved to the store stays there.
func (u *Uploads) terminate(w http.ResponseWriter, r *http.Request) error {
	d, rec, err := u.find(r, true)
	if err != nil {
		return answer("", err)
	}
	defer d.close()
	if err := u.access.record(r, Event{Act: "upload.remove", Object: rec.ID + " " + rec.Store, Detail: rec.begunBy()}); err != nil {
		return err
	}
	h, err := u.holds.take(rec.ID, true)
	if err != nil {
		return answer(rec.ID, err)
	}
	defer h.release()
	release, err := d.claim(rec.ID)
	if err != nil {
		return answer(rec.ID, err)
	}
	defer release()
	if err := d.remove(rec.ID); err != nil {
		return answer(rec.ID, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
