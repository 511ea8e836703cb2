package ingest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestHear(t *testing.T) {
	t.Parallel()
	type event struct {
		wd   int32
		mask uint32
		name string
	}
	const dir = unix.IN_ISDIR
	tests := []struct {
		name   string
		events []event
		want   map[string]sign
		all    bool
	}{
		{"nothing", nil, map[string]sign{}, false},
		{"made, and being written", []event{{1, unix.IN_CREATE, "a.tiff"}}, map[string]sign{"a.tiff": touched}, false},
		{"made, and closed", []event{{1, unix.IN_CREATE, "a.tiff"}, {1, unix.IN_CLOSE_WRITE, "a.tiff"}}, map[string]sign{"a.tiff": touched | writerLeft}, false},
		{"closed, removed, and made anew", []event{{1, unix.IN_CLOSE_WRITE, "a.tiff"}, {1, unix.IN_DELETE, "a.tiff"}, {1, unix.IN_CREATE, "a.tiff"}}, map[string]sign{"a.tiff": touched}, false},
		{"closed, and its mode set", []event{{1, unix.IN_CLOSE_WRITE, "a.tiff"}, {1, unix.IN_ATTRIB, "a.tiff"}}, map[string]sign{"a.tiff": touched | writerLeft}, false},
		{"renamed", []event{{1, unix.IN_MOVED_FROM, "a.tiff"}, {2, unix.IN_MOVED_TO, "b.tiff"}}, map[string]sign{"a.tiff": touched, "sub/b.tiff": touched | writerLeft}, false},
		{"not a slide", []event{{1, unix.IN_CLOSE_WRITE, "a.txt"}, {1, unix.IN_CREATE, ".a.tiff.X1"}, {1, unix.IN_CREATE | dir, "@eaDir"}}, map[string]sign{}, false},
		{
			"folders",
			[]event{{1, unix.IN_CREATE | dir, "x"}, {2, unix.IN_MOVED_TO | dir, "y"}, {2, unix.IN_DELETE | dir, "z"}},
			map[string]sign{"x": touched | folderCame, "sub/y": touched | folderCame | writerLeft, "sub/z": touched | folderParted},
			false,
		},
		{"overflow", []event{{-1, unix.IN_Q_OVERFLOW, ""}}, map[string]sign{}, true},
		{"unmounted", []event{{2, unix.IN_UNMOUNT, ""}}, map[string]sign{}, true},
		{"the root is removed", []event{{1, unix.IN_DELETE_SELF, ""}}, map[string]sign{}, true},
		{"a folder no longer watched", []event{{2, unix.IN_IGNORED, ""}, {2, unix.IN_CLOSE_WRITE, "a.tiff"}}, map[string]sign{}, false},
		{
			"a folder is renamed: its old name counts no more",
			[]event{{1, unix.IN_MOVED_FROM | dir, "sub"}, {2, unix.IN_CLOSE_WRITE, "a.tiff"}},
			map[string]sign{"sub": touched | folderParted},
			false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := newNotifier(t.TempDir(), "", newFilter(nil, nil), newInbox())
			if err != nil {
				t.Fatal(err)
			}
			defer n.close()
			n.dirs = map[int32]string{1: "", 2: "sub"}
			for _, e := range tt.events {
				n.hear(e.wd, e.mask, e.name)
			}
			got, all := n.take()
			if diff := cmp.Diff(tt.want, got); diff != "" || all != tt.all {
				t.Errorf("all %v, want %v; heard (-want +got):\n%s", all, tt.all, diff)
			}
		})
	}
}

func TestInboxIsBounded(t *testing.T) {
	t.Parallel()
	b := newInbox()
	for i := range maxPending + 10 {
		b.put(string([]byte{byte(i), byte(i >> 8), byte(i >> 16)}), 0, 0)
	}
	list, all := b.take()
	if len(list) != maxPending || !all {
		t.Errorf("%d paths kept, whole folder %v; want %d and true", len(list), all, maxPending)
	}
	if list, all := b.take(); len(list) != 0 || all {
		t.Errorf("taken twice: %d paths, whole folder %v", len(list), all)
	}
}
