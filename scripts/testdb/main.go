// Command testdb starts a PostgreSQL server and runs a command whose tests share it:
// test/pgtest finds the server by an environment variable and creates a database for each
// test, instead of a server for each package.
//
//	go run ./scripts/testdb make test-go
//
// If PostgreSQL is not installed the command runs without it, and its tests are skipped.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/slideatlas/ptiffstore/test/pgtest"
)

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "testdb:", err)
		status = 1
	}
	os.Exit(status)
}

// run returns the exit status of the command.
func run(args []string) (int, error) {
	if len(args) == 0 {
		return 64, errors.New("no command given")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	server, err := pgtest.Start()
	if err != nil && !errors.Is(err, pgtest.ErrNotInstalled) {
		return 0, err
	}
	if err == nil {
		defer server.Close() //nolint:errcheck // its folder is temporary
		cmd.Env = append(os.Environ(), server.Env())
	}
	// Ctrl-C reaches the command too: wait until it has ended, then stop the server.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}
