package upload

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// A receiver writes the bodies of requests to uploads, and moves complete files into their
// stores.
type receiver struct {
	retention
	holds *holds
	space *space
	idle  time.Duration
}

// receive appends the body of a request to an upload that is held, if the offset is
// right, and finishes the upload when it is complete. It returns the updated record.
func (c *receiver) receive(w http.ResponseWriter, r *http.Request, d destination, h *hold, sum *checksum, offset *int64) (*record, error) {
	rec, err := d.load(h.id)
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
		return rec, finish(r.Context(), d, rec)
	}
	if !c.holds.enter(rec.Owner) {
		return rec, errBusy
	}
	defer c.holds.leave(rec.Owner)
	wr, err := c.openWriter(d, h)
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
	if r.ContentLength != 0 {
		if err := c.space.fits(d, rec); err != nil {
			return rec, err
		}
	}
	h.reads(w)
	err = wr.receive(r.Body, sum)
	h.rest()
	if err != nil {
		return rec, err
	}
	if err := finish(context.WithoutCancel(r.Context()), d, rec); err != nil {
		return rec, err
	}
	if rec.State == refused {
		return rec, wrongDigest()
	}
	return rec, nil
}

func wrongOffset(r *record) error {
	return refuse(http.StatusConflict, fmt.Sprintf("The offset of the upload is %d: resume there.", r.Offset))
}

func wrongDigest() error {
	return refuse(http.StatusUnprocessableEntity, "The SHA-256 of the received file is not the announced one, so the file was discarded: it changed while it was sent, or was damaged in transit. Upload it again.")
}
