package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/slideatlas/ptiffstore/internal/config"
	"github.com/slideatlas/ptiffstore/internal/fsx"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Say what is wrong with a site's file, with line and mend."`
	Show  configShowCmd  `cmd:"" help:"Print the settings in force, and where each comes from."`
}

type configCheckCmd struct {
	File string `arg:"" optional:"" help:"The file. Default: that of --config."`
	JSON bool   `help:"Print JSON."`
}

func (*configCheckCmd) Help() string {
	return "Prints all findings, not the first alone. Warnings are of what may be right elsewhere or later, such as a folder that is not there. Exits with 2 if the file can't be used as it is.\n\nExample:\n\n  ptiffstore config check /etc/ptiffstore/north.yaml"
}

// Run checks the file and prints what it found.
func (c *configCheckCmd) Run(p *program, std streams) error {
	path := c.File
	if path == "" {
		path = string(p.Config)
	}
	if path == "" {
		return &exitError{exitUsage, errors.New("which file? ptiffstore config check FILE, or --config FILE")}
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
		return &exitError{exitFile, fmt.Errorf("%s can't be used as it is", path)}
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
	stores := "it says nothing of stores"
	if file.Declares {
		stores = fmt.Sprintf("%d stores are declared; those that it no longer declares stay in the catalog until they are removed there", len(file.Stores))
	}
	_, err := fmt.Fprintf(std.out, "%s: can be used; %s\n", file.Path, stores)
	return err
}

// checkModes asks each mode that the file is for whether its settings go together, with
// what the environment says beside the file.
func checkModes(file *config.File, keys []key) config.Findings {
	var list config.Findings
	for _, mode := range modes {
		if mode != modes[0] && !slices.ContainsFunc(keys, func(k key) bool { v, ok := file.Value(mode, k.Name); return ok && strings.HasPrefix(v.Key, mode+".") }) {
			continue
		}
		p := &program{}
		err := parseMode(p, file, mode, nil)
		if err == nil {
			err = p.check(mode)
		}
		if err != nil {
			list = append(list, asFinding(file, keys, mode, err))
		}
	}
	return list
}

// parseMode parses a command line with what the file says.
func parseMode(p *program, file *config.File, mode string, args []string) error {
	_, err := contextOf(p, file, mode, args)
	return err
}

func contextOf(p *program, file *config.File, mode string, args []string) (*kong.Context, error) {
	options := []kong.Option{kong.Exit(func(int) {}), kong.Bind(&siteFile{})}
	if file != nil {
		options = append(options, kong.Resolvers(&siteFile{file: file}))
	}
	return newParser(p, options...).Parse(append([]string{mode}, args...))
}

// check says what of the settings of a mode does not go together.
func (p *program) check(mode string) error {
	switch mode {
	case "serve":
		return errors.Join(p.Serve.checkListen(), p.Serve.working.check())
	case "tileserver":
		return p.Tileserver.checkListen()
	}
	return p.Worker.working.check()
}

var flagName = regexp.MustCompile(`--([a-z][a-z-]*[a-z])`)

// asFinding says where in the file the flag stands that an error is about.
func asFinding(file *config.File, keys []key, mode string, err error) config.Finding {
	f := config.Finding{File: file.Path, What: "with " + mode + ": " + strings.TrimSuffix(err.Error(), ".")}
	for _, m := range flagName.FindAllStringSubmatch(err.Error(), -1) {
		i := slices.IndexFunc(keys, func(k key) bool { return k.flag.Name == m[1] })
		if i < 0 {
			continue
		}
		if f.Key == "" {
			f.Key = keys[i].Name
		}
		if v, ok := file.Value(mode, keys[i].Name); ok {
			f.Key, f.Line = v.Key, v.Line
			break
		}
	}
	return f
}

// checkFolders warns of what is not there.
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

// checkRoots warns of a store's folders, if they are this host's.
func checkRoots(file *config.File, s *config.Store) config.Findings {
	host, _ := s.Fields["host"].V.(string)
	if own := (&working{}).host(); host != "" && host != own {
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
				continue // it will be made
			}
			f.What, f.Mend = "names "+path+", which is not there, nor is the folder that it would be made in", "Mount or make that one"
		case err != nil:
			f.What, f.Mend = "names "+path+", which can't be looked at: "+fsx.WithoutPath(err).Error(), "Mount or make it, or write another"
		case !info.IsDir():
			f.What, f.Mend = "names "+path+", which is no folder", "Write the folder that the slides are in"
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
	Args []string `arg:"" optional:"" passthrough:"" help:"Flags that it would be started with."`
}

func (*configShowCmd) Help() string {
	return "What a mode would do if it were started here and now: with the file of --config, the environment, and the flags that follow. Passwords are hidden. The settings of stores that are not in the file are in the catalog: ptiffstore store show.\n\nExample:\n\n  ptiffstore config show --config /etc/ptiffstore/north.yaml\n  ptiffstore config show worker --queue verify=1"
}

// Run prints the settings.
func (c *configShowCmd) Run(p *program, outer *siteFile, std streams) error {
	mode, args := c.Mode, []string(nil)
	if mode == "" {
		mode = modes[0]
	} else { // as they were written: the parser has taken --flag=value apart in Args
		args = outer.args[slices.Index(outer.args, "show"):]
		args = args[slices.Index(args, mode)+1:]
	}
	site := &siteFile{}
	if p.Config != "" {
		if err := site.read(string(p.Config), newParser(&program{}).Model); err != nil {
			return asExit(err)
		}
	}
	ctx, err := contextOf(&program{}, site.file, mode, args)
	if err != nil {
		return asExit(err)
	}
	list := inForce(ctx, site.file)
	if c.JSON {
		return printJSON(std, map[string]any{"mode": mode, "settings": list, "stores": declaredFields(site.file)})
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tVALUE\tORIGIN\tWHERE")
	for _, s := range append(list, declaredFields(site.file)...) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Key, cell(s.Value), s.Origin, s.Where)
	}
	return w.Flush()
}

// asExit gives an error of a site's file its exit code.
func asExit(err error) error {
	if e, ok := errors.AsType[*siteError](err); ok {
		return &exitError{e.code(), e}
	}
	return &exitError{exitUsage, err}
}

// cell is a value in a table.
func cell(v any) string {
	switch v := v.(type) {
	case []string:
		return strings.Join(v, ", ")
	case string:
		return printable(v)
	}
	return fmt.Sprint(v)
}

// declaredFields are the settings of the stores that the file declares.
func declaredFields(file *config.File) []setting {
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
