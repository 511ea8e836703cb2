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
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/willabides/kongplete"
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
	Config      string           `placeholder:"FILE" help:"Configuration file; flags and environment variables override it."`
	VersionFlag kong.VersionFlag `name:"version" help:"Print the version and exit."`

	Demo       demoCmd       `cmd:"" group:"run" help:"Create three demo slides, serve them and print the URL."`
	Ready      readyCmd      `cmd:"" group:"run" help:"Check whether a server on this machine is ready."`
	Serve      serveCmd      `cmd:"" group:"run" help:"Serve folders of slides: gallery, viewer, API and tiles in one process."`
	Tileserver tileserverCmd `cmd:"" group:"run" help:"Serve tiles only, on the host that has the slides."`
	Worker     workerCmd     `cmd:"" group:"run" help:"Run sync and background tasks on the host that has the slides."`

	Image  imageCmd  `cmd:"" group:"slides" help:"Show an image, or set its label and its id in another application."`
	Import importCmd `cmd:"" group:"slides" help:"Import the data of another application."`
	Pack   packCmd   `cmd:"" group:"slides" help:"Move images of databases and dumps into a managed store, as files."`
	Retry  retryCmd  `cmd:"" group:"slides" help:"Inspect a broken or quarantined file again."`
	Store  storeCmd  `cmd:"" group:"slides" help:"Add, list, show, change or remove stores."`
	Sync   syncCmd   `cmd:"" group:"slides" help:"Scan a store's folder now and update the catalog."`
	Task   taskCmd   `cmd:"" group:"slides" help:"Submit, list, show, wait for or cancel tasks."`
	Upload uploadCmd `cmd:"" group:"slides" help:"Upload slides to a server."`
	Verify verifyCmd `cmd:"" group:"slides" help:"Read files again and report damaged ones."`

	Audit auditCmd `cmd:"" group:"access" help:"Print the audit log."`
	Edge  edgeCmd  `cmd:"" group:"access" help:"Add, list or remove edge servers, which ask this server for permissions."`
	Grant grantCmd `cmd:"" group:"access" help:"Add, list or remove grants of roles."`
	Group groupCmd `cmd:"" group:"access" help:"Add, list, change or remove groups of users."`
	Key   keyCmd   `cmd:"" group:"access" help:"List, rotate or drop the keys that sign access tokens and links."`
	Share shareCmd `cmd:"" group:"access" help:"Create, list or revoke links that show slides to people without a login."`
	Token tokenCmd `cmd:"" group:"access" help:"Add, list or remove API tokens."`
	User  userCmd  `cmd:"" group:"access" help:"Add, list, change or remove users."`

	Backup     backupCmd     `cmd:"" group:"operate" help:"Back up the catalog to a folder while it is in use."`
	Completion completionCmd `cmd:"" group:"operate" help:"Print the completion of commands and flags for a shell."`
	Settings   configCmd     `cmd:"" group:"operate" name:"config" help:"Check the configuration file, or show the settings in force."`
	Deploy     deployCmd     `cmd:"" group:"operate" help:"Write the service files for systemd or supervisord."`
	Doctor     doctorCmd     `cmd:"" group:"operate" help:"Check an installation, and report problems and how to fix them."`
	Help       helpCmd       `cmd:"" group:"operate" help:"Show the help of a command."`
	Restore    restoreCmd    `cmd:"" group:"operate" help:"Replace the catalog with a backup."`
	Version    versionCmd    `cmd:"" group:"operate" help:"Print version, Go release and decoders."`

	Associated associatedCmd `cmd:"" group:"files" help:"Write the label, macro or thumbnail of a slide file as a JPEG."`
	Convert    convertCmd    `cmd:"" group:"files" help:"Convert a JPEG, PNG or flat TIFF to a pyramid."`
	Crop       cropCmd       `cmd:"" group:"files" help:"Write a part of a slide file as a lossless TIFF, or as a PNG or JPEG."`
	DICOM      dicomCmd      `cmd:"" name:"dicom" group:"files" help:"Write a slide file as DICOM objects."`
	Inspect    inspectCmd    `cmd:"" group:"files" help:"Show the contents of a slide file, or why it is not valid."`
	Preview    previewCmd    `cmd:"" group:"files" help:"Write the label beside the macro as a JPEG."`
	Tile       tileCmd       `cmd:"" group:"files" help:"Write one tile of a slide file as a JPEG."`
}

// helpCmd lists help among the commands; run replaces it by --help.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"Command, with its subcommand."`
}

func (*helpCmd) Help() string { return "Example:\n\n  ptiffstore help store add" }

// Run is not reached.
func (*helpCmd) Run() error { return nil }

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
		kong.NamedMapper("storeroot", kong.MapperFunc(storeRoots)),
		kong.NamedMapper("slides", kong.MapperFunc(slideFolders)),
		kong.Vars{"version": "ptiffstore " + version},
		kong.ExplicitGroups([]kong.Group{
			{Key: "run", Title: "Run:"},
			{Key: "slides", Title: "Stores and slides:"},
			{Key: "access", Title: "Users and access:"},
			{Key: "operate", Title: "Operation:"},
			{Key: "files", Title: "Slide files:"},
		}),
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
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help" && !slices.Contains(args, "--help") && !slices.Contains(args, "-h"):
		args = append(args[1:len(args):len(args)], "--help")
	}
	site := &configFile{args: args}
	parser := newParser(&program{},
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std, site),
	)
	if kongplete.Complete(parser); exited >= 0 {
		return exited // the shell wanted completions
	}
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
	if _, ok := errors.AsType[*flagError](err); ok {
		return exitUsage
	}
	return exitFailure
}
