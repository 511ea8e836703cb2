//go:build !linux

package source

import "errors"

// A Watch does not exist on this system: directories are polled.
type Watch struct{ *Inbox }

// WatchDirectory fails.
func WatchDirectory(string, string, Filter, *Inbox) (*Watch, error) {
	return nil, errors.New("this system does not report which files are renamed or closed")
}

// Add does nothing.
func (n *Watch) Add(string, uint64) {}

// Trouble returns "".
func (n *Watch) Trouble() string { return "" }

// Close does nothing.
func (n *Watch) Close() {}
