package limit

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// A deadline is the read or the write deadline of a connection. Servers set several for each
// request, and setting the timer of a connection costs as much as reading a tile. So it is
// set only if it would fire too late; if it fires too early, the reader or writer sets it
// again and continues.
type deadline struct {
	wanted atomic.Int64 // by the monotonic clock, 0 for none
	timer  atomic.Int64 // what the timer is set to; 0 for none
}

// past is a deadline that is always over: the monotonic clock began a second before.
const past = 1

// since returns t by the monotonic clock.
func since(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(past, int64(t.Sub(began)))
}

// want records a deadline, and reports whether the timer must be set.
func (d *deadline) want(at int64) (late bool) {
	d.wanted.Store(at)
	timer := d.timer.Load()
	return at != 0 && (timer == 0 || timer > at)
}

// arm sets the timer to the deadline. It may be called while another goroutine changes it.
func (d *deadline) arm(set func(time.Time) error) error {
	for {
		at := d.wanted.Load()
		d.timer.Store(at)
		var t time.Time
		if at != 0 {
			t = began.Add(time.Duration(at))
		}
		if err := set(t); err != nil {
			return err
		}
		if d.wanted.Load() == at {
			return nil
		}
	}
}

// early reports whether err is that of a timer that fired before the deadline.
func (d *deadline) early(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	at := d.wanted.Load()
	return at == 0 || monotonic() < at
}
