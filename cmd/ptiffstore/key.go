package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/slideatlas/ptiffstore/internal/account"
)

type keyCmd struct {
	Drop   keyDropCmd   `cmd:"" help:"Delete all keys and sign with a new one; signed links and access tokens stop working."`
	List   keyListCmd   `cmd:"" help:"List the keys that sign access tokens and links."`
	Rotate keyRotateCmd `cmd:"" help:"Sign with a new key; signatures of the old one stay valid."`
}

type keyListCmd struct {
	databaseFlags
	JSON bool `help:"Print JSON."`
}

func (*keyListCmd) Help() string {
	return "Prints ids and times, never the keys themselves. A server creates the first key when it starts.\n\nExample:\n\n  ptiffstore key list"
}

// A listedKey is a signing key as it is printed.
type listedKey struct {
	ID         string     `json:"id"`
	Signs      bool       `json:"signs"`
	CreatedAt  time.Time  `json:"created_at"`
	RetiredAt  *time.Time `json:"retired_at"`
	ValidUntil *time.Time `json:"valid_until"`
}

// Run prints a line for each key.
func (c *keyListCmd) Run(ctx context.Context, std streams) error {
	a, err := c.people(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	keys, err := a.Keys.List(ctx)
	if err != nil {
		return err
	}
	list := make([]listedKey, len(keys))
	for i, k := range keys {
		list[i] = listedKey{k.ID, k.RetiredAt == nil, k.CreatedAt, k.RetiredAt, k.ValidUntil}
	}
	if c.JSON {
		return printList(std, list)
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tCREATED\tSTATE")
	for _, k := range list {
		state := "signs"
		if k.ValidUntil != nil {
			state = "retired, valid until " + k.ValidUntil.Local().Format("2006-01-02 15:04")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", k.ID, k.CreatedAt.Local().Format("2006-01-02 15:04"), state)
	}
	return w.Flush()
}

type keyRotateCmd struct{ databaseFlags }

func (*keyRotateCmd) Help() string {
	return "Prints the id of the new key. Servers use it within a minute. The old key signs nothing more; links and access tokens that it signed stay valid until they expire.\n\nExample:\n\n  ptiffstore key rotate"
}

// Run creates the new key.
func (c *keyRotateCmd) Run(ctx context.Context, std streams) error {
	return c.withPeople(ctx, "key.rotate", func(a *account.Accounts) (string, error) {
		if err := a.Keys.Rotate(ctx); err != nil {
			return "", err
		}
		return printNewKey(ctx, std, a)
	})
}

type keyDropCmd struct{ databaseFlags }

func (*keyDropCmd) Help() string {
	return "For a key that has leaked. Prints the id of the new key. All signed links stop working within seconds and must be created again; access tokens are renewed without a login. Sessions and API tokens stay valid.\n\nExample:\n\n  ptiffstore key drop"
}

// Run deletes the keys and creates a new one.
func (c *keyDropCmd) Run(ctx context.Context, std streams) error {
	return c.withPeople(ctx, "key.drop", func(a *account.Accounts) (string, error) {
		if err := a.Keys.Drop(ctx); err != nil {
			return "", err
		}
		return printNewKey(ctx, std, a)
	})
}

// printNewKey prints and returns the id of the new signing key.
func printNewKey(ctx context.Context, std streams, a *account.Accounts) (string, error) {
	keys, err := a.Keys.List(ctx)
	if err != nil {
		return "", err
	}
	_, err = fmt.Fprintln(std.out, keys[0].ID)
	return keys[0].ID, err
}
