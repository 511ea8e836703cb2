package main

import (
	"strings"
	"testing"
)

// TestKeyCommands rotates and drops the keys that sign access tokens and links.
func TestKeyCommands(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if list := items(t, o.says("", "key", "list", "--json")); len(list) != 0 {
		t.Errorf("listing the keys has made some: %v", list)
	}
	first := o.says("", "key", "rotate")
	second := o.says("", "key", "rotate")
	if first == "" || first == second {
		t.Fatalf("keys %q, then %q", first, second)
	}
	list := items(t, o.says("", "key", "list", "--json"))
	if len(list) != 2 || list[0]["signs"] != true || list[0]["valid_until"] != nil || list[1]["signs"] != false || list[1]["valid_until"] == nil {
		t.Errorf("keys after a rotation: %v", list)
	}
	text := o.says("", "key", "list")
	for _, words := range []string{"ID", first, second, "signs", "retired, valid until"} {
		if !strings.Contains(text, words) {
			t.Errorf("the list lacks %q:\n%s", words, text)
		}
	}
	third := o.says("", "key", "drop")
	if text := o.says("", "key", "list"); !strings.Contains(text, third) || strings.Contains(text, first) || strings.Contains(text, second) {
		t.Errorf("keys after they were dropped:\n%s", text)
	}
	acts := o.says("", "audit")
	for _, act := range []string{"key.rotate", "key.drop"} {
		if !strings.Contains(acts, act) {
			t.Errorf("the audit log lacks %s:\n%s", act, acts)
		}
	}
}
