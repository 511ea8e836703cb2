// Package deploy writes the files with which a supervisor runs the processes of a site:
// server, tile server, and one worker for each queue.
package deploy

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

// A Site describes the processes of a site.
type Site struct {
	Name       string // lower-case letters, digits and hyphens
	Program    string // path of the binary
	User       string // that runs it
	Data       string // data directory: image cache and, without Database, the catalog
	Database   string // "" for SQLite in Data; a password does not belong here
	Listen     string // address of the server
	Tiles      string // address of the tile server; "" for none
	Queues     []string
	Folders    []string // of slides, which are only read
	Writable   []string // folders of managed stores
	LogFolder  string   // of supervisord; systemd has its journal
	ExtraFlags []string // of the server
	Config     string   // path of the configuration file to write; "" to use flags only
	Backups    string   // folder of nightly backups, of systemd; "" for none

	// Packaged is for the one site of a Debian or RPM package. Its units are named
	// ptiffstore, and have no target.
	Packaged bool

	// Host is the name of a host with slides of a larger site, which runs no server itself;
	// "" for a complete site. Its Config is the file of that site, which is not written.
	Host    string
	Central string // URL of the central server that the tile server asks; "" for none
}

// Prefix returns the name of the site's units, or its beginning.
func (s Site) Prefix() string {
	if s.Packaged {
		return "ptiffstore"
	}
	return "ptiffstore-" + s.Name
}

// Target returns the target that starts the processes.
func (s Site) Target() string {
	if s.Packaged {
		return "multi-user.target"
	}
	return s.Prefix() + ".target"
}

// Title returns the name of the site for people.
func (s Site) Title() string { return strings.Replace(s.Prefix(), "-", " ", 1) }

// Origin returns where the units come from.
func (s Site) Origin() string {
	if s.Packaged {
		return "part of the package ptiffstore; change it with systemctl edit"
	}
	return `written by "ptiffstore deploy systemd"`
}

// A Variable is an environment variable of all processes.
type Variable struct{ Name, Value string }

// Environment returns the environment variables of all processes. It omits the database if
// that is unknown.
func (s Site) Environment() []Variable {
	list := []Variable{{"PTIFFSTORE_DATA", s.Data}}
	if s.Database != "" {
		list = append(list, Variable{"PTIFFSTORE_DATABASE", s.Database})
	}
	if s.Host != "" {
		list = append(list, Variable{"PTIFFSTORE_HOST", s.Host})
	}
	if s.Central != "" {
		list = append(list, Variable{"PTIFFSTORE_AUTH", "central"}, Variable{"PTIFFSTORE_CENTRAL", s.Central},
			Variable{"PTIFFSTORE_EDGE_SECRET_FILE", "/etc/ptiffstore/" + s.Name + ".edge"}, Variable{"PTIFFSTORE_CORS_ORIGIN", s.origin()})
		if host, _, err := net.SplitHostPort(s.Tiles); err == nil && net.ParseIP(host).IsLoopback() {
			list = append(list, Variable{"PTIFFSTORE_TRUSTED_PROXY", "127.0.0.1"}) // only the proxy reaches the server
		}
	}
	return list
}

// A Store is a store that the configuration file provisions.
type Store struct {
	Name, Root string
	Managed    bool
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// Stores returns a store with a unique name for each folder.
func (s Site) Stores() []Store {
	var list []Store
	used := map[string]int{}
	for i, f := range slices.Concat(s.Folders, s.Writable) {
		name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(path.Base(f)), "-"), "-")
		if name == "" {
			name = "store"
		}
		if used[name]++; used[name] > 1 {
			name = fmt.Sprintf("%s-n%d", name, used[name])
		}
		list = append(list, Store{Name: name, Root: f, Managed: i >= len(s.Folders)})
	}
	return list
}

// A File is a file to write.
type File struct {
	Name    string // relative, with slashes
	Content []byte
}

//go:embed templates
var templates embed.FS

var siteName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// Package returns the units and the configuration of a Debian or RPM package: one server
// with a worker in the same process.
func Package() ([]File, error) {
	s := Site{
		Name: "ptiffstore", Packaged: true, Program: "/usr/bin/ptiffstore", User: "ptiffstore", Data: "/var/lib/ptiffstore",
		Listen: "127.0.0.1:8080", Config: "/etc/ptiffstore/ptiffstore.yaml", Backups: "/var/backups/ptiffstore",
	}
	units, err := s.render("systemd")
	if err != nil {
		return nil, err
	}
	settings, err := s.render("package")
	return slices.Concat(units, settings), err
}

// Systemd returns units, and the file of environment variables that they read.
func Systemd(s Site) ([]File, error) { return s.render("systemd") }

// Supervisor returns the program section of supervisord, and the file of environment
// variables that its programs read.
func Supervisor(s Site) ([]File, error) { return s.render("supervisor") }

// A Process is a process of a site, as templates see it.
type Process struct {
	Site
	Kind string // server, tileserver or worker
	Unit string // its name
	Args []string
	Stop int // seconds that the supervisor waits for it to end
}

// drain is how long a server that is stopping serves with /readyz at 503 before it closes
// its port. Together with the shutdown it is well below the Stop time.
const drain = "5s"

// A Timer is a command that a timer of systemd starts, as templates see it.
type Timer struct {
	Site
	Kind     string // for people
	Unit     string // its name
	Args     []string
	Writes   []string // folders
	When     string   // for people
	Calendar string   // for systemd
	Spread   string   // maximum delay, so that not all sites begin at once
}

// keptBackups is how many nightly backups are kept.
const keptBackups = "14"

// timers returns the timers of the site. A database of PostgreSQL is backed up by its own
// programs.
func (s Site) timers() []Timer {
	doctor := s.command("doctor", s.Listen)
	if s.Host != "" {
		doctor = s.command("doctor", s.Tiles)
	}
	var list []Timer
	if s.Backups != "" {
		backup := slices.Concat(s.command("backup", ""), []string{"--keep", keptBackups, s.Backups})
		list = append(list, Timer{s, "backup of the catalog", s.Prefix() + "-backup", backup, []string{s.Data, s.Backups}, "every night", "*-*-* 02:30:00", "15min"})
		doctor = append(doctor, "--backups", s.Backups)
	}
	return append(list, Timer{s, "check of the installation", s.Prefix() + "-doctor", doctor, nil, "every hour", "hourly", "10min"})
}

// processes returns the processes of the site.
func (s Site) processes() []Process {
	unit := s.Prefix()
	if s.Packaged {
		return []Process{{s, "server", unit, append(s.command("serve", ""), "--drain", drain), 30}}
	}
	var list []Process
	if s.Host == "" {
		server := slices.Concat(s.command("serve", s.Listen), []string{"--no-worker", "--drain", drain}, s.ExtraFlags)
		if s.Config == "" {
			server = append(server, s.Folders...)
		}
		list = append(list, Process{s, "server", unit + "-server", server, 30})
	}
	if s.Tiles != "" {
		list = append(list, Process{s, "tileserver", unit + "-tileserver", append(s.command("tileserver", s.Tiles), "--drain", drain), 30})
	}
	for _, q := range s.Queues {
		name, _, _ := strings.Cut(q, "=")
		list = append(list, Process{s, "worker", unit + "-worker-" + name, append(s.command("worker", ""), "--queue", q), 60})
	}
	return list
}

// command returns the first arguments of a process. The configuration file, if any, has the
// address to listen on. A process with listen "" has no port.
func (s Site) command(mode, listen string) []string {
	switch {
	case s.Config != "":
		return []string{mode, "--config", s.Config}
	case listen != "":
		return []string{mode, "--listen", listen}
	}
	return []string{mode}
}

// check returns an error if the site is invalid.
func (s Site) check() error {
	if !siteName.MatchString(s.Name) {
		return fmt.Errorf("invalid name of a site %q: use lower-case letters and digits, with single hyphens between them", s.Name)
	}
	for what, v := range map[string]string{
		"program": s.Program, "configuration file": s.Config, "data directory": s.Data, "user": s.User, "address": s.Listen, "address of the tile server": s.Tiles, "database": s.Database,
		"host": s.Host, "central server": s.Central, "folder of backups": s.Backups,
	} {
		if err := plain(what, v); err != nil {
			return err
		}
	}
	for _, list := range [][]string{s.Folders, s.Writable, s.Queues, s.ExtraFlags} {
		for _, v := range list {
			if err := plain("argument", v); err != nil {
				return err
			}
		}
	}
	if !path.IsAbs(s.Program) || !path.IsAbs(s.Data) {
		return fmt.Errorf("program %q and data directory %q: use absolute paths", s.Program, s.Data)
	}
	if err := s.checkHost(); err != nil {
		return err
	}
	for what, v := range map[string]string{"configuration file": s.Config, "folder of backups": s.Backups} {
		if v != "" && !path.IsAbs(v) {
			return fmt.Errorf("%s %q: use an absolute path", what, v)
		}
	}
	if s.Backups != "" && (s.Host != "" || strings.HasPrefix(s.Database, "postgres")) {
		return errors.New("--backups is for a catalog in the data directory: back up PostgreSQL with pg_dump")
	}
	return nil
}

// checkHost returns an error if the host of a larger site is invalid.
func (s Site) checkHost() error {
	switch u, err := url.Parse(s.Central); {
	case s.Host != "" && s.Database == "":
		return errors.New("a host of a larger site needs the URL of the database: use --database; a password can be added to the file afterwards")
	case s.Central == "":
		return nil
	case s.Host == "" || s.Tiles == "":
		return errors.New("--central is for the tile server of another host: use --host and --tiles too")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("invalid URL of the site's server %q: use one such as https://slides.example.org", s.Central)
	}
	return nil
}

// origin returns the origin of the site's pages, which request tiles.
func (s Site) origin() string {
	u, err := url.Parse(s.Central)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// plain refuses characters that each supervisor would need quoted differently.
func plain(what, v string) error {
	if i := strings.IndexFunc(v, func(r rune) bool { return r < ' ' || strings.ContainsRune(`"'\$;`+"`", r) }); i >= 0 {
		return fmt.Errorf("the %s %q has a character that is special to systemd or supervisord", what, v)
	}
	return nil
}

// render renders the templates of a supervisor. Templates whose names begin with process are
// rendered for each process, those whose names begin with timed for each timer.
func (s Site) render(kind string) ([]File, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	funcs := template.FuncMap{"yaml": strconv.Quote, "quote": quote, "percent": func(v string) string { return strings.ReplaceAll(v, "%", "%%") }}
	t, err := template.New("").Funcs(funcs).ParseFS(templates, "templates/"+kind+"/*")
	if err != nil {
		return nil, fmt.Errorf("service templates: %w", err)
	}
	names, err := fs.ReadDir(templates, "templates/"+kind)
	if err != nil {
		return nil, fmt.Errorf("service templates: %w", err)
	}
	data := struct {
		Site
		Processes []Process
		Timers    []Timer
	}{s, s.processes(), s.timers()}
	var files []File
	for _, n := range names {
		if s.skip(n.Name()) {
			continue
		}
		switch kind, suffix, _ := strings.Cut(n.Name(), "."); kind {
		case "process":
			for _, p := range data.Processes {
				files, err = add(files, t, n.Name(), p.Unit+"."+suffix, p)
			}
		case "timed":
			for _, timer := range data.Timers {
				files, err = add(files, t, n.Name(), timer.Unit+"."+suffix, timer)
			}
		default:
			files, err = add(files, t, n.Name(), strings.ReplaceAll(n.Name(), "site", s.Prefix()), data)
		}
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// skip reports whether the site does not have the file of a template.
func (s Site) skip(name string) bool {
	switch {
	case name == "site.yaml":
		return s.Config == "" || s.Host != "" || s.Packaged
	case strings.HasPrefix(name, "site."):
		return s.Packaged
	}
	return strings.HasSuffix(name, ".part") // of other templates
}

func add(files []File, t *template.Template, from, name string, data any) ([]File, error) {
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, from, data); err != nil {
		return nil, fmt.Errorf("service template %s: %w", from, err)
	}
	return append(files, File{name, b.Bytes()}), nil
}

// quote quotes an argument for both supervisors: in double quotes if it contains a space,
// with percent signs doubled.
func quote(v string) string {
	v = strings.ReplaceAll(v, "%", "%%")
	if v == "" || strings.ContainsRune(v, ' ') {
		return `"` + v + `"`
	}
	return v
}
