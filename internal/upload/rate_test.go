package upload

import (
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// A slow upload lasts as long as it needs if it sends at least 1 KB per second. A byte
// now and then does not keep its slot.
func TestRate(t *testing.T) {
	const idle = time.Minute
	for _, tt := range []struct {
		name       string
		bytes      int // each time
		every, end time.Duration
		want       error
	}{
		{"a byte every three seconds", 1, 3 * time.Second, 2 * time.Minute, errIdle},
		{"just too slow", 1000, time.Second, 2 * time.Minute, errIdle},
		{"slow", 1100, time.Second, 3 * time.Hour, nil},
		{"in bursts", 64 << 10, 50 * time.Second, 3 * time.Hour, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := new(hold)
				h.reads(httptest.NewRecorder())
				var err error
				for began := time.Now(); err == nil && time.Since(began) < tt.end; {
					time.Sleep(tt.every)
					err = h.came(tt.bytes, idle)
				}
				if !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		h := new(hold)
		h.reads(httptest.NewRecorder())
		h.came(1<<20, idle)
		began, err := time.Now(), error(nil)
		for err == nil {
			time.Sleep(3 * time.Second)
			err = h.came(1, idle)
		}
		if took := time.Since(began); !errors.Is(err, errIdle) || took > 3*idle {
			t.Errorf("fast, then a byte now and then: %v after %v", err, took)
		}
	})
}
