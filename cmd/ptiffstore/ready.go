package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/slideatlas/ptiffstore/internal/socket"
)

type readyCmd struct {
	Listen  string        `default:"127.0.0.1:8080" env:"PTIFFSTORE_LISTEN" help:"Address that the server listens on, or unix:PATH."`
	Timeout time.Duration `default:"3s" help:"Time to wait for the answer."`
}

func (*readyCmd) Help() string {
	return "Asks the server on this machine that listens on --listen whether it is ready. Exits with 1 if it is not. For the health checks of containers.\n\nExample:\n\n  ptiffstore ready --listen 0.0.0.0:8080"
}

// Run asks the server.
func (c *readyCmd) Run(ctx context.Context, std streams) error {
	dial, host, err := socket.Dialer(c.Listen)
	if err != nil {
		return usage(fmt.Errorf("--listen %s: %w", c.Listen, err))
	}
	client := &http.Client{Timeout: c.Timeout, Transport: &http.Transport{DialContext: dial}} // never through a proxy
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return fmt.Errorf("reading the answer of the server failed: %w", err)
	}
	words := strings.TrimSpace(string(b))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server is not ready: status %d: %s", resp.StatusCode, words)
	}
	fmt.Fprintln(std.out, words)
	return nil
}
