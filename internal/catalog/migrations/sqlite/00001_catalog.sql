-- +goose Up

-- One row. Every writer locks it first.
CREATE TABLE counters (
    change  INTEGER NOT NULL, -- the last number of a change
    arrival INTEGER NOT NULL  -- the last number of an image
) STRICT;
INSERT INTO counters (change, arrival) VALUES (0, 0);

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE stores (
    n          INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    host       TEXT    NOT NULL,
    root       BLOB,             -- none while it is being removed
    incoming   BLOB,
    closing    INTEGER NOT NULL DEFAULT 0, -- 1: it is being removed
    fields     TEXT    NOT NULL, -- JSON: the settings that no query asks for
    created_at INTEGER NOT NULL, -- microseconds since 1970, as all times here
    updated_at INTEGER NOT NULL,
    UNIQUE (host, root),
    UNIQUE (host, incoming)
) STRICT;

-- The columns that are sorted, searched or compared. The rest is in descriptions, so that
-- these rows are small.
CREATE TABLE images (
    n             INTEGER PRIMARY KEY, -- in the order of arrival
    id            TEXT    NOT NULL UNIQUE,
    store         INTEGER NOT NULL REFERENCES stores (n),
    path          BLOB    NOT NULL, -- below the store's root; names of files may be any bytes
    shelf         INTEGER NOT NULL, -- number of the state; 7: hidden, 8: deleted
    file_name     TEXT    NOT NULL,
    name          TEXT    NOT NULL, -- of the file, as it is sorted by
    words         TEXT    NOT NULL, -- what a search looks through
    size          INTEGER NOT NULL, -- bytes
    state         TEXT    NOT NULL,
    reason        TEXT    NOT NULL,
    revision      TEXT    NOT NULL,
    dev           INTEGER NOT NULL,
    ino           INTEGER NOT NULL,
    mtime         INTEGER NOT NULL, -- nanoseconds since 1970
    ctime         INTEGER NOT NULL,
    digest        TEXT,
    first_seen    INTEGER NOT NULL,
    last_change   INTEGER NOT NULL,
    verified_at   INTEGER,
    missing_since INTEGER,
    hidden_at     INTEGER,
    deleted_at    INTEGER,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    UNIQUE (store, path)
) STRICT;

-- Each index ends with n, the row's own number.
CREATE INDEX images_created ON images (shelf);
CREATE INDEX images_name ON images (shelf, name);
CREATE INDEX images_size ON images (shelf, size);
CREATE INDEX images_store_created ON images (store, shelf);
CREATE INDEX images_store_name ON images (store, shelf, name);
CREATE INDEX images_store_size ON images (store, shelf, size);
CREATE INDEX images_digest ON images (store, digest) WHERE digest IS NOT NULL;

CREATE TABLE descriptions (
    n      INTEGER PRIMARY KEY,
    fields TEXT NOT NULL -- JSON
) STRICT;

-- The last change of each image, including removed ones.
CREATE TABLE changes (
    n   INTEGER PRIMARY KEY,
    id  TEXT    NOT NULL,
    seq INTEGER NOT NULL UNIQUE
) STRICT;

CREATE TABLE counts (
    store  INTEGER NOT NULL,
    shelf  INTEGER NOT NULL,
    images INTEGER NOT NULL,
    PRIMARY KEY (store, shelf)
) STRICT, WITHOUT ROWID;

CREATE VIRTUAL TABLE search USING fts5 (words, content = 'images', content_rowid = 'n', tokenize = 'trigram case_sensitive 1', detail = 'none', columnsize = 0);
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
CREATE TRIGGER images_renamed AFTER UPDATE OF words ON images WHEN old.words <> new.words BEGIN
    INSERT INTO search (search, rowid, words) VALUES ('delete', old.n, old.words);
    INSERT INTO search (rowid, words) VALUES (new.n, new.words);
END;
-- +goose StatementEnd
