package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/slideatlas/ptiffstore/internal/config"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Check the configuration file."`
	Show  configShowCmd  `cmd:"" help:"Print the settings in force and their origins."`
}

type configCheckCmd struct {
	File string `arg:"" optional:"" help:"Configuration file. Default: that of --config."`
	JSON bool   `help:"Print JSON."`
}

func (*configCheckCmd) Help() string {
	return "Prints every problem with its line and how to fix it. Warnings concern what may be right on another host or later, such as a missing folder. Exits with 2 if the file is invalid.\n\nExample:\n\n  ptiffstore config check /etc/ptiffstore/north.yaml"
}

// Run checks the file and prints the findings.
func (c *configCheckCmd) Run(p *program, std streams) error {
	path := c.File
	if path == "" {
		path = p.Config
	}
	if path == "" {
		return &exitError{exitUsage, errors.New("no configuration file given: use ptiffstore config check FILE, or --config FILE")}
	}
	parser := newParser(&program{})
	keys := keysOf(parser.Model)
	file, list, err := config.Read(path, schema(keys))
	if err != nil {
		return err
	}
	if list.Err() == nil {
		list = append(list, checkModes(file, keys)...)
		list = append(list, checkFolders(file, keys)...)
	}
	if c.JSON {
		if list == nil {
			list = config.Findings{}
		}
		err = printJSON(std, map[string]any{"file": file.Path, "usable": list.Err() == nil, "findings": list})
	} else {
		err = c.print(std, file, list)
	}
	if err == nil && list.Err() != nil {
		return &exitError{exitFile, fmt.Errorf("%s is invalid", path)}
	}
	return err
}

func (c *configCheckCmd) print(std streams, file *config.File, list config.Findings) error {
	for _, f := range list {
		fmt.Fprintln(std.out, f)
	}
	if list.Err() != nil {
		return nil
	}
	stores := "no stores are provisioned"
	if file.Provisions {
		stores = fmt.Sprintf("stores provisioned: %d; stores removed from the file stay in the catalog", len(file.Stores))
	}
	_, err := fmt.Fprintf(std.out, "%s: valid; %s\n", file.Path, stores)
	return err
}

// checkModes checks the settings of each mode that the file has settings for, with the
// environment.
func checkModes(file *config.File, keys []key) config.Findings {
	var list config.Findings
	for _, mode := range modes {
		if mode != modes[0] && !file.Has(mode) {
			continue
		}
		p := &program{}
		_, err := newParser(p, kong.Exit(func(int) {}), kong.Bind(&configFile{file: file})).Parse([]string{mode})
		errs := []error{err}
		if err == nil {
			errs = p.check(mode)
		}
		for _, err := range errs {
			if err != nil {
				list = append(list, asFinding(file, keys, mode, err))
			}
		}
	}
	return list
}

// check returns which settings of a mode are invalid or contradict each other.
func (p *program) check(mode string) []error {
	switch mode {
	case "serve":
		_, viewers := p.Serve.viewers()
		return []error{p.Serve.checkListen(), p.Serve.debugFlags.check(), p.Serve.workerFlags.check(), viewers}
	case "tileserver":
		return []error{p.Tileserver.checkListen(), p.Tileserver.debugFlags.check()}
	}
	return []error{p.Worker.debugFlags.check(), p.Worker.workerFlags.check()}
}

// asFinding returns an error with the line of the file that gives its flag, if any does.
func asFinding(file *config.File, keys []key, mode string, err error) config.Finding {
	f := config.Finding{File: file.Path, Problem: "with " + mode + ": " + err.Error()}
	e, ok := errors.AsType[*flagError](err)
	if !ok {
		return f
	}
	if i := slices.IndexFunc(keys, func(k key) bool { return k.flag.Name == e.flag }); i >= 0 {
		f.Key = keys[i].Name
		if v, ok := file.Value(mode, f.Key); ok {
			f.Key, f.Line = v.Key, v.Line
		}
	}
	return f
}

// checkFolders warns of files and folders that do not exist.
func checkFolders(file *config.File, keys []key) config.Findings {
	var list config.Findings
	for _, mode := range modes {
		for _, f := range missingFiles(file, keys, mode) {
			f.Warning = true
			if !slices.Contains(list, f) {
				list = append(list, f)
			}
		}
	}
	for i := range file.Stores {
		list = append(list, checkRoots(file, &file.Stores[i])...)
	}
	return list
}

// checkRoots warns of missing folders of a store, if it is this host's.
func checkRoots(file *config.File, s *config.Store) config.Findings {
	host, _ := s.Fields["host"].V.(string)
	if own := (&workerFlags{}).host(); host != "" && host != own {
		return nil
	}
	var list config.Findings
	for _, field := range []string{"root", "incoming"} {
		v, ok := s.Fields[field]
		path, _ := v.V.(string)
		if !ok || path == "" {
			continue
		}
		f := config.Finding{File: file.Path, Line: v.Line, Key: v.Key, Warning: true}
		managed := s.Fields["mode"].V == "managed"
		switch info, err := os.Stat(path); {
		case errors.Is(err, os.ErrNotExist) && managed:
			if _, err := os.Stat(filepath.Dir(path)); err == nil {
				continue // it will be created
			}
			f.Problem, f.Fix = path+" cannot be created: its parent folder does not exist", "Create or mount the parent folder"
		case err != nil:
			f.Problem, f.Fix = "cannot use "+path+": "+fsx.WithoutPath(err).Error(), "Create or mount it, or correct the path"
		case !info.IsDir():
			f.Problem, f.Fix = path+" is not a folder", "Write the folder of the slides"
		default:
			continue
		}
		list = append(list, f)
	}
	return list
}

type configShowCmd struct {
	JSON bool     `help:"Print JSON."`
	Mode string   `arg:"" optional:"" enum:"serve,tileserver,worker," default:"" help:"serve, tileserver or worker. Default: serve."`
	Args []string `arg:"" optional:"" passthrough:"" help:"Flags of that mode."`
}

func (*configShowCmd) Help() string {
	return "Prints the settings of a mode as they would be if it were started here and now, with the configuration file, the environment and the given flags. Passwords are hidden. Settings of stores that are not in the file are in the catalog: ptiffstore store show.\n\nExample:\n\n  ptiffstore config show --config /etc/ptiffstore/north.yaml\n  ptiffstore config show worker --queue verify=1"
}

// Run prints the settings.
func (c *configShowCmd) Run(p *program, outer *configFile, std streams) error {
	mode, args := c.Mode, []string(nil)
	if mode == "" {
		mode = modes[0]
	} else { // unlike Args, these still have --flag=value as written
		args = outer.args[slices.Index(outer.args, "show"):]
		args = args[slices.Index(args, mode)+1:]
	}
	site := &configFile{}
	parser := newParser(&program{}, kong.Exit(func(int) {}), kong.Bind(site))
	if p.Config != "" {
		if err := site.read(p.Config, parser.Model); err != nil {
			return err
		}
	}
	ctx, err := parser.Parse(append([]string{mode}, args...))
	if err != nil {
		return usage(err)
	}
	list := inForce(ctx, site)
	if c.JSON {
		return printJSON(std, map[string]any{"mode": mode, "settings": list, "stores": provisionedFields(site.file)})
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tVALUE\tORIGIN\tWHERE")
	for _, s := range append(list, provisionedFields(site.file)...) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Key, cell(s.Value), s.Origin, s.Where)
	}
	return w.Flush()
}

// usage gives an error of the command line its exit code, unless it has one.
func usage(err error) error {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e
	}
	return &exitError{exitUsage, err}
}

// cell returns a value for a table.
func cell(v any) string {
	switch v := v.(type) {
	case []string:
		return strings.Join(v, ", ")
	case string:
		return printable(v)
	}
	return fmt.Sprint(v)
}

// provisionedFields returns the settings of the stores that the file provisions.
func provisionedFields(file *config.File) []setting {
	list := []setting{}
	if file == nil {
		return list
	}
	for _, s := range file.Stores {
		for _, k := range storeKeys() {
			if v, ok := s.Fields[k.Name]; ok {
				list = append(list, setting{
					Key: "stores." + s.Name + "." + k.Name, Value: v.V, Origin: fromFile, Where: fmt.Sprintf("%s:%d", file.Path, v.Line), Live: true,
				})
			}
		}
	}
	return list
}
