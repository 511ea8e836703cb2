package bucket

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"
)

// A Probe is what [Bucket.Probe] found out.
type Probe struct {
	Region   string        // of the bucket; "" if the server does not say
	Clock    time.Duration // how far the clock of the server is ahead of ours, in whole seconds; 0 if it does not say
	Objects  bool          // there is an object with contents among the first of the listing
	ETags    bool          // that object has an ETag
	Readable error         // nil if a byte of it could be read with the right ETag
	IfMatch  bool          // a read with a wrong ETag was refused
	Writable error         // nil if an object could be written and deleted; only of [Bucket.ProbeWriting]
}

// Limits of the difference between the clocks: servers refuse requests beyond the second.
const (
	ClockWarn  = time.Minute
	ClockLimit = 15 * time.Minute
)

// Probe asks the server for one page of a listing, and for one byte of an object with the right
// and with a wrong ETag. It writes nothing. The error is that of the listing; what is known by
// then is returned with it.
func (b *Bucket) Probe(ctx context.Context) (Probe, error) {
	var p Probe
	var o Object
	err := b.patient().do(ctx, kindList, func(ctx context.Context, x *exchange) error {
		began := time.Now()
		first := page{bucket: b, prefix: b.address.Prefix, objects: make([]Object, 0, probeKeys)}
		err := first.read(ctx, x)
		p.Region, p.Clock = x.region, clockDifference(headerTime(x.header, "Date"), began, time.Now())
		for _, candidate := range first.objects {
			if candidate.Identity.Size > 0 && !p.Objects {
				p.Objects, o = true, candidate
			}
		}
		return err
	})
	if err != nil || !p.Objects {
		return p, err
	}
	key := strings.TrimPrefix(o.Key, b.address.Prefix)
	p.ETags = o.Identity.ETag != ""
	p.Readable = b.ReadAt(ctx, key, o.Identity, make([]byte, 1), 0)
	if p.ETags && p.Readable == nil {
		p.IfMatch = b.refusesWrong(ctx, o)
	}
	return p, nil
}

// probeKeys is how many keys are listed to find an object that is not empty.
const probeKeys = 100

// refusesWrong reports whether the server itself refuses a read with a wrong ETag: otherwise
// only the comparison of its answers does.
func (b *Bucket) refusesWrong(ctx context.Context, o Object) bool {
	refused := false
	_ = b.do(ctx, kindGet, func(ctx context.Context, x *exchange) error {
		wrong := o.Identity
		wrong.ETag = strings.Repeat("0", 32)
		err := b.read(ctx, x, o.Key, wrong, make([]byte, 1), 0)
		refused = x.status >= 400
		return err
	})
	return refused
}

// clockDifference compares the time of an answer, which was sent between two times of this
// machine and has no fractions of a second.
func clockDifference(date, began, ended time.Time) time.Duration {
	if date.IsZero() {
		return 0
	}
	switch d := date.Sub(began); {
	case d < -time.Second:
		return (d + time.Second).Truncate(time.Second)
	case date.After(ended):
		return date.Sub(ended).Truncate(time.Second)
	}
	return 0
}

// ProbeWriting writes a small object below the prefix, with a random name, and deletes it.
func (b *Bucket) ProbeWriting(ctx context.Context) error {
	key := ".ptiffstore-probe-" + strings.ToLower(rand.Text())
	id, err := b.Put(ctx, key, []byte("This file can be deleted.\n"), PutOptions{IfAbsent: true})
	if err != nil {
		return err
	}
	return errors.Join(b.Delete(ctx, key, id))
}
