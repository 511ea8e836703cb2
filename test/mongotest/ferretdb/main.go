// Command ferretdb is a MongoDB server for tests: FerretDB with SQLite, in a module of its
// own because it needs many others. It prints its address, keeps its data in DIR, and at the
// end of its standard input removes DIR and ends.
//
//	ferretdb DIR [CERTIFICATE KEY]
//
// With a certificate and its key it accepts TLS only.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ferretdb:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	c := &ferretdb.Config{
		Listener: ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Logger:   slog.New(slog.DiscardHandler),
		Handler:  "sqlite",
	}
	switch len(args) {
	case 1:
	case 3:
		c.Listener = ferretdb.ListenerConfig{TLS: "127.0.0.1:0", TLSCertFile: args[1], TLSKeyFile: args[2]}
	default:
		return fmt.Errorf("%d arguments: want DIR [CERTIFICATE KEY]", len(args))
	}
	defer os.RemoveAll(args[0])
	c.SQLiteURL = "file:" + args[0] + "/"
	db, err := ferretdb.New(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		fmt.Println(db.MongoDBURI())                             // waits until it listens
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // until the test ends
			fmt.Fprintln(os.Stderr, "ferretdb:", err)
		}
		cancel()
	}()
	return db.Run(ctx)
}
