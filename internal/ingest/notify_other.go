//go:build !linux

package ingest

import "errors"

// A notifier does not exist on this system: folders are polled.
type notifier struct{ *inbox }

func newNotifier(string, string, filter, *inbox) (*notifier, error) {
	return nil, errors.New("this system tells nothing of files that are renamed or closed")
}

func (n *notifier) watch(string, uint64) {}
func (n *notifier) trouble() string      { return "" }
func (n *notifier) close()               {}
