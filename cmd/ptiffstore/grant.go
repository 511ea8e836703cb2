package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
	"github.com/slideatlas/ptiffstore/internal/catalog"
)

type tokenCmd struct {
	Add    tokenAddCmd    `cmd:"" help:"Create an API token and print it once."`
	List   tokenListCmd   `cmd:"" help:"List API tokens (without their secrets)."`
	Remove tokenRemoveCmd `cmd:"" help:"Revoke an API token."`
}

type grantCmd struct {
	Add    grantAddCmd    `cmd:"" help:"Grant a role to a user or group, for a store, an image or everything."`
	List   grantListCmd   `cmd:"" help:"List grants."`
	Remove grantRemoveCmd `cmd:"" help:"Remove a grant."`
}

type tokenAddCmd struct {
	databaseFlags
	User    string          `required:"" help:"Name or id of the user whose permissions the token has."`
	Scope   []account.Scope `default:"tiles" help:"What the token may be used for: tiles, label, file, write or admin; can be repeated."`
	Expires string          `placeholder:"TIME" help:"When the token expires: after a time such as 90d or 12h, or on a day such as 2030-12-31. Default: never."`
	Label   string          `help:"Description."`
	JSON    bool            `help:"Print JSON."`
}

func (*tokenAddCmd) Help() string {
	return "Prints the token, which is not stored: if it is lost, create another one. It has the permissions of its user, within its scopes.\n\nExample:\n\n  ptiffstore token add --user upload-robot --scope write --expires 90d --label 'scanner 1'"
}

// Run creates the token and prints it.
func (c *tokenAddCmd) Run(ctx context.Context, std streams) error {
	ends, err := parseEnd(c.Expires, time.Now())
	if err != nil {
		return err
	}
	return c.withPeople(ctx, "token.add", func(a *account.Accounts) (string, error) {
		u, err := findUser(ctx, a, c.User)
		if err != nil {
			return "", err
		}
		secret, k, err := a.Tokens.Add(ctx, account.Token{User: u.ID, Label: c.Label, Scopes: c.Scope, ExpiresAt: ends})
		if err != nil {
			return "", err
		}
		if c.JSON {
			return k.ID, printJSON(std, struct {
				*account.Token
				Secret string `json:"secret"`
			}{k, secret})
		}
		_, err = fmt.Fprintln(std.out, secret)
		return k.ID, err
	})
}

// parseEnd parses an expiry time; nil is never.
func parseEnd(s string, now time.Time) (*time.Time, error) {
	if s == "" {
		return nil, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 100000 {
			t := now.AddDate(0, 0, n)
			return &t, nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		t := now.Add(d)
		return &t, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return &t, nil
		}
	}
	return nil, usage(fmt.Errorf("--expires %q is not a time such as 90d or 12h, or a day such as 2030-12-31", s))
}

type tokenListCmd struct {
	databaseFlags
	User string `help:"Only tokens of this user: name or id."`
	JSON bool   `help:"Print JSON."`
}

func (*tokenListCmd) Help() string { return "Example:\n\n  ptiffstore token list --user upload-robot" }

// Run prints a line for each token.
func (c *tokenListCmd) Run(ctx context.Context, std streams) error {
	a, err := c.people(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	user := ""
	if c.User != "" {
		u, err := findUser(ctx, a, c.User)
		if err != nil {
			return err
		}
		user = u.ID
	}
	tokens, err := a.Tokens.List(ctx, user)
	if err != nil {
		return err
	}
	if c.JSON {
		return printList(std, tokens)
	}
	names, err := subjects(ctx, a)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tUSER\tSCOPES\tEXPIRES\tLAST USED\tLABEL")
	for _, k := range tokens {
		ends := "never"
		if k.ExpiresAt != nil {
			ends = k.ExpiresAt.Local().Format("2006-01-02 15:04")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, names[k.User], joined(k.Scopes), ends, ago(k.LastUsedAt), k.Label)
	}
	return w.Flush()
}

func joined(scopes []account.Scope) string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return strings.Join(words, ",")
}

// subjects returns the names of users and groups by their ids.
func subjects(ctx context.Context, a *account.Accounts) (map[string]string, error) {
	users, err := allUsers(ctx, a)
	if err != nil {
		return nil, err
	}
	groups, err := a.Groups.List(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, u := range users {
		names[u.ID] = u.Name
	}
	for _, g := range groups {
		names[g.ID] = "group " + g.Name
	}
	return names, nil
}

type tokenRemoveCmd struct {
	databaseFlags
	Token string `arg:"" help:"Id of the token, not the token itself."`
}

func (*tokenRemoveCmd) Help() string {
	return "Running servers refuse it within seconds.\n\nExample:\n\n  ptiffstore token remove 4k6yb3vxvkzq7m5gpjw2hdcfsa"
}

// Run removes the token.
func (c *tokenRemoveCmd) Run(ctx context.Context) error {
	if strings.HasPrefix(c.Token, account.TokenPrefix) {
		return usage(errors.New("this is the token itself, which is now in the shell's history: use its id, see ptiffstore token list"))
	}
	return c.withPeople(ctx, "token.remove", func(a *account.Accounts) (string, error) {
		err := a.Tokens.Delete(ctx, c.Token)
		if errors.Is(err, account.ErrNotFound) {
			err = fmt.Errorf("unknown token %q: see ptiffstore token list", c.Token)
		}
		return c.Token, err
	})
}

// A subject is a user or a group.
type subject struct {
	User  string `xor:"subject" help:"Name or id of a user."`
	Group string `xor:"subject" help:"Name or id of a group."`
}

// A grantObject is a store or an image.
type grantObject struct {
	Store string `xor:"object" help:"Id, label or folder of a store."`
	Image string `xor:"object" help:"Id of an image."`
}

// ids returns the ids of the named object.
func (s *subject) ids(ctx context.Context, a *account.Accounts) (user, group string, err error) {
	if s.User != "" {
		u, err := findUser(ctx, a, s.User)
		if err != nil {
			return "", "", err
		}
		user = u.ID
	}
	if s.Group != "" {
		g, err := findGroup(ctx, a, s.Group)
		if err != nil {
			return "", "", err
		}
		group = g.ID
	}
	return user, group, nil
}

func (o *grantObject) ids(ctx context.Context, c *catalog.Catalog) (store, image string, err error) {
	if o.Store != "" {
		s, err := findStore(ctx, c, o.Store)
		if err != nil {
			return "", "", err
		}
		store = s.ID
	}
	if o.Image != "" {
		im, err := c.Images.Get(ctx, o.Image)
		if errors.Is(err, catalog.ErrNotFound) {
			err = fmt.Errorf("unknown image %q", o.Image)
		}
		if err != nil {
			return "", "", err
		}
		image = im.ID
	}
	return store, image, nil
}

type grantAddCmd struct {
	databaseFlags
	subject
	Role account.Role `required:"" enum:"viewer,reader,downloader,contributor,admin" help:"viewer (tiles), reader (and labels), downloader (and original files), contributor (and uploads, sync) or admin."`
	grantObject
	Everything bool `xor:"object" help:"All stores, including future ones."`
	JSON       bool `help:"Print JSON."`
}

func (*grantAddCmd) Help() string {
	return "Prints the id of the grant. A grant that exists already stays as it is.\n\nExamples:\n\n  ptiffstore grant add --group pathologists --role reader --store 'Scanner 1'\n  ptiffstore grant add --user anna --role admin --everything"
}

// Run adds the grant and prints its id.
func (c *grantAddCmd) Run(ctx context.Context, std streams) error {
	switch {
	case c.User == "" && c.Group == "":
		return usage(errors.New("no subject: use --user or --group"))
	case c.Store == "" && c.Image == "" && !c.Everything:
		return usage(errors.New("no object: use --store, --image or --everything"))
	}
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	return c.withPeople(ctx, "grant.add", func(a *account.Accounts) (string, error) {
		g := account.Grant{Role: c.Role}
		var err error
		if g.User, g.Group, err = c.subject.ids(ctx, a); err != nil {
			return "", err
		}
		if g.Store, g.Image, err = c.grantObject.ids(ctx, cat); err != nil {
			return "", err
		}
		made, err := a.Grants.Add(ctx, g)
		if err != nil {
			return "", err
		}
		if c.JSON {
			return made.ID, printJSON(std, made)
		}
		_, err = fmt.Fprintln(std.out, made.ID)
		return made.ID, err
	})
}

type grantListCmd struct {
	databaseFlags
	subject
	grantObject
	JSON bool `help:"Print JSON."`
}

func (*grantListCmd) Help() string {
	return "Examples:\n\n  ptiffstore grant list\n  ptiffstore grant list --group pathologists"
}

// Run prints a line for each grant.
func (c *grantListCmd) Run(ctx context.Context, std streams) error {
	cat, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	a, err := c.people(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	var f account.GrantFilter
	if f.User, f.Group, err = c.subject.ids(ctx, a); err != nil {
		return err
	}
	if f.Store, f.Image, err = c.grantObject.ids(ctx, cat); err != nil {
		return err
	}
	grants, err := a.Grants.List(ctx, f)
	if err != nil {
		return err
	}
	if c.JSON {
		return printList(std, grants)
	}
	return printGrants(ctx, std, a, cat, grants)
}

func printGrants(ctx context.Context, std streams, a *account.Accounts, cat *catalog.Catalog, grants []account.Grant) error {
	names, err := subjects(ctx, a)
	if err != nil {
		return err
	}
	stores, err := cat.Stores.List(ctx)
	if err != nil {
		return err
	}
	labels := map[string]string{}
	for _, s := range stores {
		labels[s.ID] = s.Label
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tWHO\tROLE\tFOR")
	for _, g := range grants {
		object := "everything"
		switch {
		case g.Store != "":
			object = strings.TrimSpace("store " + g.Store + " " + labels[g.Store])
		case g.Image != "":
			object = "image " + g.Image
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", g.ID, names[g.User+g.Group], g.Role, object)
	}
	return w.Flush()
}

type grantRemoveCmd struct {
	databaseFlags
	Grant string `arg:"" help:"Id of the grant."`
}

func (*grantRemoveCmd) Help() string {
	return "Running servers apply the change within seconds.\n\nExample:\n\n  ptiffstore grant remove 4k6yb3vxvkzq7m5gpjw2hdcfsa"
}

// Run removes the grant.
func (c *grantRemoveCmd) Run(ctx context.Context) error {
	return c.withPeople(ctx, "grant.remove", func(a *account.Accounts) (string, error) {
		err := a.Grants.Delete(ctx, c.Grant)
		if errors.Is(err, account.ErrNotFound) {
			err = fmt.Errorf("unknown grant %q: see ptiffstore grant list", c.Grant)
		}
		return c.Grant, err
	})
}
