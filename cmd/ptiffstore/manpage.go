package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/slideatlas/ptiffstore/internal/deploy"
)

// manPages returns the manual pages of the program, ptiffstore.1 and one for each command,
// with their subcommands. Date is that of the release, such as 2027-01-15.
func manPages(app *kong.Application, date string) []deploy.File {
	title := func(name string) *roff {
		r := &roff{}
		fmt.Fprintf(&r.b, ".TH %s 1 \"%s\" \"%s\" \"ptiffstore manual\"\n", escape(strings.ToUpper(name)), date, escape("ptiffstore "+version))
		r.request("nh") // an identifier must not be hyphenated
		return r
	}
	main := title("ptiffstore")
	main.overview(app)
	files := []deploy.File{{Name: "ptiffstore.1", Content: main.bytes()}}
	for _, n := range app.Children {
		page := title("ptiffstore-" + n.Name)
		page.command(n)
		files = append(files, deploy.File{Name: "ptiffstore-" + n.Name + ".1", Content: page.bytes()})
	}
	return files
}

// A roff is a manual page in the macros of man(7).
type roff struct {
	b       strings.Builder
	heading bool // the last line is a heading, which begins a paragraph
}

func (r *roff) bytes() []byte { return []byte(r.b.String()) }

// request writes a request or macro with its arguments, which have no quotation marks.
func (r *roff) request(name string, args ...string) {
	r.heading = name == "SH" || name == "SS"
	r.b.WriteString("." + name)
	for _, a := range args {
		a = escape(a)
		if strings.Contains(a, " ") {
			a = `"` + a + `"`
		}
		r.b.WriteString(" " + a)
	}
	r.b.WriteByte('\n')
}

// lineBytes is the length at which lines of text are broken, as mandoc advises.
const lineBytes = 80

// text writes text, to be filled into lines. Fonts are set by bold and italic.
func (r *roff) text(escaped string) {
	line := ""
	for word := range strings.FieldsSeq(escaped) {
		if line != "" && len(line)+1+len(word) > lineBytes {
			r.line(line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	r.line(line)
}

// line writes a line of text as it is.
func (r *roff) line(escaped string) {
	if strings.HasPrefix(escaped, ".") || strings.HasPrefix(escaped, "'") {
		escaped = `\&` + escaped
	}
	r.heading = false
	r.b.WriteString(escaped + "\n")
}

// escape returns text in which no character has a meaning for roff, in ASCII.
func escape(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c == '\\':
			b.WriteString(`\e`)
		case c == '-':
			b.WriteString(`\-`)
		case c > 126:
			fmt.Fprintf(&b, `\[u%04X]`, c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

func bold(s string) string   { return `\fB` + escape(s) + `\fR` }
func italic(s string) string { return `\fI` + escape(s) + `\fR` }

// overview writes the page of the program.
func (r *roff) overview(app *kong.Application) {
	r.request("SH", "NAME")
	r.text(`ptiffstore \- whole\-slide image server`)
	r.request("SH", "SYNOPSIS")
	r.text(bold("ptiffstore") + " " + italic("command") + " [" + italic("arguments") + "] [" + italic("flags") + "]")
	r.request("SH", "DESCRIPTION")
	codes := r.detail(app.Help)
	r.request("SH", "COMMANDS")
	r.text("Each command has a manual page, such as " + bold("ptiffstore-serve") + "(1), and " + bold("--help") + ".")
	group := ""
	for _, n := range app.Children {
		if n.Group != nil && n.Group.Key != group {
			group = n.Group.Key
			r.request("SS", strings.TrimSuffix(n.Group.Title, ":"))
		}
		r.request("TP")
		r.text(bold("ptiffstore-"+n.Name) + "(1)")
		r.text(escape(n.Help))
	}
	r.request("SH", "OPTIONS")
	r.flags(app.Flags)
	r.exit(codes)
	r.request("SH", "ENVIRONMENT")
	r.text("Every flag of a process is also read from a variable that is named in its description. A flag has priority over the environment, the environment over the configuration file.")
	r.request("SH", "FILES")
	for _, f := range [][2]string{
		{"/etc/ptiffstore/ptiffstore.yaml", "Configuration of the service of the Debian and RPM packages. Other commands read it with --config."},
		{"/etc/ptiffstore/ptiffstore.env", "Environment of that service, for secrets."},
		{"/var/lib/ptiffstore", "Data directory of that service: catalog and image cache."},
		{"~/.local/share/ptiffstore", "Data directory without --data."},
	} {
		r.request("TP")
		r.text(italic(f[0]))
		r.text(escape(f[1]))
	}
	r.request("SH", "SEE ALSO")
	r.text("https://github.com/slideatlas/ptiffstore")
}

// command writes the page of a command, with its subcommands.
func (r *roff) command(n *kong.Node) {
	r.request("SH", "NAME")
	r.text(escape("ptiffstore-"+n.Name) + ` \- ` + escape(strings.TrimSuffix(n.Help, ".")))
	r.request("SH", "SYNOPSIS")
	leaves := n.Leaves(true)
	if len(n.Children) == 0 {
		leaves = []*kong.Node{n}
	}
	for i, leaf := range leaves {
		if i > 0 {
			r.request("br")
		}
		r.synopsis(leaf)
	}
	r.request("SH", "DESCRIPTION")
	if len(n.Children) == 0 {
		r.text(escape(n.Help))
		codes := r.detail(n.Detail)
		r.parts(n, "SH", strings.ToUpper)
		r.exit(codes)
	} else {
		r.text(escape(n.Help))
		for _, leaf := range leaves {
			r.request("SH", strings.ToUpper(leaf.FullPath()))
			r.text(escape(leaf.Help))
			if codes := r.detail(leaf.Detail); codes != "" {
				r.request("PP")
				r.text(escape(codes))
			}
			r.parts(leaf, "SS", strings.Clone)
		}
		r.exit("")
	}
	r.request("SH", "SEE ALSO")
	r.text(bold("ptiffstore") + "(1)")
}

// synopsis writes the usage of a command.
func (r *roff) synopsis(leaf *kong.Node) {
	line := bold(leaf.FullPath())
	for _, p := range leaf.Positional {
		line += " " + italic(p.Summary())
	}
	r.text(line + " [" + italic("flags") + "]")
}

// parts writes the arguments and flags of a command in sections of that level.
func (r *roff) parts(leaf *kong.Node, section string, heading func(string) string) {
	if len(leaf.Positional) > 0 {
		r.request(section, heading("Arguments"))
		for _, p := range leaf.Positional {
			r.request("TP")
			r.text(italic(p.Summary()))
			r.text(escape(p.Help))
		}
	}
	if len(leaf.Flags) > 0 {
		r.request(section, heading("Options"))
		r.flags(leaf.Flags)
	}
}

func (r *roff) flags(flags []*kong.Flag) {
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		name, value, has := strings.Cut(f.String(), "=")
		line := bold(name)
		if has {
			line += "=" + italic(strings.Trim(value, `"`))
		}
		help := escape(f.Help)
		if len(f.Envs) > 0 {
			help += " Environment: " + escape(strings.Join(f.Envs, ", ")) + "."
		}
		r.request("TP")
		r.text(line)
		r.text(help)
	}
}

// exit writes the exit codes, which are those of the program unless a command has others.
func (r *roff) exit(codes string) {
	r.request("SH", "EXIT STATUS")
	if codes == "" {
		r.text("0 success, 1 failure, 2 the file is broken or not a slide, 64 wrong usage.")
		return
	}
	codes = strings.TrimPrefix(codes, "Exit codes: ")
	for code := range strings.SplitSeq(strings.TrimSuffix(codes, "."), " · ") {
		number, meaning, _ := strings.Cut(code, " ")
		r.request("TP", "4")
		r.text(bold(number))
		r.text(escape(meaning) + ".")
	}
}

var examples = regexp.MustCompile(`^Examples?:$`)

// detail writes a help text: paragraphs, and indented lines as they are. It leaves out the
// paragraph of exit codes, which it returns.
func (r *roff) detail(text string) (codes string) {
	for _, p := range slices.DeleteFunc(strings.Split(text, "\n\n"), func(p string) bool { return strings.TrimSpace(p) == "" }) {
		switch {
		case strings.HasPrefix(p, "Exit codes: "):
			codes = p
		case examples.MatchString(p):
			r.request("PP")
			r.text(bold(p))
		case strings.HasPrefix(p, " "):
			r.request("PP")
			r.request("RS", "4")
			r.request("nf")
			for line := range strings.SplitSeq(p, "\n") {
				r.line(escape(strings.TrimSpace(line)))
			}
			r.request("fi")
			r.request("RE")
		default:
			if !r.heading {
				r.request("PP")
			}
			r.text(escape(p))
		}
	}
	return codes
}
