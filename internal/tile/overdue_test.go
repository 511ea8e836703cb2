package tile

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestOverdue watches work that ends in time, and work that does not: exactly one of late
// and ended frees what the work has taken.
func TestOverdue(t *testing.T) {
	for _, tt := range []struct {
		name string
		took time.Duration
		late bool
	}{
		{"in time", 9 * time.Second, false},
		{"late", 11 * time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o Overdue
				freed := 0
				ended := o.Watch(10*time.Second, func() { freed++ })
				time.Sleep(tt.took)
				synctest.Wait()
				if got := o.Count() == 1; got != tt.late {
					t.Errorf("counted: %v, want %v", got, tt.late)
				}
				if ended() {
					freed++
				}
				time.Sleep(time.Hour)
				if o.Count() != 0 || freed != 1 {
					t.Errorf("in the end: %d overdue, freed %d times; want 0, once", o.Count(), freed)
				}
			})
		})
	}
}
