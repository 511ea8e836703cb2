package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/slideatlas/ptiffstore/internal/deploy"
	"github.com/slideatlas/ptiffstore/internal/task"
)

type deployCmd struct {
	Package    deployPackageCmd    `cmd:"" help:"Write the files that a package has beside the program."`
	Supervisor deploySupervisorCmd `cmd:"" help:"Write a configuration of supervisord."`
	Systemd    deploySystemdCmd    `cmd:"" help:"Write systemd units."`
}

// deploySite are the flags that describe a site.
type deploySite struct {
	Site     string   `required:"" placeholder:"NAME" help:"Name of the site: lower-case letters, digits and hyphens."`
	Out      string   `short:"o" default:"." type:"path" placeholder:"DIR" help:"Folder to write the files to."`
	Program  string   `placeholder:"FILE" type:"path" help:"The binary. Default: this one."`
	User     string   `default:"ptiffstore" help:"User that runs the processes."`
	Data     string   `default:"/var/lib/ptiffstore" type:"path" placeholder:"DIR" help:"Data directory (catalog and image cache)."`
	Database string   `placeholder:"URL" help:"postgres://… ; default: SQLite in --data."`
	Listen   string   `default:"127.0.0.1:8080" help:"Address of the server."`
	Tiles    string   `placeholder:"ADDRESS" help:"Address of a tile server; default: none."`
	Queues   []string `name:"queue" default:"default=4" placeholder:"NAME[=N]" help:"Queue to run a worker for; can be repeated."`
	Writable []string `name:"managed" type:"path" placeholder:"DIR" help:"Folder of a managed store, to which the processes may write; can be repeated."`
	Logs     string   `default:"/var/log/ptiffstore" type:"path" placeholder:"DIR" help:"Folder of supervisord's logs."`
	Config   string   `name:"config-file" type:"path" placeholder:"FILE" help:"Write a configuration file for the site, to be installed at this path, such as /etc/ptiffstore/north.yaml. The processes read their settings from it."`
	Host     string   `placeholder:"NAME" help:"Write the files for a host that has slides of a larger site: a tile server and workers, but no server. NAME is the host of its stores. The folders are those of its stores; the configuration file is the site's and is not written."`
	Central  string   `placeholder:"URL" help:"With --host: URL of the site's server, which the tile server asks for permissions."`
	Force    bool     `help:"Overwrite existing files."`
	Folders  []string `arg:"" optional:"" type:"path" help:"Folders of slides, which become stores. They are only read."`
}

func (c *deploySite) site() (deploy.Site, error) {
	s := deploy.Site{
		Name: c.Site, Program: c.Program, User: c.User, Data: c.Data, Database: c.Database, Listen: c.Listen, Tiles: c.Tiles,
		Queues: c.Queues, Folders: c.Folders, Writable: c.Writable, LogFolder: c.Logs, Config: c.Config,
		Host: c.Host, Central: c.Central,
	}
	served, err := (&workerFlags{Queues: c.Queues}).queues()
	if err != nil {
		return s, err
	}
	if own := task.HostQueue(c.Host); c.Host != "" && served[own] == 0 {
		s.Queues = slices.Concat([]string{own}, c.Queues)
	}
	if s.Program == "" {
		if s.Program, err = os.Executable(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// write writes the files. It overwrites existing ones only with --force.
func (c *deploySite) write(std streams, files []deploy.File) error {
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if c.Force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	for _, f := range files { // check all before writing any
		if path := filepath.Join(c.Out, f.Name); !c.Force && exists(path) {
			return fmt.Errorf("%s exists already: use --force to overwrite it", path)
		}
	}
	for _, f := range files {
		path := filepath.Join(c.Out, f.Name)
		w, err := os.OpenFile(path, flags, 0o640)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists already: use --force to overwrite it", path)
		}
		if err != nil {
			return err
		}
		_, err = w.Write(f.Content)
		if err = errors.Join(err, w.Close()); err != nil {
			return err
		}
		fmt.Fprintln(std.out, path)
	}
	return nil
}

type deploySystemdCmd struct {
	deploySite
	Backups string `name:"backups" type:"path" placeholder:"DIR" help:"Folder for a backup of the catalog every night, of which the last 14 are kept; it must belong to the user. Default: no backups. Not for PostgreSQL."`
}

func (*deploySystemdCmd) Help() string {
	return "Writes a unit for the server, one for a tile server, one for the worker of each queue, a timer that runs doctor every hour, with --backups one that backs up the catalog every night, a target that includes all of them, and a file of environment variables. Copy units and timers to /etc/systemd/system and the variables to /etc/ptiffstore/NAME.env, then:\n\n  systemctl daemon-reload\n  systemctl enable --now ptiffstore-NAME.target\n\nExample:\n\n  ptiffstore deploy systemd --site north --queue default=4 --queue verify=1 /slides/scanner1"
}

// Run writes the units.
func (c *deploySystemdCmd) Run(_ context.Context, std streams) error {
	s, err := c.site()
	if err != nil {
		return err
	}
	s.Backups = c.Backups
	files, err := deploy.Systemd(s)
	if err != nil {
		return usage(err)
	}
	return c.write(std, files)
}

type deploySupervisorCmd struct{ deploySite }

func (*deploySupervisorCmd) Help() string {
	return "Writes one file with a program for the server, a tile server and the worker of each queue. Copy it to /etc/supervisor/conf.d, create the folders of data and logs, then run: supervisorctl update\n\nExample:\n\n  ptiffstore deploy supervisor --site north --queue default=4 --queue verify=1 /slides/scanner1"
}

// Run writes the configuration.
func (c *deploySupervisorCmd) Run(_ context.Context, std streams) error {
	s, err := c.site()
	if err != nil {
		return err
	}
	files, err := deploy.Supervisor(s)
	if err != nil {
		return usage(err)
	}
	return c.write(std, files)
}

type deployPackageCmd struct {
	Out  string `short:"o" required:"" type:"path" placeholder:"DIR" help:"Folder that stands for the root folder, to write the files to."`
	Date string `placeholder:"DATE" help:"Date of the manual pages, such as 2027-01-15."`
}

func (*deployPackageCmd) Help() string {
	return "For packages of Linux distributions: writes the units and timers of one site, its configuration, the manual pages and the completions of bash, zsh and fish, below usr and etc. The program belongs at /usr/bin/ptiffstore, and the package creates the user ptiffstore with the data directory /var/lib/ptiffstore.\n\nExample:\n\n  ptiffstore deploy package -o /tmp/root"
}

// Run writes the files.
func (c *deployPackageCmd) Run(std streams) error {
	site, err := deploy.Package()
	if err != nil {
		return err
	}
	list := []deploy.File{
		{Name: "usr/share/bash-completion/completions/ptiffstore", Content: []byte(completionOf("bash", "/usr/bin/ptiffstore"))},
		{Name: "usr/share/zsh/vendor-completions/_ptiffstore", Content: []byte(completionOf("zsh", "/usr/bin/ptiffstore"))},
		{Name: "usr/share/fish/vendor_completions.d/ptiffstore.fish", Content: []byte(completionOf("fish", "/usr/bin/ptiffstore"))},
	}
	for _, f := range site {
		folder := "usr/lib/systemd/system/"
		if ext := filepath.Ext(f.Name); ext == ".yaml" || ext == ".env" {
			folder = "etc/ptiffstore/"
		}
		list = append(list, deploy.File{Name: folder + f.Name, Content: f.Content})
	}
	for _, f := range manPages(newParser(&program{}).Model, c.Date) {
		list = append(list, deploy.File{Name: "usr/share/man/man1/" + f.Name, Content: f.Content})
	}
	for _, f := range list {
		path := filepath.Join(c.Out, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.Content, 0o644); err != nil {
			return err
		}
		fmt.Fprintln(std.out, path)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
