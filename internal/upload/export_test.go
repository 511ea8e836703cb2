package upload

import "time"

// SetScanAge sets how old the index may get.
func (u *Uploads) SetScanAge(age time.Duration) { u.scanAge = age }

// Receiving is how many requests have one of the places of those that are received.
func (u *Uploads) Receiving() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.receiving
}
