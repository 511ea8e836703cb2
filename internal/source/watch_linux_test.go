package source

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
		want   map[string]Sign
		all    bool
	}{
		{"nothing", nil, map[string]Sign{}, false},
		{"made, and being written", []event{{1, unix.IN_CREATE, "a.tiff"}}, map[string]Sign{"a.tiff": Touched}, false},
		{"made, and closed", []event{{1, unix.IN_CREATE, "a.tiff"}, {1, unix.IN_CLOSE_WRITE, "a.tiff"}}, map[string]Sign{"a.tiff": Touched | WriterLeft}, false},
		{"closed, removed, and created again", []event{{1, unix.IN_CLOSE_WRITE, "a.tiff"}, {1, unix.IN_DELETE, "a.tiff"}, {1, unix.IN_CREATE, "a.tiff"}}, map[string]Sign{"a.tiff": Touched}, false},
		{"closed, and its mode set", []event{{1, unix.IN_CLOSE_WRITE, "a.tiff"}, {1, unix.IN_ATTRIB, "a.tiff"}}, map[string]Sign{"a.tiff": Touched | WriterLeft}, false},
		{"renamed", []event{{1, unix.IN_MOVED_FROM, "a.tiff"}, {2, unix.IN_MOVED_TO, "b.tiff"}}, map[string]Sign{"a.tiff": Touched, "sub/b.tiff": Touched | WriterLeft}, false},
		{"not a slide", []event{{1, unix.IN_CLOSE_WRITE, "a.txt"}, {1, unix.IN_CREATE, ".a.tiff.X1"}, {1, unix.IN_CREATE | dir, "@eaDir"}}, map[string]Sign{}, false},
		{
			"folders",
			[]event{{1, unix.IN_CREATE | dir, "x"}, {2, unix.IN_MOVED_TO | dir, "y"}, {2, unix.IN_DELETE | dir, "z"}},
			map[string]Sign{"x": Touched | DirectoryCame, "sub/y": Touched | DirectoryCame | WriterLeft, "sub/z": Touched | DirectoryGone},
			false,
		},
		{"overflow", []event{{-1, unix.IN_Q_OVERFLOW, ""}}, map[string]Sign{}, true},
		{"unmounted", []event{{2, unix.IN_UNMOUNT, ""}}, map[string]Sign{}, true},
		{"the root is removed", []event{{1, unix.IN_DELETE_SELF, ""}}, map[string]Sign{}, true},
		{"a folder no longer watched", []event{{2, unix.IN_IGNORED, ""}, {2, unix.IN_CLOSE_WRITE, "a.tiff"}}, map[string]Sign{}, false},
		{
			"a folder is renamed: its old name counts no more",
			[]event{{1, unix.IN_MOVED_FROM | dir, "sub"}, {2, unix.IN_CLOSE_WRITE, "a.tiff"}},
			map[string]Sign{"sub": Touched | DirectoryGone},
			false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := WatchDirectory(t.TempDir(), "", NewFilter(nil, nil), NewInbox())
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			n.dirs = map[int32]string{1: "", 2: "sub"}
			for _, e := range tt.events {
				n.handle(e.wd, e.mask, e.name)
			}
			got, all := n.Take()
			if diff := cmp.Diff(tt.want, got); diff != "" || all != tt.all {
				t.Errorf("all %v, want %v; paths (-want +got):\n%s", all, tt.all, diff)
			}
		})
	}
}

func TestInboxIsBounded(t *testing.T) {
	t.Parallel()
	b := NewInbox()
	for i := range maxPending + 10 {
		b.Put(string([]byte{byte(i), byte(i >> 8), byte(i >> 16)}), 0, 0)
	}
	list, all := b.Take()
	if len(list) != maxPending || !all {
		t.Errorf("%d paths kept, whole folder %v; want %d and true", len(list), all, maxPending)
	}
	if list, all := b.Take(); len(list) != 0 || all {
		t.Errorf("taken twice: %d paths, whole folder %v", len(list), all)
	}
}
