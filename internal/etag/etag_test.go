package etag

import "testing"

func TestMatches(t *testing.T) {
	tests := []struct {
		header string
		want   bool
	}{
		{`"a-1"`, true},
		{`W/"a-1"`, true},
		{`"b", "a-1"`, true},
		{`*`, true},
		{`"a-1x"`, false},
		{`a-1`, false},
		{``, false},
	}
	for _, tt := range tests {
		if got := Matches(tt.header, `"a-1"`); got != tt.want {
			t.Errorf("Matches(%q) = %v, want %v", tt.header, got, tt.want)
		}
	}
}
