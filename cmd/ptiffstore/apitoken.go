package main

import (
	"errors"
	"fmt"
	"os"
)

// tokenFlags give a command the API token with which it asks a server.
type tokenFlags struct {
	Token     string `placeholder:"TOKEN" env:"PTIFFSTORE_TOKEN" help:"API token. Other users of this machine can see the command line: set PTIFFSTORE_TOKEN or use --token-file instead."`
	TokenFile string `name:"token-file" placeholder:"FILE" help:"File with the API token on one line; - for standard input."`
}

// read sets the token from its file, which has priority over the environment.
func (f *tokenFlags) read(std streams) error {
	if f.TokenFile == "" {
		return nil
	}
	in := std.in
	if f.TokenFile != "-" {
		file, err := os.Open(f.TokenFile)
		if err != nil {
			return fmt.Errorf("--token-file: %w", err)
		}
		defer file.Close()
		if exposed(f.TokenFile) {
			fmt.Fprintf(std.err, "warning: every user of this host can read the token file: run chmod o= %s\n", f.TokenFile)
		}
		in = file
	}
	if in == nil {
		return errors.New("--token-file -: there is no standard input")
	}
	token, err := oneLine(in)
	if err != nil {
		return fmt.Errorf("--token-file %s: %w", f.TokenFile, err)
	}
	f.Token = token
	return nil
}

// unauthorized returns the error for a server that answered with 401.
func (f *tokenFlags) unauthorized(server string) error {
	if f.Token == "" {
		return fmt.Errorf("no token given, and %s has access control: set PTIFFSTORE_TOKEN or use --token-file (ptiffstore token add creates a token on the server)", server)
	}
	return fmt.Errorf("%s does not accept this token: it is expired or revoked, is of another server, or was not copied completely; see ptiffstore token list on the server", server)
}
