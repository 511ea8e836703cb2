package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
)

type auditCmd struct {
	databaseFlags
	User    string    `help:"Only actions of this user: name or id."`
	Act     string    `help:"Only this action, such as label.show, login or grant.add."`
	Object  string    `placeholder:"ID" help:"Only actions on this image, store or user."`
	Refused bool      `help:"Only refused actions."`
	Since   time.Time `placeholder:"TIME" help:"Only entries from this time on, such as 2031-05-20T00:00:00Z."`
	Until   time.Time `placeholder:"TIME" help:"Only entries before this time."`
	Limit   int       `default:"100" help:"Maximum number of entries; 0 for all."`
	JSON    bool      `help:"Print JSON, one entry per line."`
}

func (*auditCmd) Help() string {
	return "Prints who did what, the newest first.\n\nExample:\n\n  ptiffstore audit --refused --since 2031-05-20T00:00:00Z"
}

// Run prints the entries.
func (c *auditCmd) Run(ctx context.Context, std streams) error {
	return c.withPeople(ctx, "audit.show", func(a *account.Accounts) (string, error) { return "", c.print(ctx, std, a) })
}

func (c *auditCmd) print(ctx context.Context, std streams, a *account.Accounts) error {
	f := account.EventFilter{User: c.User, Act: c.Act, Object: c.Object, Since: c.Since, Until: c.Until, Limit: 1000, Images: c.JSON}
	if c.Refused {
		f.Allowed = new(bool)
	}
	var unknown error // a removed user still has events
	if c.User != "" {
		u, err := findUser(ctx, a, c.User)
		if unknown = err; err == nil {
			f.User = u.ID
		}
	}
	found := false
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	if !c.JSON {
		fmt.Fprintln(w, "WHEN\tWHO\tWHAT\tTO WHAT\tOUTCOME\tFROM\tMORE")
	}
	err := c.each(ctx, a, f, func(e *account.Event) error {
		found = true
		if c.JSON {
			return json.NewEncoder(std.out).Encode(e)
		}
		outcome := "refused"
		if e.Allowed {
			outcome = "allowed"
		}
		_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.At.Local().Format(time.DateTime), cmp.Or(e.User, "-"), e.Act, cmp.Or(e.Object, "-"), outcome, cmp.Or(e.From, "-"), more(e))
		return err
	})
	if err != nil {
		return err
	}
	if unknown != nil && !found {
		return unknown
	}
	return w.Flush()
}

// more is the detail of an event, and of how many images it shows labels or names.
func more(e *account.Event) string {
	switch e.Count {
	case 0:
		return e.Detail
	case 1:
		return strings.TrimSpace(e.Detail + " (1 image)")
	}
	return strings.TrimSpace(fmt.Sprintf("%s (%d images)", e.Detail, e.Count))
}

// each calls f for each event, page by page.
func (c *auditCmd) each(ctx context.Context, a *account.Accounts, f account.EventFilter, do func(*account.Event) error) error {
	cursor, left := "", c.Limit
	for {
		if c.Limit > 0 {
			f.Limit = min(left, 1000)
		}
		page, next, err := a.Audit.List(ctx, f, cursor)
		if err != nil {
			return err
		}
		for i := range page {
			if err := do(&page[i]); err != nil {
				return err
			}
		}
		if left -= len(page); next == "" || c.Limit > 0 && left <= 0 {
			return nil
		}
		cursor = next
	}
}
