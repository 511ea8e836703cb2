// Command ptiffstore keeps the whole-slide images of a pathology department and
// serves their tiles.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes, also written in every command's help.
const (
	exitOK      = 0
	exitFailure = 1 // it did not work
	exitFile    = 2 // the file is broken, or not a slide that is read here
	exitUsage   = 64
)

// A program is the command line: each mode is a field with a Run method, in a
// file of its own.
type program struct {
	Config string `placeholder:"FILE" help:"Configuration file; flags and environment variables override it."`

	Demo       demoCmd       `cmd:"" help:"Make three demo slides, serve them and print the URL."`
	Serve      serveCmd      `cmd:"" help:"Serve folders of slides: gallery, viewer, API and tiles in one process."`
	Tileserver tileserverCmd `cmd:"" help:"Serve tiles only: the endpoint beside the files."`
	Worker     workerCmd     `cmd:"" help:"Keep stores in step and do tasks, beside the files."`
	Store      storeCmd      `cmd:"" help:"Add, list, show, change or remove stores."`
	Image      imageCmd      `cmd:"" help:"Show an image, or say under which id another application knows it."`
	Sync       syncCmd       `cmd:"" help:"Go through a store's folder now."`
	Verify     verifyCmd     `cmd:"" help:"Read files again, and say which are damaged."`
	Retry      retryCmd      `cmd:"" help:"Look again at a file that is broken or in quarantine."`
	Task       taskCmd       `cmd:"" help:"Submit, list, show, wait for or cancel tasks."`
	Edge       edgeCmd       `cmd:"" help:"Make known, list or remove servers elsewhere that ask this one who may see what."`
	Backup     backupCmd     `cmd:"" help:"Write the catalog to a folder while it is in use."`
	Restore    restoreCmd    `cmd:"" help:"Put a backup in the catalog's place."`
	Settings   configCmd     `cmd:"" name:"config" help:"Check the file in which a site is described, or show what is in force."`
	Doctor     doctorCmd     `cmd:"" help:"Examine a site, and say what must be mended."`
	Ready      readyCmd      `cmd:"" help:"Ask a server of this machine whether it is ready."`
	Deploy     deployCmd     `cmd:"" help:"Write the files under which a supervisor runs a site."`
	User       userCmd       `cmd:"" help:"Add, list, change or remove users."`
	Group      groupCmd      `cmd:"" help:"Add, list, change or remove groups of users."`
	Token      tokenCmd      `cmd:"" help:"Add, list or remove tokens of programs."`
	Grant      grantCmd      `cmd:"" help:"Say who may see or do what."`
	Key        keyCmd        `cmd:"" help:"List, rotate or drop the keys that sign access tokens and links."`
	Audit      auditCmd      `cmd:"" help:"Print who did what."`
	Upload     uploadCmd     `cmd:"" help:"Upload slides to a server."`
	Inspect    inspectCmd    `cmd:"" help:"Say what a slide's file holds, or what is wrong with it."`
	Tile       tileCmd       `cmd:"" help:"Write one tile of a slide's file as a JPEG."`
	Associated associatedCmd `cmd:"" help:"Write the label, macro or thumbnail of a slide's file as a JPEG."`
	Preview    previewCmd    `cmd:"" help:"Write the label turned beside the macro as a JPEG."`
	Convert    convertCmd    `cmd:"" help:"Make a pyramid of a JPEG, PNG or plain TIFF."`
	Version    versionCmd    `cmd:"" help:"Print version, Go release and JPEG decoder."`
}

// A streams is what a command reads and writes, so that tests can run it whole.
type streams struct {
	out, err io.Writer
	in       io.Reader // nil if there is none
}

// An exitError ends the program with a code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr, in: os.Stdin})
	stop()
	os.Exit(code)
}

// newParser returns the parser of command lines.
func newParser(p *program, options ...kong.Option) *kong.Kong {
	return kong.Must(p, append([]kong.Option{
		kong.Name("ptiffstore"),
		kong.Description("Keeps whole-slide images and serves their tiles.\n\nEvery flag can also be given as PTIFFSTORE_… in the environment, and those of a site in its file: see --config.\n\nExit codes: 0 done · 1 it did not work · 2 the file is broken or not a slide · 64 wrong usage."),
		kong.DefaultEnvars("PTIFFSTORE"),
		kong.Bind(&configFile{}),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	}, options...)...)
}

// run runs the command that args name, and returns its exit code.
func run(ctx context.Context, args []string, std streams) int {
	exited := -1
	if len(args) == 0 {
		args = []string{"--help"}
	}
	site := &configFile{args: args}
	parser := newParser(&program{},
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std, site),
	)
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help has answered
	}
	if e, ok := errors.AsType[*configError](err); ok {
		fmt.Fprintf(std.err, "ptiffstore: %v\n", e)
		return e.code()
	}
	if err != nil {
		fmt.Fprintf(std.err, "ptiffstore: %v\nTry ptiffstore --help.\n", err)
		return exitUsage
	}
	site.settings = inForce(command, site)
	site.listen()
	err = command.Run()
	site.deafen()
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errorSick) {
		fmt.Fprintf(std.err, "ptiffstore: %v\n", err)
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitFailure
}
