//go:build !linux

package source

// FileSystemOf treats every file system as a remote one, which is slower and as safe.
func FileSystemOf(string) (FileSystem, error) { return FileSystem{Kind: "file system"}, nil }
