package upload

import "time"

// SetScanAge sets the maximum age of the index.
func (u *Uploads) SetScanAge(age time.Duration) { u.folders.scanAge = age }

// Receiving is how many requests are receiving bytes.
func (u *Uploads) Receiving() int {
	u.holds.mu.Lock()
	defer u.holds.mu.Unlock()
	return u.holds.receiving
}
