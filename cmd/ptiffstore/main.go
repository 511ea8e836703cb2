// Command ptiffstore stores the whole-slide images of a pathology department and serves
// their tiles.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes, also written in every command's help.
const (
	exitOK      = 0
	exitFailure = 1
	exitFile    = 2 // the file is broken, or not a supported slide
	exitUsage   = 64
)

// A program is the command line: each mode is a field with a Run method, in a
// file of its own.
type program struct {
	Config string `placeholder:"FILE" help:"Configuration file; flags and environment variables override it."`

	Demo       demoCmd       `cmd:"" help:"Create three demo slides, serve them and print the URL."`
	Serve      serveCmd      `cmd:"" help:"Serve folders of slides: gallery, viewer, API and tiles in one process."`
	Tileserver tileserverCmd `cmd:"" help:"Serve tiles only, on the host that has the slides."`
	Worker     workerCmd     `cmd:"" help:"Run sync and background tasks on the host that has the slides."`
	Store      storeCmd      `cmd:"" help:"Add, list, show, change or remove stores."`
	Image      imageCmd      `cmd:"" help:"Show an image, or set its label and its id in another application."`
	Sync       syncCmd       `cmd:"" help:"Scan a store's folder now and update the catalog."`
	Verify     verifyCmd     `cmd:"" help:"Read files again and report damaged ones."`
	Retry      retryCmd      `cmd:"" help:"Inspect a broken or quarantined file again."`
	Task       taskCmd       `cmd:"" help:"Submit, list, show, wait for or cancel tasks."`
	Edge       edgeCmd       `cmd:"" help:"Add, list or remove edge servers, which ask this server for permissions."`
	Backup     backupCmd     `cmd:"" help:"Back up the catalog to a folder while it is in use."`
	Restore    restoreCmd    `cmd:"" help:"Replace the catalog with a backup."`
	Settings   configCmd     `cmd:"" name:"config" help:"Check the configuration file, or show the settings in force."`
	Doctor     doctorCmd     `cmd:"" help:"Check an installation, and report problems and how to fix them."`
	Ready      readyCmd      `cmd:"" help:"Check whether a server on this machine is ready."`
	Deploy     deployCmd     `cmd:"" help:"Write the service files for systemd or supervisord."`
	User       userCmd       `cmd:"" help:"Add, list, change or remove users."`
	Group      groupCmd      `cmd:"" help:"Add, list, change or remove groups of users."`
	Token      tokenCmd      `cmd:"" help:"Add, list or remove API tokens."`
	Grant      grantCmd      `cmd:"" help:"Add, list or remove grants of roles."`
	Key        keyCmd        `cmd:"" help:"List, rotate or drop the keys that sign access tokens and links."`
	Audit      auditCmd      `cmd:"" help:"Print the audit log."`
	Upload     uploadCmd     `cmd:"" help:"Upload slides to a server."`
	Inspect    inspectCmd    `cmd:"" help:"Show the contents of a slide file, or what is wrong with it."`
	Tile       tileCmd       `cmd:"" help:"Write one tile of a slide file as a JPEG."`
	Associated associatedCmd `cmd:"" help:"Write the label, macro or thumbnail of a slide file as a JPEG."`
	Preview    previewCmd    `cmd:"" help:"Write the rotated label beside the macro as a JPEG."`
	Convert    convertCmd    `cmd:"" help:"Convert a JPEG, PNG or flat TIFF to a pyramid."`
	Version    versionCmd    `cmd:"" help:"Print version, Go release and JPEG decoder."`
}

// A streams has the standard streams of a command, which tests replace.
type streams struct {
	out, err io.Writer
	in       io.Reader // may be nil
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
		kong.Description("Stores whole-slide images and serves their tiles.\n\nSettings of processes can also be given as environment variables PTIFFSTORE_… and in a configuration file: see --config.\n\nExit codes: 0 success · 1 failure · 2 the file is broken or not a slide · 64 wrong usage."),
		kong.Bind(&configFile{}),
		kong.PostBuild(func(k *kong.Kong) error {
			readEnvironment(k.Model.Node)
			return nil
		}),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	}, options...)...)
}

// readEnvironment adds environment variables to the flags that have a key in the
// configuration file.
func readEnvironment(n *kong.Node) {
	for _, flag := range n.Flags {
		if key := flag.Tag.Get("key"); key == "-" || key == "" && flag.Name != "config" {
			continue
		}
		name := "PTIFFSTORE_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		flag.Envs, flag.Value.Tag.Envs = []string{name}, []string{name}
	}
	for _, child := range n.Children {
		readEnvironment(child)
	}
}

// packagePrefix matches the names of the public packages in their errors, which mean nothing to users.
var packagePrefix = regexp.MustCompile(`(^|: )(?:slide|tiff): `)

// message returns the text of an error for users.
func message(err error) string {
	text := err.Error()
	for {
		shorter := packagePrefix.ReplaceAllString(text, "$1")
		if shorter == text {
			return text
		}
		text = shorter
	}
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
	if e, ok := errors.AsType[*exitError](err); ok { // of the configuration file
		fmt.Fprintf(std.err, "ptiffstore: %v\n", e)
		return e.code
	}
	if err != nil {
		fmt.Fprintf(std.err, "ptiffstore: %v\nTry ptiffstore --help.\n", err)
		return exitUsage
	}
	site.settings = inForce(command, site)
	site.listen()
	err = command.Run()
	signal.Stop(site.hups)
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errorSick) {
		fmt.Fprintf(std.err, "ptiffstore: %s\n", message(err))
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitFailure
}
