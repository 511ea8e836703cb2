package tile

import (
	"sync/atomic"
	"time"
)

// Overdue counts work that has taken too long and has not ended: mostly system calls on a
// file system that does not answer, which cannot be cancelled. The zero value is ready for
// use.
type Overdue struct{ n atomic.Int64 }

// Count returns how much work is overdue.
func (o *Overdue) Count() int64 { return o.n.Load() }

// Watch calls late once if the work that begins now takes longer than limit, and counts it
// from then on. The caller must call ended when the work has ended; it reports whether that
// was in time, so that either late is called or ended returns true.
func (o *Overdue) Watch(limit time.Duration, late func()) (ended func() (inTime bool)) {
	timer := time.AfterFunc(limit, func() {
		o.n.Add(1)
		late()
	})
	return func() bool {
		inTime := timer.Stop()
		if !inTime {
			o.n.Add(-1)
		}
		return inTime
	}
}
