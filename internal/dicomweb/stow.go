package dicomweb

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
	"github.com/slideatlas/ptiffstore/internal/httperr"
)

// The routes of a [Receiver].
const (
	StoreRoute      = "POST " + Prefix + "/studies"
	StoreStudyRoute = StoreRoute + "/{study}"
)

const (
	defaultMaxSize = 64 << 30
	defaultReserve = 256 << 20
	defaultIdle    = 60 * time.Second
	defaultAtOnce  = 32
	// maxParts limits the instances of a request, whose verdicts are in memory.
	maxParts = 10_000
)

// ReceiverOptions are limits and hooks of a [Receiver].
type ReceiverOptions struct {
	Catalog *catalog.Catalog
	Log     *slog.Logger
	// Store is the managed store that receives instances: its id, its name in the configuration
	// file, or its label if no other store has it. If it is empty, requests are refused.
	Store string
	// Caller returns an error if the caller may not write into the store. If it is nil, requests
	// are refused.
	Caller func(r *http.Request, store *catalog.Store) (string, error)
	// Audit, if not nil, records how many instances of a request were stored and refused. If it
	// returns an error, the client gets that error and sends them again.
	Audit func(r *http.Request, store *catalog.Store, stored, refused int) error
	// BaseURL returns the URL of this server as the client sees it.
	BaseURL func(*http.Request) string

	MaxSize int64         // of an instance in bytes; 64 GiB if 0
	Reserve int64         // bytes of the file system that are left free; 256 MiB if 0
	Idle    time.Duration // silence after which a client is cut off; 60 s if 0
	AtOnce  int           // requests that may receive instances at the same time; 32 if 0
}

// A Receiver stores the instances that clients send with STOW-RS (PS3.18 section 10.5) in the
// incoming folder of a managed store, in a folder for each series. The scanner finds them there,
// and the store imports them.
//
// An instance is written to a hidden folder, checked, synced, and renamed. It is acknowledged when
// it is on disk under its name.
type Receiver struct {
	o         ReceiverOptions
	receiving atomic.Int64 // requests
	promised  atomic.Int64 // bytes that requests in progress have announced and not sent
}

// NewReceiver returns a receiver.
func NewReceiver(o ReceiverOptions) *Receiver {
	if o.MaxSize == 0 {
		o.MaxSize = defaultMaxSize
	}
	if o.Reserve == 0 {
		o.Reserve = defaultReserve
	}
	if o.Idle == 0 {
		o.Idle = defaultIdle
	}
	if o.AtOnce == 0 {
		o.AtOnce = defaultAtOnce
	}
	return &Receiver{o: o}
}

// ServeHTTP receives instances.
func (v *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	httperr.Handler(v.store).ServeHTTP(w, r)
}

func (v *Receiver) store(w http.ResponseWriter, r *http.Request) error {
	st, err := v.target(r.Context())
	if err != nil {
		return err
	}
	if v.o.Caller == nil {
		return errMayNotStore
	}
	if _, err := v.o.Caller(r, st); err != nil {
		return err
	}
	study := r.PathValue("study")
	if study != "" && !isUID(study) {
		return badRequest("The study in the address is not a unique identifier.")
	}
	form, err := storeForm(r.Header.Get("Accept"))
	if err != nil {
		return err
	}
	parts, err := newParts(r)
	if err != nil {
		return err
	}
	results, err := v.receive(w, r, st, study, parts)
	if err != nil {
		return err
	}
	return v.answer(w, r, st, form, results)
}

var errMayNotStore = &httperr.Error{Status: http.StatusForbidden, Detail: "You may not send instances to this server."}

// target returns the store that receives instances.
func (v *Receiver) target(ctx context.Context) (*catalog.Store, error) {
	if v.o.Store == "" {
		return nil, &httperr.Error{Status: http.StatusForbidden, Detail: "This server does not receive DICOM instances. Its administrator can name a managed store for them: stow_store in the configuration file."}
	}
	stores, err := v.o.Catalog.Stores.List(ctx)
	if err != nil {
		return nil, err
	}
	st := namedStore(stores, v.o.Store)
	if st == nil || !st.ManagedFolder() {
		return nil, &httperr.Error{Status: http.StatusServiceUnavailable, Detail: "The setting stow_store does not name a managed store in a folder of this server, so it cannot receive instances.", RetryAfter: 60}
	}
	return st, nil
}

// namedStore returns the store with an id, with a name in the configuration file, or with a label
// that no other store has, in this order; nil for no store.
func namedStore(stores []catalog.Store, name string) *catalog.Store {
	var labelled *catalog.Store
	labels := 0
	for i := range stores {
		st := &stores[i]
		switch {
		case st.ID == name, st.Provisioned != nil && st.Provisioned.Name == name:
			return st
		case st.Label == name:
			labelled = st
			labels++
		}
	}
	if labels == 1 {
		return labelled
	}
	return nil
}

// receive stores the parts of a request.
func (v *Receiver) receive(w http.ResponseWriter, r *http.Request, st *catalog.Store, study string, p *parts) ([]result, error) {
	if v.receiving.Add(1) > int64(v.o.AtOnce) {
		v.receiving.Add(-1)
		return nil, &httperr.Error{Status: http.StatusServiceUnavailable, Detail: "The server receives as many instances as it can at once. Send them again in a moment.", RetryAfter: 5}
	}
	defer v.receiving.Add(-1)
	b, err := openInbox(st)
	if err != nil {
		return nil, err
	}
	defer b.close()
	length := max(0, r.ContentLength)
	before := v.promised.Add(length) - length
	p.body.start(w, v.o.Idle, promise{length, &v.promised})
	defer p.body.stop()
	b.space = space{reserve: v.o.Reserve + before, quota: -1}
	if st.Quota > 0 {
		b.space.quota = max(0, st.Quota-st.Bytes-before)
	}
	if err := b.fits(length); err != nil {
		return nil, noSpace(err)
	}
	b.space.reserve = v.o.Reserve
	in := &intake{v: v, r: r, inbox: b, study: study}
	for {
		part, err := p.next()
		switch {
		case errors.Is(err, errLastPart):
			if len(in.results) == 0 {
				return nil, badRequest("The request has no instances.")
			}
			return in.results, nil
		case err == nil && len(in.results) == maxParts:
			err = badRequest("A request may have 10000 instances. Send the others in another one.")
		case err == nil:
			err = in.one(part)
		}
		if err != nil {
			return in.cutOff(p.body.why(err))
		}
	}
}

// noSpace turns an error of [space] into the one for a request of which nothing was stored.
func noSpace(err error) error {
	if !errors.Is(err, errNoSpace) {
		return err
	}
	return &httperr.Error{Status: http.StatusInsufficientStorage, Detail: "The store has no room for these instances: its disk is full, or its quota is reached.", RetryAfter: 60}
}
