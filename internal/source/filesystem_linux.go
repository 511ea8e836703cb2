package source

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// localKinds are the file systems on which the kernel reports all changes and sets the
// times, by magic number (linux/magic.h, statfs(2)).
var localKinds = map[uint32]string{
	0xef53:     "ext4",
	0x58465342: "xfs",
	0x9123683e: "btrfs",
	0x01021994: "tmpfs",
	0x858458f6: "ramfs",
	0x2fc12fc1: "zfs",
	0xf2f52010: "f2fs",
	0xca451a4e: "bcachefs",
	0x794c7630: "overlayfs",
	0x3153464a: "jfs",
	0x52654973: "reiserfs",
}

// foreignKinds are some of the file systems on which other machines make changes that
// the kernel does not report, or set the times.
var foreignKinds = map[uint32]string{
	0x6969:     "NFS",
	0x517b:     "SMB",
	0xff534d42: "SMB",
	0xfe534d42: "SMB",
	0x65735546: "FUSE",
	0x01021997: "9P",
	0x00c36400: "Ceph",
	0x0bd00bd0: "Lustre",
	0x47504653: "GPFS",
	0x19830326: "BeeGFS",
	0x5346414f: "AFS",
	0x01161970: "GFS2",
	0x7461636f: "OCFS2",
	0x786f4256: "VirtualBox",
	0x4d44:     "FAT",
	0x2011bab0: "exFAT",
}

// FileSystemOf returns the file system of the directory at path.
func FileSystemOf(path string) (FileSystem, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return FileSystem{}, err
		}
	}
	magic := uint32(st.Type) //nolint:unconvert // its type differs between architectures
	m := FileSystem{ID: fmt.Sprintf("%x-%08x%08x", magic, uint32(st.Fsid.Val[0]), uint32(st.Fsid.Val[1]))}
	if m.Kind, m.Local = localKinds[magic]; m.Local {
		return m, nil
	}
	if m.Kind = foreignKinds[magic]; m.Kind == "" {
		m.Kind = fmt.Sprintf("file system %#x", magic)
	}
	return m, nil
}
