package upload

import (
	"context"
	"time"
)

// SetScanAge sets the maximum age of the index.
func (u *Uploads) SetScanAge(age time.Duration) { u.folders.scanAge = age }

// SetOrphanAge sets the age from which bytes without a record are removed from buckets.
func (u *Uploads) SetOrphanAge(age time.Duration) { u.folders.orphanAge = age }

// Sweep removes expired uploads once.
func (u *Uploads) Sweep(ctx context.Context) error { return u.sweeper.sweep(ctx) }

// Receiving is how many requests are receiving bytes.
func (u *Uploads) Receiving() int {
	u.holds.mu.Lock()
	defer u.holds.mu.Unlock()
	return u.holds.receiving
}
