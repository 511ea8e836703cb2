package main

import (
	"log/slog"
	"os"
)

// exposed reports whether every user of the host can read or change a file that holds a
// secret. Pipes and devices are not checked.
func exposed(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o007 != 0
}

// warnExposed logs that other users can read a secret. The process starts anyway: secrets
// that container platforms mount are readable for all users of the container.
func warnExposed(log *slog.Logger, flag, path string) {
	if path != "" && exposed(path) {
		log.Warn("every user of this host can read a secret file: run chmod o= on it", "flag", flag, "file", path)
	}
}
