package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/slideatlas/ptiffstore/internal/account"
)

type userCmd struct {
	Add      userAddCmd      `cmd:"" help:"Add a user."`
	List     userListCmd     `cmd:"" help:"List the users."`
	Password userPasswordCmd `cmd:"" help:"Change the password of a user and end the user's sessions."`
	Remove   userRemoveCmd   `cmd:"" help:"Remove a user with sessions, API tokens and grants."`
	Set      userSetCmd      `cmd:"" help:"Rename, disable or enable a user, or make one an admin."`
}

type groupCmd struct {
	Add    groupAddCmd    `cmd:"" help:"Add a group."`
	Join   groupJoinCmd   `cmd:"" help:"Add a user to a group."`
	Leave  groupLeaveCmd  `cmd:"" help:"Remove a user from a group."`
	List   groupListCmd   `cmd:"" help:"List the groups, or the members of one."`
	Remove groupRemoveCmd `cmd:"" help:"Remove a group and its grants. Its users stay."`
	Set    groupSetCmd    `cmd:"" help:"Rename a group, or set its name at the OpenID Connect provider."`
}

// passwordCost is the cost of new hashes of passwords. It is 0, the default, except in tests.
var passwordCost account.PasswordCost

// people opens the accounts of a catalog, which must exist with all its tables.
func (p *databaseFlags) people(ctx context.Context) (*account.Accounts, error) {
	url, err := p.require(ctx, ledgers()...)
	if err != nil {
		return nil, err
	}
	return account.Open(ctx, url, account.Options{Password: passwordCost})
}

// withPeople opens the accounts, calls f, and writes the change that f made and its object
// to the audit log.
func (p *databaseFlags) withPeople(ctx context.Context, act string, f func(*account.Accounts) (object string, err error)) error {
	a, err := p.people(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	object, err := f(a)
	if err != nil {
		return err
	}
	return a.Audit.Record(ctx, byCommand(act, object))
}

// byCommand is an action of the command line, for the audit log.
func byCommand(act, object string) account.Event {
	return account.Event{Act: act, Object: object, From: "command line", Allowed: true, Detail: fmt.Sprintf("by the system's user %d", os.Geteuid())}
}

// findUser returns a user by id or by name.
func findUser(ctx context.Context, a *account.Accounts, name string) (*account.User, error) {
	u, err := a.Users.Get(ctx, name)
	if errors.Is(err, account.ErrNotFound) {
		u, err = a.Users.ByName(ctx, name)
	}
	if errors.Is(err, account.ErrNotFound) {
		return nil, fmt.Errorf("unknown user %q: see ptiffstore user list", name)
	}
	return u, err
}

func findGroup(ctx context.Context, a *account.Accounts, name string) (*account.Group, error) {
	g, err := a.Groups.Get(ctx, name)
	if errors.Is(err, account.ErrNotFound) {
		g, err = a.Groups.ByName(ctx, name)
	}
	if errors.Is(err, account.ErrNotFound) {
		return nil, fmt.Errorf("unknown group %q: see ptiffstore group list", name)
	}
	return g, err
}

// A passwordSource is where a new password comes from. The password itself is not a flag,
// since all users of the machine can see the arguments of a process.
type passwordSource struct {
	PasswordFile string `name:"password-file" placeholder:"FILE" help:"File with the password on one line; - for standard input. Default: a prompt."`
}

// read returns the password: from the file, from a prompt at a terminal, else from
// standard input.
func (p passwordSource) read(std streams) (string, error) {
	if std.in == nil && (p.PasswordFile == "" || p.PasswordFile == "-") {
		return "", errors.New("no password given: use --password-file FILE")
	}
	password, err := p.line(std)
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	return password, nil
}

func (p passwordSource) line(std streams) (string, error) {
	if p.PasswordFile != "" && p.PasswordFile != "-" {
		f, err := os.Open(p.PasswordFile)
		if err != nil {
			return "", err
		}
		defer f.Close()
		if exposed(p.PasswordFile) {
			fmt.Fprintf(std.err, "warning: every user of this host can read the password file: run chmod o= %s\n", p.PasswordFile)
		}
		return oneLine(f)
	}
	if f, ok := std.in.(*os.File); ok && p.PasswordFile == "" && term.IsTerminal(int(f.Fd())) {
		return prompt(f, std.err)
	}
	return oneLine(std.in)
}

// prompt asks for a password twice, without echo.
func prompt(f *os.File, to io.Writer) (string, error) {
	var words [2]string
	for i, question := range []string{"Password: ", "Repeat the password: "} {
		fmt.Fprint(to, question)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(to)
		if err != nil {
			return "", err
		}
		words[i] = string(b)
	}
	if words[0] != words[1] {
		return "", errors.New("the two passwords differ: try again")
	}
	return words[0], nil
}

// passwordBytes is the maximum length of the line with a password or token.
const passwordBytes = 4096

// oneLine returns the only line of a file with a secret.
func oneLine(r io.Reader) (string, error) {
	b := bufio.NewReader(io.LimitReader(r, passwordBytes))
	line, err := b.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	rest, err := io.ReadAll(b)
	switch {
	case err != nil:
		return "", err
	case line == "":
		return "", errors.New("the first line is empty")
	case len(rest) > 0 || len(line) == passwordBytes:
		return "", errors.New("the file has more than one line, or a very long one")
	}
	return line, nil
}

type userAddCmd struct {
	databaseFlags
	passwordSource
	Name        string `arg:"" help:"Name that the user logs in with."`
	DisplayName string `name:"display-name" help:"Display name."`
	Admin       bool   `help:"Make the user an admin, who may do everything."`
	NoPassword  bool   `name:"no-password" help:"Create a user that cannot log in, for programs that use API tokens."`
	JSON        bool   `help:"Print JSON."`
}

func (*userAddCmd) Help() string {
	return "Prints the id of the user. A password has at least 12 characters.\n\nExamples:\n\n  ptiffstore user add anna --admin\n  ptiffstore user add upload-robot --no-password"
}

// Run adds the user and prints the id.
func (c *userAddCmd) Run(ctx context.Context, std streams) error {
	if c.NoPassword && (c.Admin || c.PasswordFile != "") {
		return usage(errors.New("--no-password cannot be combined with --admin or --password-file"))
	}
	return c.withPeople(ctx, "user.add", func(a *account.Accounts) (string, error) {
		if _, err := a.Users.ByName(ctx, c.Name); err == nil { // before the user types a password
			return "", fmt.Errorf("user %q exists already: see ptiffstore user list", c.Name)
		}
		password := ""
		if !c.NoPassword {
			var err error
			if password, err = c.read(std); err != nil {
				return "", err
			}
		}
		u, err := a.Users.Add(ctx, account.User{Name: c.Name, DisplayName: c.DisplayName}, password)
		if err != nil {
			return "", err
		}
		if c.Admin {
			if _, err := a.Grants.Add(ctx, account.Grant{User: u.ID, Role: account.Admin}); err != nil {
				return "", err
			}
		}
		if c.JSON {
			return u.ID, printJSON(std, u)
		}
		_, err = fmt.Fprintln(std.out, u.ID)
		return u.ID, err
	})
}

type userListCmd struct {
	databaseFlags
	JSON bool `help:"Print JSON."`
}

func (*userListCmd) Help() string { return "Example:\n\n  ptiffstore user list" }

// Run prints a line for each user.
func (c *userListCmd) Run(ctx context.Context, std streams) error {
	a, err := c.people(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	users, err := allUsers(ctx, a)
	if err != nil {
		return err
	}
	if c.JSON {
		return printList(std, users)
	}
	return printUsers(std, users)
}

func allUsers(ctx context.Context, a *account.Accounts) ([]account.User, error) {
	users := []account.User{}
	for q := (account.UserQuery{Limit: 1000}); ; {
		page, next, err := a.Users.List(ctx, q)
		if err != nil {
			return nil, err
		}
		users = append(users, page...)
		if next == "" {
			return users, nil
		}
		q.Cursor = next
	}
}

func printUsers(std streams, users []account.User) error {
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSOURCE\tSTATE\tLAST LOGIN\tDISPLAY NAME")
	for _, u := range users {
		state := "enabled"
		switch {
		case u.Disabled:
			state = "disabled"
		case !u.HasPassword && u.Source == account.Local:
			state = "no password"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", u.ID, u.Name, u.Source, state, ago(u.LastLoginAt), u.DisplayName)
	}
	return w.Flush()
}

func printList[T any](std streams, items []T) error {
	return printJSON(std, map[string]any{"items": items, "next_cursor": nil})
}

type userSetCmd struct {
	databaseFlags
	User        string  `arg:"" help:"Name or id of the user."`
	Name        *string `help:"New name."`
	DisplayName *string `name:"display-name" help:"Display name."`
	Disabled    *bool   `negatable:"" help:"Disable the user: sessions end, API tokens are refused."`
	Admin       *bool   `negatable:"" help:"Make the user an admin, who may do everything."`
	JSON        bool    `help:"Print JSON."`
}

func (*userSetCmd) Help() string {
	return "Settings that are not given stay as they are.\n\nExamples:\n\n  ptiffstore user set anna --disabled\n  ptiffstore user set bert --no-admin"
}

// Run changes the user.
func (c *userSetCmd) Run(ctx context.Context, std streams) error {
	if c.Name == nil && c.DisplayName == nil && c.Disabled == nil && c.Admin == nil {
		return &exitError{exitUsage, errors.New("nothing to change: use --name, --display-name, --disabled or --admin")}
	}
	return c.withPeople(ctx, "user.set", func(a *account.Accounts) (string, error) {
		u, err := findUser(ctx, a, c.User)
		if err != nil {
			return "", err
		}
		if c.Admin != nil {
			if err := setAdmin(ctx, a, u.ID, *c.Admin); err != nil {
				return "", err
			}
		}
		if c.Admin != nil && !*c.Admin {
			if err := sayAdminGroups(ctx, a, u, std); err != nil {
				return "", err
			}
		}
		u, err = a.Users.Update(ctx, u.ID, func(u *account.User) error {
			replace(&u.Name, c.Name)
			replace(&u.DisplayName, c.DisplayName)
			replace(&u.Disabled, c.Disabled)
			return nil
		})
		if err != nil {
			return "", err
		}
		if c.JSON {
			return u.ID, printJSON(std, u)
		}
		return u.ID, nil
	})
}

// replace sets the fields of the flags that were given.
func replace[T any](to, given *T) {
	if given != nil {
		*to = *given
	}
}

// setAdmin adds or removes the grant that makes a user an admin.
func setAdmin(ctx context.Context, a *account.Accounts, user string, admin bool) error {
	if admin {
		_, err := a.Grants.Add(ctx, account.Grant{User: user, Role: account.Admin})
		return err
	}
	grants, err := a.Grants.List(ctx, account.GrantFilter{User: user})
	if err != nil {
		return err
	}
	for _, g := range grants {
		if g.Role == account.Admin && g.Store == "" && g.Image == "" {
			return a.Grants.Delete(ctx, g.ID)
		}
	}
	return nil
}

// sayAdminGroups prints the groups through which a user is still an admin.
func sayAdminGroups(ctx context.Context, a *account.Accounts, u *account.User, std streams) error {
	grants, err := a.Grants.List(ctx, account.GrantFilter{})
	if err != nil {
		return err
	}
	for _, g := range grants {
		if g.Role != account.Admin || g.Group == "" || g.Store != "" || g.Image != "" {
			continue
		}
		members, err := a.Groups.Members(ctx, g.Group)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(members, func(m account.User) bool { return m.ID == u.ID }) {
			continue
		}
		group, err := a.Groups.Get(ctx, g.Group)
		if err != nil {
			return err
		}
		fmt.Fprintf(std.err, "%s is still an admin through group %s: to change that, run ptiffstore group leave %s %s\n", u.Name, group.Name, group.Name, u.Name)
	}
	return nil
}

type userRemoveCmd struct {
	databaseFlags
	User string `arg:"" help:"Name or id of the user."`
}

func (*userRemoveCmd) Help() string {
	return "The audit log keeps the user's id. To lock a user out temporarily, disable the user.\n\nExample:\n\n  ptiffstore user remove anna"
}

// Run removes the user.
func (c *userRemoveCmd) Run(ctx context.Context) error {
	return c.withPeople(ctx, "user.remove", func(a *account.Accounts) (string, error) {
		u, err := findUser(ctx, a, c.User)
		if err != nil {
			return "", err
		}
		return u.ID, a.Users.Delete(ctx, u.ID)
	})
}

type userPasswordCmd struct {
	databaseFlags
	passwordSource
	User         string `arg:"" help:"Name or id of the user."`
	RevokeTokens bool   `name:"revoke-tokens" help:"Also revoke all API tokens of the user."`
}

func (*userPasswordCmd) Help() string {
	return "API tokens stay unless --revoke-tokens is given.\n\nExamples:\n\n  ptiffstore user password anna\n  ptiffstore user password anna --revoke-tokens\n  pwgen -s 20 1 | tee /dev/tty | ptiffstore user password anna --password-file -"
}

// Run changes the password.
func (c *userPasswordCmd) Run(ctx context.Context, std streams) error {
	return c.withPeople(ctx, "user.password", func(a *account.Accounts) (string, error) {
		u, err := findUser(ctx, a, c.User)
		if err != nil {
			return "", err
		}
		password, err := c.read(std)
		if err != nil {
			return "", err
		}
		if c.RevokeTokens {
			return u.ID, a.Users.SetPasswordRevokingTokens(ctx, u.ID, password)
		}
		return u.ID, a.Users.SetPassword(ctx, u.ID, password)
	})
}

type groupAddCmd struct {
	databaseFlags
	Name     string `arg:"" help:"Name of the group."`
	External string `help:"Name of a group at the OpenID Connect provider; its members become members of this group."`
	JSON     bool   `help:"Print JSON."`
}

func (*groupAddCmd) Help() string {
	return "Prints the id of the group.\n\nExamples:\n\n  ptiffstore group add pathologists\n  ptiffstore group add students --external med-students"
}

// Run adds the group and prints its id.
func (c *groupAddCmd) Run(ctx context.Context, std streams) error {
	return c.withPeople(ctx, "group.add", func(a *account.Accounts) (string, error) {
		g, err := a.Groups.Add(ctx, account.Group{Name: c.Name, External: c.External})
		if err != nil {
			return "", err
		}
		if c.JSON {
			return g.ID, printJSON(std, g)
		}
		_, err = fmt.Fprintln(std.out, g.ID)
		return g.ID, err
	})
}

type groupListCmd struct {
	databaseFlags
	Group string `arg:"" optional:"" help:"Name or id of a group, to list its members."`
	JSON  bool   `help:"Print JSON."`
}

func (*groupListCmd) Help() string {
	return "Examples:\n\n  ptiffstore group list\n  ptiffstore group list pathologists"
}

// Run prints a line for each group, or for each member of one.
func (c *groupListCmd) Run(ctx context.Context, std streams) error {
	a, err := c.people(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	if c.Group != "" {
		return c.members(ctx, a, std)
	}
	groups, err := a.Groups.List(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printList(std, groups)
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tMEMBERS\tEXTERNAL")
	for _, g := range groups {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", g.ID, g.Name, g.Members, g.External)
	}
	return w.Flush()
}

func (c *groupListCmd) members(ctx context.Context, a *account.Accounts, std streams) error {
	g, err := findGroup(ctx, a, c.Group)
	if err != nil {
		return err
	}
	users, err := a.Groups.Members(ctx, g.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		return printList(std, users)
	}
	return printUsers(std, users)
}

type groupSetCmd struct {
	databaseFlags
	Group    string  `arg:"" help:"Name or id of the group."`
	Name     *string `help:"New name."`
	External *string `help:"Name of the group at the OpenID Connect provider; empty for none."`
	JSON     bool    `help:"Print JSON."`
}

func (*groupSetCmd) Help() string {
	return "Settings that are not given stay as they are.\n\nExample:\n\n  ptiffstore group set students --external med-students"
}

// Run changes the group.
func (c *groupSetCmd) Run(ctx context.Context, std streams) error {
	if c.Name == nil && c.External == nil {
		return &exitError{exitUsage, errors.New("nothing to change: use --name or --external")}
	}
	return c.withPeople(ctx, "group.set", func(a *account.Accounts) (string, error) {
		g, err := findGroup(ctx, a, c.Group)
		if err != nil {
			return "", err
		}
		g, err = a.Groups.Update(ctx, g.ID, func(g *account.Group) error {
			replace(&g.Name, c.Name)
			replace(&g.External, c.External)
			return nil
		})
		if err != nil {
			return "", err
		}
		if c.JSON {
			return g.ID, printJSON(std, g)
		}
		return g.ID, nil
	})
}

type groupRemoveCmd struct {
	databaseFlags
	Group string `arg:"" help:"Name or id of the group."`
}

func (*groupRemoveCmd) Help() string { return "Example:\n\n  ptiffstore group remove students" }

// Run removes the group.
func (c *groupRemoveCmd) Run(ctx context.Context) error {
	return c.withPeople(ctx, "group.remove", func(a *account.Accounts) (string, error) {
		g, err := findGroup(ctx, a, c.Group)
		if err != nil {
			return "", err
		}
		return g.ID, a.Groups.Delete(ctx, g.ID)
	})
}

// A membership is a group and a user.
type membership struct {
	Group string `arg:"" help:"Name or id of the group."`
	User  string `arg:"" help:"Name or id of the user."`
}

func (m *membership) find(ctx context.Context, a *account.Accounts) (*account.Group, *account.User, error) {
	g, err := findGroup(ctx, a, m.Group)
	if err != nil {
		return nil, nil, err
	}
	u, err := findUser(ctx, a, m.User)
	return g, u, err
}

type groupJoinCmd struct {
	databaseFlags
	membership
}

func (*groupJoinCmd) Help() string { return "Example:\n\n  ptiffstore group join pathologists anna" }

// Run puts the user into the group.
func (c *groupJoinCmd) Run(ctx context.Context) error {
	return c.withPeople(ctx, "group.join", func(a *account.Accounts) (string, error) {
		g, u, err := c.find(ctx, a)
		if err != nil {
			return "", err
		}
		return g.ID + " " + u.ID, a.Groups.AddMember(ctx, g.ID, u.ID)
	})
}

type groupLeaveCmd struct {
	databaseFlags
	membership
}

func (*groupLeaveCmd) Help() string {
	return "Users whose membership comes from the OpenID Connect provider rejoin at their next login.\n\nExample:\n\n  ptiffstore group leave pathologists anna"
}

// Run takes the user out of the group.
func (c *groupLeaveCmd) Run(ctx context.Context) error {
	return c.withPeople(ctx, "group.leave", func(a *account.Accounts) (string, error) {
		g, u, err := c.find(ctx, a)
		if err != nil {
			return "", err
		}
		err = a.Groups.RemoveMember(ctx, g.ID, u.ID)
		if errors.Is(err, account.ErrNotFound) {
			err = fmt.Errorf("%s is not in the group %s", u.Name, g.Name)
		}
		return g.ID + " " + u.ID, err
	})
}
