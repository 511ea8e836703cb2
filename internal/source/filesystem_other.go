//go:build !linux

package source

// FileSystemOf takes every file system for a remote one, which is slower and as safe.
func FileSystemOf(string) (FileSystem, error) { return FileSystem{Kind: "file system"}, nil }
