-- +goose Up
CREATE TABLE counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL);
INSERT INTO counters (name, n) VALUES ('change', 0);

CREATE TABLE stores (
    id         TEXT PRIMARY KEY,
    root       TEXT NOT NULL UNIQUE,
    fields     TEXT NOT NULL, -- JSON: the settings that no query asks for
    created_at INTEGER NOT NULL, -- microseconds since 1970, as all times here
    updated_at INTEGER NOT NULL
);

CREATE TABLE images (
    n          INTEGER PRIMARY KEY, -- stays when the file is compacted, for the search
    id         TEXT NOT NULL UNIQUE,
    store_id   TEXT NOT NULL REFERENCES stores (id) ON DELETE CASCADE,
    path       BLOB NOT NULL, -- below the store's root; file names may be any bytes
    name       TEXT NOT NULL, -- of the file, lower case, for sorting and prefixes
    words      TEXT NOT NULL, -- what a search looks through, lower case
    state      TEXT NOT NULL,
    size       INTEGER NOT NULL,
    seq        INTEGER NOT NULL, -- number of the last change
    hidden     INTEGER NOT NULL DEFAULT 0,
    revision   TEXT NOT NULL,
    dev        INTEGER NOT NULL,
    ino        INTEGER NOT NULL,
    mtime      INTEGER NOT NULL,
    ctime      INTEGER NOT NULL,
    fields     TEXT NOT NULL, -- JSON: the description
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (store_id, path)
);
CREATE INDEX images_seq ON images (seq);
CREATE INDEX images_created ON images (hidden, created_at DESC, id DESC);
CREATE INDEX images_store_created ON images (store_id, hidden, created_at DESC, id DESC);
CREATE INDEX images_name ON images (hidden, name, id);
CREATE INDEX images_size ON images (hidden, size, id);
CREATE INDEX images_state ON images (hidden, state, id);
CREATE INDEX images_counts ON images (store_id, hidden, state);

CREATE TABLE gone (id TEXT PRIMARY KEY, seq INTEGER NOT NULL);
CREATE INDEX gone_seq ON gone (seq);

CREATE VIRTUAL TABLE search USING fts5 (words, content='images', content_rowid='n', tokenize='trigram');
-- +goose StatementBegin
CREATE TRIGGER images_added AFTER INSERT ON images BEGIN
    INSERT INTO search (rowid, words) VALUES (new.n, new.words);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER images_removed AFTER DELETE ON images BEGIN
    INSERT INTO search (search, rowid, words) VALUES ('delete', old.n, old.words);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER images_changed AFTER UPDATE OF words ON images WHEN old.words <> new.words BEGIN
    INSERT INTO search (search, rowid, words) VALUES ('delete', old.n, old.words);
    INSERT INTO search (rowid, words) VALUES (new.n, new.words);
END;
-- +goose StatementEnd
