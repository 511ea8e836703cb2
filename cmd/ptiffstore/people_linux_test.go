package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal returns both ends of a new pseudo-terminal. It skips the test if the system has
// none.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skip(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skip(err)
	}
	program, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// TestPrompt types passwords at a terminal: the program asks twice and never shows them.
func TestPrompt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		typed [2]string
		want  string // in the text on standard error
	}{
		{"twice the same", [2]string{goodPassword, goodPassword}, ""},
		{"mistyped", [2]string{goodPassword, goodPassword + "!"}, "the two passwords differ"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			person, program := terminal(t)
			screen := &logBuffer{}
			go func() {
				b := make([]byte, 1024)
				for {
					n, err := person.Read(b)
					if err != nil {
						return
					}
					screen.Write(b[:n]) //nolint:errcheck // memory
				}
			}()
			asked := &asking{words: tt.typed[:], person: person}
			var out bytes.Buffer
			code := run(t.Context(), []string{"user", "add", "anna", "--data", newCatalog(t)}, streams{out: &out, err: asked, in: program})
			said := asked.buf.String()
			if (code == exitOK) != (tt.want == "") || !strings.Contains(said, tt.want) || !strings.HasPrefix(said, "Password: \nRepeat the password: \n") {
				t.Errorf("exit code %d, err %q", code, said)
			}
			time.Sleep(50 * time.Millisecond) // for output that is still on its way
			if strings.Contains(screen.String()+said+out.String(), "horse") {
				t.Errorf("the password is shown: %q", screen.String())
			}
		})
	}
}

// An asking is a standard error that answers prompts.
type asking struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	words  []string
	person *os.File
}

func (a *asking) Write(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if bytes.HasSuffix(b, []byte(": ")) && len(a.words) > 0 {
		word := a.words[0]
		a.words = a.words[1:]
		time.AfterFunc(100*time.Millisecond, func() { fmt.Fprintf(a.person, "%s\n", word) })
	}
	return a.buf.Write(b)
}
