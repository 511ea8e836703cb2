package account

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/slideatlas/ptiffstore/internal/catalog"
)

const edgePrefix = "pte_"

// Edges are the edge servers.
type Edges struct{ *handle }

// An Edge is an edge server, which asks this server for decisions.
type Edge struct {
	ID        string    `json:"id"`
	URL       string    `json:"url"` // base URL, to which revocations are sent
	CreatedAt time.Time `json:"created_at"`
	// Key is the SHA-256 of the edge's secret, known to both ends: the central server
	// signs its requests to the edge with it (HMAC).
	Key []byte `json:"-"`
}

func scanEdge(r row) (Edge, error) {
	var e Edge
	err := r.Scan(&e.ID, &e.URL, &e.Key, moment{&e.CreatedAt})
	return e, err
}

// Add adds an edge, and returns the secret to configure there. The error is
// [ErrInvalid], or [ErrConflict] if the URL is already used.
func (es *Edges) Add(ctx context.Context, base string) (secret string, e *Edge, err error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", nil, invalid("invalid URL of an edge server: use one such as https://HOST/")
	}
	secret = newSecret(edgePrefix)
	err = es.change(ctx, func(t *tx) error {
		e = &Edge{ID: catalog.NewID(), URL: u.String(), CreatedAt: t.now, Key: hashSecret(secret)}
		_, err := t.exec(ctx, "edge", `INSERT INTO edges (id, url, secret, created_at) VALUES ($1, $2, $3, $4)`, e.ID, e.URL, e.Key, t.now.UnixMicro())
		return err
	})
	if err != nil {
		return "", nil, err
	}
	return secret, e, nil
}

// EdgeKey returns the key that both ends derive from an edge's secret.
func EdgeKey(secret string) []byte { return hashSecret(secret) }

// List returns all edges, oldest first.
func (es *Edges) List(ctx context.Context) ([]Edge, error) {
	return all(ctx, es.read, scanEdge, "edges", `SELECT id, url, secret, created_at FROM edges ORDER BY created_at, id`)
}

// Delete removes an edge. The error may be [ErrNotFound].
func (es *Edges) Delete(ctx context.Context, id string) error {
	return es.change(ctx, func(t *tx) error {
		n, err := t.exec(ctx, "edge", `DELETE FROM edges WHERE id = $1`, id)
		if err == nil && n == 0 {
			return fmt.Errorf("%w: edge", ErrNotFound)
		}
		return err
	})
}
