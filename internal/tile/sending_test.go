package tile

import (
	"errors"
	"testing"
)

// TestSendingCountsBeforeReading counts the memory of a stored tile before it is read: a
// tile that exceeds the limit is rejected, unless it is the only one.
func TestSendingCountsBeforeReading(t *testing.T) {
	s := hanging(t, nil)
	defer s.Close()
	im, err := s.Image("here")
	if err != nil {
		t.Fatal(err)
	}
	first, err := im.Tile(t.Context(), &Address{}, "")
	if err != nil {
		t.Fatal(err)
	}
	one := s.Stats().Sending
	s.o.MaxSending = 2*one - 1 // some memory is left, but not enough for another tile
	full := 0
	s.o.Full = func() { full++ }
	if _, err := im.Tile(t.Context(), &Address{}, ""); !errors.Is(err, ErrBusy) || full != 1 || s.Stats().Sending != one {
		t.Errorf("beside another: %v, full %d times, %d bytes counted; want %v, 1, %d", err, full, s.Stats().Sending, ErrBusy, one)
	}
	first.Release()
	s.o.MaxSending = 1
	alone, err := im.Tile(t.Context(), &Address{}, "")
	if err != nil {
		t.Errorf("alone: %v", err)
	}
	alone.Release()
	if n := s.Stats().Sending; n != 0 {
		t.Errorf("%d bytes are counted after all were released", n)
	}
}
